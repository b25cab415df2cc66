//! A namespace's root document: whose keys may sign what for it, and how many of them it takes.
//!
//! It follows the root role of The Update Framework: the document is signed by the keys it lists, and the next version by
//! enough of those before and enough of its own, so that trust moves on without the operator.

use kinetic_model::Digest;
use serde::{Deserialize, Serialize};

use crate::dsse::{Envelope, SIGNATURES_MAX};
use crate::error::{sentence, shorten};
use crate::signed_document::{Document, SignedDocument, bounded};
use crate::trust_root::is_namespace;
use crate::{IdentityError, KeyId, PublicKey, strict_json};

/// The largest signed root document read or made, in bytes.
pub const ROOT_BYTES_MAX: usize = 524_288;
/// Keys one document may list.
pub const ROOT_KEYS_MAX: usize = 32;
/// Digests one document may revoke.
pub const REVOKED_MAX: usize = 4_096;

/// Signatures one document may carry: those of the root keys before, and of its own.
const ROOT_SIGNATURES_MAX: usize = 2 * ROOT_KEYS_MAX;
/// `{keys: [{roles: [role]}]}` nests four deep.
const DRAFT_DEPTH_MAX: usize = 4;
const PAYLOAD_TYPE: &str = "application/vnd.kinetic.root.v1+json";

/// What a key of a root document may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The list of the namespace's versions.
    Index,
    /// The receipts of capsules, and overrides of quarantine.
    Release,
    /// The next root document.
    Root,
}

impl Role {
    /// Every role, in the order of their names.
    pub const ALL: [Self; 3] = [Self::Index, Self::Release, Self::Root];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Release => "release",
            Self::Root => "root",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| format!("\"{}\" is none of index, release, root", shorten(text)))
    }
}

/// One key of a root document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKey {
    /// The key's short name; it must be that of the key.
    pub key_id: KeyId,
    /// The key.
    pub public_key: PublicKey,
    /// What it may sign: at least one role, each once, in the order of their names.
    pub roles: Vec<Role>,
}

/// How many distinct keys must sign, for each role: from 1 to as many as have the role, and at most 16 of a release or an
/// index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// For an index.
    pub index: usize,
    /// For a receipt.
    pub release: usize,
    /// For the next root document.
    pub root: usize,
}

impl Thresholds {
    /// That of one role.
    pub const fn of(&self, role: Role) -> usize {
        match role {
            Role::Index => self.index,
            Role::Release => self.release,
            Role::Root => self.root,
        }
    }
}

/// The document itself. As JSON its members are in the order of their names, without spaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootDocument {
    /// From then on it admits nothing, in milliseconds since 1970.
    pub expires_unix_ms: u64,
    /// The keys, 1 to [`ROOT_KEYS_MAX`], in the order of their ids, each once.
    pub keys: Vec<RootKey>,
    /// The second part of the URNs it speaks for.
    pub namespace: String,
    /// Components and manifests that count for nothing any more, whoever signed them: at most [`REVOKED_MAX`], in order.
    pub revoked_digests: Vec<Digest>,
    /// How many keys must sign.
    pub thresholds: Thresholds,
    /// 1 or more; the next one is one higher.
    pub version: u64,
}

impl RootDocument {
    /// Reads a document that somebody wrote by hand, in whatever spelling; to be signed it is written anew.
    ///
    /// # Errors
    /// [`IdentityError::RootMalformed`].
    pub fn from_draft(bytes: &[u8]) -> Result<Self, IdentityError> {
        bounded::<Self>(bytes.len())?;
        let value = strict_json::parse(bytes, DRAFT_DEPTH_MAX).map_err(|error| malformed(sentence(&error)))?;
        let document: Self = serde_json::from_value(value).map_err(|e| malformed(shorten(&e.to_string())))?;
        document.check()?;
        Ok(document)
    }

    /// The keys of a role.
    pub fn keys_of(&self, role: Role) -> impl Iterator<Item = &PublicKey> {
        let has = move |key: &&RootKey| key.roles.contains(&role);
        self.keys.iter().filter(has).map(|key| &key.public_key)
    }

    /// Whether it has expired.
    pub const fn expired(&self, now_unix_ms: u64) -> bool {
        now_unix_ms >= self.expires_unix_ms
    }

    /// Whether a component or manifest is revoked.
    pub fn revokes(&self, digest: &Digest) -> bool {
        self.revoked_digests.binary_search(digest).is_ok()
    }

    /// Whether it may stand: every bound and order that its fields name.
    ///
    /// # Errors
    /// [`IdentityError::RootMalformed`].
    pub fn check(&self) -> Result<(), IdentityError> {
        self.faults().map_err(malformed)
    }

