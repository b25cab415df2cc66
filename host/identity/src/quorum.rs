//! Whether enough of the right keys signed: how many of whose for each namespace, and who did.

use std::fmt;
use std::str::FromStr;

use kinetic_model::Digest;

use crate::date::utc_text;
use crate::document_kind::DocumentKind;
use crate::dsse::Envelope;
use crate::error::shorten;
use crate::trust_root::Held;
use crate::{IdentityError, KeyId, PublicKey, Role, RootDocument, TrustRoot};

/// What stands between the ids of several signers.
const BETWEEN: char = '+';

/// The keys that count of those that signed something: at least one, each once, in the order of their ids.
///
/// Text form: their ids with a plus sign between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signers(Vec<KeyId>);

impl Signers {
    fn new<'k>(keys: impl IntoIterator<Item = &'k PublicKey>) -> Self {
        let mut ids: Vec<KeyId> = keys.into_iter().map(PublicKey::id).collect();
        ids.sort_unstable();
        Self(ids)
    }

    /// Their ids.
    pub fn ids(&self) -> &[KeyId] {
        &self.0
    }
}

impl fmt::Display for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, id) in self.0.iter().enumerate() {
            if at > 0 {
                write!(f, "{BETWEEN}")?;
            }
            write!(f, "{id}")?;
        }
        Ok(())
    }
}

impl FromStr for Signers {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let ids = text.split(BETWEEN).map(str::parse::<KeyId>);
        let ids = ids.collect::<Result<Vec<_>, IdentityError>>()?;
        if ids.is_sorted_by(|a, b| a < b) {
            Ok(Self(ids))
        } else {
            Err(IdentityError::BadKeyId { text: shorten(text) })
        }
    }
}

impl TrustRoot {
    /// Who signed of those that may for a namespace, when they are enough; else the error says which of the reasons it was.
    ///
    /// Without a root document one key that is listed for the namespace is enough, for a release and for an index.
    pub(crate) fn signers(
        &self,
        envelope: &Envelope,
        namespace: &str,
        document: DocumentKind,
    ) -> Result<Signers, IdentityError> {
        let role = document.role();
        let (keys, needed): (Vec<&PublicKey>, usize) = match self.held(namespace) {
            Some(Held::Unusable(error)) => return Err(error.clone()),
            Some(Held::Root {
                document: root,
                expired: true,
            }) => {
                return Err(IdentityError::RootExpired {
                    namespace: namespace.into(),
                    version: root.version,
                    expired: utc_text(root.expires_unix_ms),
                });
            }
            Some(Held::Root { document: root, .. }) => (root.keys_of(role).collect(), root.thresholds.of(role)),
            None => (self.trusted(namespace).iter().map(|trusted| &trusted.key).collect(), 1),
        };
        let signed = envelope.signers(keys.iter().copied());
        if needed > 0 && signed.len() >= needed {
            return Ok(Signers::new(signed));
        }
        if signed.is_empty() {
            self.explain(envelope, namespace, document, &keys)?;
        }
        Err(IdentityError::TooFewSignatures {
            namespace: namespace.into(),
            role,
            found: signed.len(),
            needed,
        })
    }

    /// Why nobody of `keys` signed. A root document's owner is told by numbers; keys that are listed by themselves can be
    /// changed here, so there it is said what to change.
    fn explain(
        &self,
        envelope: &Envelope,
        namespace: &str,
        document: DocumentKind,
        keys: &[&PublicKey],
    ) -> Result<(), IdentityError> {
        if let Some((theirs, key)) = self.speaks_elsewhere(envelope, namespace) {
            return Err(IdentityError::WrongNamespace {
                document,
                namespace: namespace.into(),
                key_id: key.id().to_string(),
                theirs,
            });
        }
        if let Some(named) = keys.iter().map(|key| key.id()).find(|id| envelope.names(id)) {
            return Err(IdentityError::BadSignature {
                document,
                key_id: named.to_string(),
            });
        }
        if self.has_root(namespace) {
            return Ok(());
        }
        if keys.is_empty() {
            return Err(IdentityError::NamespaceUntrusted {
                namespace: namespace.into(),
            });
        }
        let named: Vec<_> = envelope.signatures.iter().map(|s| s.key_id.as_str()).collect();
        Err(IdentityError::SignerUntrusted {
            document,
            namespace: namespace.into(),
            key_ids: shorten(&named.join(", ")),
        })
    }

    /// Another namespace that one of the signers may sign for. Only an error's words hang on it, so keys are tried by the
    /// names the signatures bear: each key of every namespace against each signature would take seconds.
    fn speaks_elsewhere(&self, envelope: &Envelope, namespace: &str) -> Option<(String, PublicKey)> {
        let listed = self
            .list()
            .filter(|(other, _)| !self.has_root(other))
            .flat_map(|(other, keys)| keys.iter().map(move |trusted| (other, &trusted.key)));
        let documented = self.documents().flat_map(|document| {
            let keys = document.keys_of(Role::Release);
            keys.map(move |key| (document.namespace.as_str(), key))
        });
        let others: Vec<(&str, &PublicKey)> = listed
            .chain(documented)
            .filter(|(other, key)| *other != namespace && envelope.names(&key.id()))
            .collect();
        others.into_iter().find_map(|(other, key)| {
            let signed = !envelope.signers([key]).is_empty();
            signed.then(|| (other.to_string(), *key))
        })
    }

    /// Whether a release that was admitted may stay: why not, or nothing when it may.
    ///
    /// Its signers have to be enough still, and its digests not revoked. That a root document has expired takes nothing
    /// away that runs.
    ///
    /// # Errors
    /// A root document that cannot be used, so that nobody can tell.
    pub fn objection(
        &self,
        namespace: &str,
        signers: &Signers,
        digests: &[Digest],
    ) -> Result<Option<IdentityError>, IdentityError> {
        let (keys, needed): (Vec<KeyId>, usize) = match self.held(namespace) {
            Some(Held::Unusable(error)) => return Err(error.clone()),
            Some(Held::Root { document, .. }) => {
                if let Err(revoked) = not_revoked(document, digests) {
                    return Ok(Some(revoked));
                }
                let keys = document.keys_of(Role::Release).map(PublicKey::id).collect();
                (keys, document.thresholds.release)
            }
            None => (self.trusted(namespace).iter().map(|key| key.key.id()).collect(), 1),
        };
        let found = signers.ids().iter().filter(|id| keys.contains(id)).count();
        Ok((found < needed).then(|| IdentityError::TooFewSignatures {
            namespace: namespace.into(),
            role: Role::Release,
            found,
            needed,
        }))
    }
}

/// Refuses what a root document revokes.
pub(crate) fn not_revoked(document: &RootDocument, digests: &[Digest]) -> Result<(), IdentityError> {
    match digests.iter().find(|digest| document.revokes(digest)) {
        Some(digest) => Err(IdentityError::DigestRevoked {
            namespace: document.namespace.clone(),
            digest: digest.to_string(),
            version: document.version,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
