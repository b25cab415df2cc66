//! The signed list of a namespace's versions: what a registry says is held against what was said before.
//!
//! It follows the snapshot and timestamp roles of The Update Framework in one document: a registry that answers with an
//! older list, with the same one for ever, or with another one to everybody, is found out.

use std::collections::BTreeMap;

use kinetic_model::{Digest, Urn};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::date::utc_text;
use crate::document_kind::DocumentKind;
use crate::dsse::SIGNATURES_MAX;
use crate::error::shorten;
use crate::signed_document::{Document, SignedDocument};
use crate::trust_root::is_namespace;
use crate::{IdentityError, TrustRoot, canonical};

/// Versions one index may list.
pub const INDEX_ENTRIES_MAX: usize = 100_000;
/// The largest signed index read or made, in bytes.
pub const INDEX_BYTES_MAX: usize = 100_663_296;
/// The longest reason for yanking a version, in bytes.
const REASON_BYTES_MAX: usize = 200;
/// Namespaces whose indexes are remembered.
const NAMESPACES_MAX: usize = 10_000;
const PAYLOAD_TYPE: &str = "application/vnd.kinetic.index.v1+json";

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexEntry {
    /// SHA-256 of the component.
    pub component: Digest,
    /// SHA-256 of the exact text of manifest.json.
    pub manifest: Digest,
    /// SHA-256 of the receipt's envelope. It may change: a build can be signed anew.
    pub receipt: Digest,
    /// Size of the component, in bytes.
    pub size_bytes: u64,
    /// The capability, of the index's namespace.
    pub urn: Urn,
    /// The version, of the URN's major.
    pub version: Version,
    /// Why it is not to be used, in 1 to 200 bytes; without it, it may be. Yanking can be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
}

impl IndexEntry {
    fn key(&self) -> (&str, &Version) {
        (self.urn.as_str(), &self.version)
    }

    fn name(&self) -> String {
        format!("{}@{}", self.urn, self.version)
    }
}

/// The document itself. As JSON its members are in the order of their names, without spaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexDocument {
    /// At most [`INDEX_ENTRIES_MAX`], each version once, by URN (bytewise) and then by version (semantic order).
    pub entries: Vec<IndexEntry>,
    /// From then on it says nothing any more, in milliseconds since 1970: it must be renewed until then.
    pub expires_unix_ms: u64,
    /// The second part of the URNs.
    pub namespace: String,
    /// 1 or more; a newer index has a higher one.
    pub version: u64,
}

impl IndexDocument {
    fn find(&self, key: (&str, &Version)) -> Option<&IndexEntry> {
        let at = self.entries.binary_search_by(|entry| entry.key().cmp(&key)).ok()?;
        self.entries.get(at)
    }
}

impl Document for IndexDocument {
    const PAYLOAD_TYPE: &'static str = PAYLOAD_TYPE;
    const BYTES_MAX: usize = INDEX_BYTES_MAX;
    const SIGNATURES_MAX: usize = SIGNATURES_MAX;

    fn faults(&self) -> Result<(), String> {
        if !is_namespace(&self.namespace) {
            return Err(format!("\"{}\" is no namespace", shorten(&self.namespace)));
        }
        if self.version == 0 {
            return Err("its version is 0; the first one is 1".into());
        }
        if self.entries.len() > INDEX_ENTRIES_MAX {
            return Err(format!("it lists more than {INDEX_ENTRIES_MAX} versions"));
        }
        for entry in &self.entries {
            if entry.urn.namespace() != self.namespace {
                return Err(format!("{} is not of namespace \"{}\"", entry.name(), self.namespace));
            }
            if entry.version.major != entry.urn.major() {
                return Err(format!("{} is not of its URN's major", entry.name()));
            }
            if let Some(reason) = &entry.yanked
                && (reason.is_empty() || reason.len() > REASON_BYTES_MAX)
            {
                let name = entry.name();
                return Err(format!(
                    "{name} is yanked for a reason of none or over {REASON_BYTES_MAX} bytes"
                ));
            }
        }
        if self.entries.is_sorted_by(|a, b| a.key() < b.key()) {
            Ok(())
        } else {
            Err("its versions are not in order, each once".into())
        }
    }

    fn malformed(why: String) -> IdentityError {
        malformed(why)
    }
}

/// An index in its envelope, of at most [`INDEX_BYTES_MAX`] bytes and with 1 to 16 signatures. It is well formed; who signed
/// it, and whether it is the newest, is not known before [`SignedIndex::verify`].
pub type SignedIndex = SignedDocument<IndexDocument>;

impl SignedIndex {
    /// Checks that enough index keys of its namespace signed it, that it is not older than what was seen, that it has not
    /// expired, and that it says the same as the one before about every version that was in that.
    ///
    /// `before` is the index that `seen` remembers for the namespace. Without it only that very index is taken. The caller
    /// remembers what comes out ([`IndexState::remember`]).
    ///
    /// # Errors
    /// Who signed: as of a receipt. [`IdentityError::IndexRolledBack`], [`IdentityError::IndexEquivocates`],
    /// [`IdentityError::IndexExpired`], [`IdentityError::IndexUnlinked`], [`IdentityError::IndexRewritten`].
    pub fn verify(
        self,
        root: &TrustRoot,
        seen: &IndexState,
        before: Option<&Index>,
        now_unix_ms: u64,
    ) -> Result<Index, IdentityError> {
        let namespace = &self.document.namespace;
        root.signers(&self.envelope, namespace, DocumentKind::Index)?;
        let last = seen.namespaces.get(namespace);
        if let Some(last) = last {
            self.not_older(last)?;
        }
        if now_unix_ms >= self.document.expires_unix_ms {
            return Err(IdentityError::IndexExpired {
                namespace: namespace.clone(),
                version: self.document.version,
                expired: utc_text(self.document.expires_unix_ms),
            });
        }
        if let Some(last) = last.filter(|last| last.digest != self.digest) {
            let before = before.filter(|before| before.digest == last.digest);
            let before = before.ok_or_else(|| IdentityError::IndexUnlinked {
                namespace: namespace.clone(),
                seen: last.digest.to_string(),
            })?;
            self.goes_on_from(&before.document)?;
        }
        Ok(Index {
            document: self.document,
            digest: self.digest,
        })
    }