    fn signed_by(&self, envelope: &Envelope) -> usize {
        envelope.signers(self.keys_of(Role::Root)).len()
    }
}

impl Document for RootDocument {
    const PAYLOAD_TYPE: &'static str = PAYLOAD_TYPE;
    const BYTES_MAX: usize = ROOT_BYTES_MAX;
    const SIGNATURES_MAX: usize = ROOT_SIGNATURES_MAX;

    fn faults(&self) -> Result<(), String> {
        if !is_namespace(&self.namespace) {
            return Err(format!("\"{}\" is no namespace", shorten(&self.namespace)));
        }
        if self.version == 0 {
            return Err("its version is 0; the first one is 1".into());
        }
        if self.keys.is_empty() || self.keys.len() > ROOT_KEYS_MAX {
            return Err(format!("it lists {} keys, not 1 to {ROOT_KEYS_MAX}", self.keys.len()));
        }
        // Ids follow from keys, so where no id is there twice no key is.
        if !self.keys.is_sorted_by(|a, b| a.key_id < b.key_id) {
            return Err("its keys are not in the order of their ids, each once".into());
        }
        for key in &self.keys {
            if key.key_id != key.public_key.id() {
                return Err(format!("{} is not the id of key {}", key.key_id, key.public_key));
            }
            if key.roles.is_empty() || !key.roles.is_sorted_by(|a, b| a < b) {
                return Err(format!(
                    "the roles of key {} are not index, release, root or some of them in that order",
                    key.key_id
                ));
            }
        }
        // cosign signs in-toto statements, and receipts are the only ones of ours.
        let by_cosign = |key: &&RootKey| !key.public_key.is_ed25519() && key.roles != [Role::Release];
        if let Some(key) = self.keys.iter().find(by_cosign) {
            return Err(format!(
                "key {} is of P-256, and those have the role release alone",
                key.key_id
            ));
        }
        for role in Role::ALL {
            let (threshold, keys) = (self.thresholds.of(role), self.keys_of(role).count());
            if threshold == 0 || threshold > keys {
                return Err(format!(
                    "its {role} threshold is {threshold}, of {keys} keys with that role"
                ));
            }
            if role != Role::Root && threshold > SIGNATURES_MAX {
                return Err(format!(
                    "its {role} threshold is {threshold}; {SIGNATURES_MAX} signatures are the most"
                ));
            }
        }
        if self.revoked_digests.len() > REVOKED_MAX {
            return Err(format!("it revokes more than {REVOKED_MAX} digests"));
        }
        if !self.revoked_digests.is_sorted_by(|a, b| a < b) {
            return Err("its revoked digests are not in order, each once".into());
        }
        Ok(())
    }

    fn malformed(why: String) -> IdentityError {
        malformed(why)
    }
}

/// A root document in its envelope, of at most [`ROOT_BYTES_MAX`] bytes. It is well formed; whether enough keys signed it is
/// for the checks to say.
pub type SignedRoot = SignedDocument<RootDocument>;

impl SignedRoot {
    /// How many of its own root keys signed.
    pub fn own_signatures(&self) -> usize {
        self.document.signed_by(&self.envelope)
    }

    /// Whether enough of its own root keys signed: what a first document has to show, before an operator confirms it.
    ///
    /// # Errors
    /// [`IdentityError::RootUnsigned`].
    pub fn check_own(&self) -> Result<(), IdentityError> {
        self.enough_of(&self.document)
    }

    /// Whether it may follow the version that is trusted now, be that expired or not.
    ///
    /// # Errors
    /// [`IdentityError::RootMalformed`] for another namespace, [`IdentityError::RootOutOfOrder`],
    /// [`IdentityError::RootUnsigned`].
    pub fn check_after(&self, before: &RootDocument) -> Result<(), IdentityError> {
        let document = &self.document;
        if document.namespace != before.namespace {
            return Err(malformed(format!(
                "it is of namespace \"{}\", not \"{}\"",
                document.namespace, before.namespace
            )));
        }
        if before.version.checked_add(1) != Some(document.version) {
            return Err(IdentityError::RootOutOfOrder {
                namespace: document.namespace.clone(),
                found: document.version,
                trusted: before.version,
            });
        }
        self.enough_of(before)?;
        self.check_own()
    }

    fn enough_of(&self, document: &RootDocument) -> Result<(), IdentityError> {
        let (found, needed) = (document.signed_by(&self.envelope), document.thresholds.root);
        if found >= needed {
            return Ok(());
        }
        Err(IdentityError::RootUnsigned {
            namespace: self.document.namespace.clone(),
            version: self.document.version,
            by: document.version,
            found,
            needed,
        })
    }
}

fn malformed(why: String) -> IdentityError {
    IdentityError::RootMalformed { why }
}

#[cfg(test)]
pub(crate) mod tests;
