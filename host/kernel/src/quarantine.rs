//! Capsules that were refused: why, at which step, kept by digest across restarts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use kinetic_model::{Digest, Fault};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::KernelError;

/// The step of admission that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Size and digest of the bytes.
    Bytes,
    /// The signed receipt.
    Receipt,
    /// The manifest's schema, rules and claims.
    Manifest,
    /// Imports against grants, and linking.
    Link,
    /// Reading and compiling the component.
    Compile,
    /// Making one instance.
    Probe,
    /// Taking the place of the version before: what it offers, how it answers recorded calls, its state.
    Swap,
    /// Its first calls, while the version before stood by.
    Probation,
    /// Too many failures in a row.
    Strikes,
    /// The key that signed it is not trusted any more.
    Revoked,
}

impl Step {
    /// Whether it is a step of admission.
    const fn is_of_admission(self) -> bool {
        matches!(
            self,
            Self::Bytes | Self::Receipt | Self::Manifest | Self::Link | Self::Compile | Self::Probe | Self::Revoked
        )
    }

    /// Whether only new bytes can pass this step. The others also depend on what an operator can change.
    const fn is_final(self) -> bool {
        matches!(self, Self::Compile | Self::Probe | Self::Probation | Self::Strikes)
    }
}

/// One refused capsule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// SHA-256 of its manifest.
    pub manifest: Digest,
    /// What it said it was.
    pub urn: String,
    /// Its version.
    pub version: String,
    /// Where it failed.
    pub step: Step,
    /// The stable code.
    pub code: String,
    /// What was wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// The most entries kept; the oldest go first, so that a stream of bad uploads cannot fill the disk.
const ENTRIES_MAX: usize = 1_000;

/// The quarantine: one small file per refused component.
#[derive(Debug)]
pub(crate) struct Quarantine {
    folder: PathBuf,
    entries: RwLock<BTreeMap<Digest, Quarantined>>,
}

impl Quarantine {
    pub(crate) fn open(folder: &Path) -> Result<Self, KernelError> {
        let failed = |e: std::io::Error| KernelError::QuarantineFailed { why: e.to_string() };
        fs::create_dir_all(folder).map_err(failed)?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(folder).map_err(failed)?.flatten() {
            let read = fs::read(file.path())
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Quarantined>(&bytes).ok());
            match read {
                Some(entry) => {
                    entries.insert(entry.digest, entry);
                }
                // Half written when the host was killed: the capsule was refused all the same and will be again.
                None => {
                    let _ = fs::remove_file(file.path());
                }
            }
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            entries: RwLock::new(entries),
        })
    }

    pub(crate) fn list(&self) -> Vec<Quarantined> {
        self.entries.read().values().cloned().collect()
    }

    /// Why these bytes with this manifest would fail again, if they would.
    pub(crate) fn forbids(&self, digest: &Digest, manifest: &Digest) -> Option<Quarantined> {
        let entries = self.entries.read();
        entries
            .get(digest)
            .filter(|entry| entry.step.is_final() && entry.manifest == *manifest)
            .cloned()
    }

    pub(crate) fn add(&self, entry: Quarantined) -> Result<(), KernelError> {
        let failed = |e: std::io::Error| KernelError::QuarantineFailed { why: e.to_string() };
        let known = self.get(&entry.digest);
        if entry.step == Step::Receipt && known.is_some_and(|known| known.step.is_final()) {
            // Anybody can lay a bad receipt beside a digest: it must not make up for what the bytes themselves did.
            return Ok(());
        }
        let path = self.path(&entry.digest);
        let temporary = path.with_extension("tmp");
        let mut file = fs::File::create(&temporary).map_err(failed)?;
        let text = serde_json::to_vec_pretty(&entry).map_err(|e| failed(e.into()))?;
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(failed)?;
        fs::rename(&temporary, &path).map_err(failed)?;
        let mut entries = self.entries.write();
        entries.insert(entry.digest, entry);
        if entries.len() > ENTRIES_MAX
            && let Some(oldest) = entries
                .values()
                .min_by_key(|entry| entry.at_unix_ms)
                .map(|entry| entry.digest)
        {
            entries.remove(&oldest);
            let _ = fs::remove_file(self.path(&oldest));
        }
        Ok(())
    }

    /// The entry of a digest.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Quarantined> {
        self.entries.read().get(digest).cloned()
    }

    /// Forgets why bytes were refused that are admitted now. What failed later, in service, stays on record.
    pub(crate) fn clear_admitted(&self, digest: &Digest) {
        if self.get(digest).is_some_and(|entry| entry.step.is_of_admission()) {
            self.clear(digest);
        }
    }

    /// Forgets an entry.
    pub(crate) fn clear(&self, digest: &Digest) {
        if self.entries.write().remove(digest).is_some() {
            let _ = fs::remove_file(self.path(digest));
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}.json", digest.hex()))
    }
}

/// Fills an entry from a fault.
pub(crate) fn entry(
    (digest, manifest): (Digest, Digest),
    (urn, version): (String, String),
    step: Step,
    fault: &Fault,
    at_unix_ms: u64,
) -> Quarantined {
    Quarantined {
        digest,
        manifest,
        urn,
        version,
        step,
        code: fault.code.to_string(),
        message: fault.message.clone(),
        fix: fault.fix.clone(),
        at_unix_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bytes: &[u8], step: Step) -> Quarantined {
        let fault = Fault {
            code: "KIN-X-1",
            kind: kinetic_model::ErrorKind::Conformance,
            message: "m".into(),
            fix: "f".into(),
        };
        entry(
            (Digest::of(bytes), Digest::of(b"manifest")),
            ("urn".into(), "1.0.0".into()),
            step,
            &fault,
            1,
        )
    }

    #[test]
    fn an_entry_survives_a_restart_and_a_half_written_one_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::open(folder.path()).unwrap();
        quarantine.add(sample(b"a", Step::Compile)).unwrap();
        fs::write(folder.path().join("half.json"), b"{\"digest\":").unwrap();
        let again = Quarantine::open(folder.path()).unwrap();
        assert_eq!(again.list().len(), 1);
        assert!(again.forbids(&Digest::of(b"a"), &Digest::of(b"manifest")).is_some());
        assert!(again.forbids(&Digest::of(b"a"), &Digest::of(b"other")).is_none());
    }

    #[test]
    fn a_bad_receipt_does_not_take_the_place_of_what_the_bytes_did() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::open(folder.path()).unwrap();
        quarantine.add(sample(b"a", Step::Compile)).unwrap();
        let other = Quarantined {
            manifest: Digest::of(b"other"),
            ..sample(b"a", Step::Receipt)
        };
        quarantine.add(other).unwrap();
        assert!(
            quarantine
                .forbids(&Digest::of(b"a"), &Digest::of(b"manifest"))
                .is_some()
        );
    }

    #[test]
    fn what_an_operator_can_change_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::open(folder.path()).unwrap();
        quarantine.add(sample(b"a", Step::Receipt)).unwrap();
        assert!(
            quarantine
                .forbids(&Digest::of(b"a"), &Digest::of(b"manifest"))
                .is_none()
        );
    }
}