    /// Takes an index that was verified before and kept: it is the one that is remembered, be it expired by now or not.
    /// It is what the next one is compared with.
    ///
    /// # Errors
    /// [`IdentityError::IndexUnlinked`] when it is not that one.
    pub fn reopen(self, seen: &IndexState) -> Result<Index, IdentityError> {
        let namespace = &self.document.namespace;
        let last = seen.namespaces.get(namespace);
        if last.is_some_and(|last| last.digest == self.digest) {
            return Ok(Index {
                document: self.document,
                digest: self.digest,
            });
        }
        Err(IdentityError::IndexUnlinked {
            namespace: namespace.clone(),
            seen: last.map_or_else(|| "none".to_string(), |last| last.digest.to_string()),
        })
    }

    fn not_older(&self, last: &Seen) -> Result<(), IdentityError> {
        let (namespace, found) = (&self.document.namespace, self.document.version);
        if found < last.version {
            return Err(IdentityError::IndexRolledBack {
                namespace: namespace.clone(),
                found,
                seen: last.version,
            });
        }
        if found == last.version && self.digest != last.digest {
            return Err(IdentityError::IndexEquivocates {
                namespace: namespace.clone(),
                version: found,
                found: self.digest.to_string(),
                seen: last.digest.to_string(),
            });
        }
        Ok(())
    }

    /// Versions never vanish and never change; they are yanked, and may be signed anew.
    fn goes_on_from(&self, before: &IndexDocument) -> Result<(), IdentityError> {
        for old in &before.entries {
            let why = match self.document.find(old.key()) {
                None => "it is left out",
                Some(new) if new.component != old.component || new.size_bytes != old.size_bytes => {
                    "it has another component"
                }
                Some(new) if new.manifest != old.manifest => "it has another manifest",
                Some(_) => continue,
            };
            return Err(IdentityError::IndexRewritten {
                namespace: self.document.namespace.clone(),
                what: old.name(),
                why: why.into(),
            });
        }
        Ok(())
    }
}

/// An index that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    document: IndexDocument,
    digest: Digest,
}

impl Index {
    /// What it says.
    pub const fn document(&self) -> &IndexDocument {
        &self.document
    }

    /// SHA-256 of the document.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// What it says about a version, be it yanked or not.
    pub fn entry(&self, urn: &Urn, version: &Version) -> Option<&IndexEntry> {
        self.document.find((urn.as_str(), version))
    }

    /// The versions of a URN in their order, the yanked ones too.
    pub fn versions(&self, urn: &Urn) -> &[IndexEntry] {
        let entries = &self.document.entries;
        let start = entries.partition_point(|entry| entry.urn.as_str() < urn.as_str());
        let end = entries.partition_point(|entry| entry.urn.as_str() <= urn.as_str());
        entries.get(start..end).unwrap_or_default()
    }
}

/// The highest index seen of each namespace. Whoever keeps it decides how well it is kept: with it gone, an old index
/// passes for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexState {
    namespaces: BTreeMap<String, Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    digest: Digest,
    version: u64,
}

impl IndexState {
    /// Reads what [`IndexState::to_json`] wrote.
    ///
    /// # Errors
    /// [`IdentityError::IndexMalformed`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, IdentityError> {
        canonical::read(bytes).map_err(|why| malformed(format!("what was seen before is malformed: {why}")))
    }

    /// It as JSON, the same bytes for the same state.
    pub fn to_json(&self) -> Vec<u8> {
        // A map of texts and numbers can always be written.
        canonical::write(self).unwrap_or_default()
    }

    /// Version and digest of the highest index seen of a namespace.
    pub fn highest(&self, namespace: &str) -> Option<(u64, Digest)> {
        self.namespaces.get(namespace).map(|seen| (seen.version, seen.digest))
    }

    /// Remembers an index; one that is older than what is remembered changes nothing.
    ///
    /// # Errors
    /// [`IdentityError::IndexMalformed`] beyond 10,000 namespaces.
    pub fn remember(&mut self, index: &Index) -> Result<(), IdentityError> {
        let (namespace, version) = (&index.document.namespace, index.document.version);
        if self.highest(namespace).is_some_and(|(highest, _)| highest >= version) {
            return Ok(());
        }
        if self.namespaces.len() >= NAMESPACES_MAX && !self.namespaces.contains_key(namespace) {
            let why = format!("indexes of {NAMESPACES_MAX} namespaces are remembered, the most there may be");
            return Err(malformed(why));
        }
        let digest = index.digest;
        self.namespaces.insert(namespace.clone(), Seen { digest, version });
        Ok(())
    }

    /// Forgets what was seen of a namespace: an operator's word, as an older index passes from then on.
    pub fn forget(&mut self, namespace: &str) {
        self.namespaces.remove(namespace);
    }
}

fn malformed(why: String) -> IdentityError {
    IdentityError::IndexMalformed { why }
}

#[cfg(test)]
mod tests;
