//! The horizon: what the host signed when it removed the oldest records, so that verifying can tell that from theft.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinetic_identity::{PublicKey, open_note};
use kinetic_model::Digest;

use crate::LedgerError;
use crate::error::io;
use crate::log::Disk;
use crate::merkle::{Hash, Signer};

/// The first line of a note: it can be taken for nothing else that the key signs.
const KIND: &str = "kinetic-log-horizon/v1";
const NOTE: &str = ".note";
const BASE: &str = ".base";

/// Records below a number were removed; this is what stands for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// The first record kept: the first of a segment.
    pub(crate) first: u64,
    /// The chain hash before it.
    pub(crate) chain: Hash,
    /// The root of the tree over the records that were removed.
    pub(crate) root: Hash,
    /// The base holds what the views made of the records below this number.
    pub(crate) applied: u64,
    /// SHA-256 of the base.
    pub(crate) base: Digest,
}

impl Horizon {
    fn text(&self, origin: &str) -> String {
        format!(
            "{KIND}\n{origin}\n{}\n{}\n{}\n{}\n{}\n",
            self.first,
            STANDARD.encode(self.chain),
            STANDARD.encode(self.root),
            self.applied,
            self.base,
        )
    }

    fn parse(text: &str, origin: &str) -> Option<Self> {
        let mut lines = text.lines();
        let kind = lines.next()? == KIND && lines.next()? == origin;
        let horizon = Self {
            first: lines.next()?.parse().ok()?,
            chain: STANDARD.decode(lines.next()?).ok()?.try_into().ok()?,
            root: STANDARD.decode(lines.next()?).ok()?.try_into().ok()?,
            applied: lines.next()?.parse().ok()?,
            base: lines.next()?.parse().ok()?,
        };
        // One spelling only.
        (kind && horizon.text(origin) == text).then_some(horizon)
    }

    /// Signs it and puts it on disk; its base is there already.
    pub(crate) fn save(&self, disk: &dyn Disk, ledger: &Path, signer: &Signer) -> Result<(), LedgerError> {
        let note = signer.sign_text(&self.text(signer.origin()))?;
        let path = path(ledger, self.first, NOTE);
        let file = disk.open(&path, true).map_err(io("make the horizon's note"))?;
        file.set_len(0)
            .and_then(|()| file.write_at(note.as_bytes(), 0))
            .and_then(|()| file.sync_data())
            .and_then(|()| disk.sync_folder(&folder(ledger)))
            .map_err(io("write the horizon's note"))
    }

    /// The newest one that `key` signed; none where nothing was removed. A half-written note counts for nothing: its
    /// records are removed only when it is on disk.
    pub(crate) fn newest(
        disk: &dyn Disk,
        ledger: &Path,
        origin: &str,
        key: &PublicKey,
    ) -> Result<Option<Self>, LedgerError> {
        let mut newest: Option<Self> = None;
        for (first, suffix) in list(disk, ledger)? {
            if suffix != NOTE {
                continue;
            }
            let found = read(disk, &path(ledger, first, NOTE))?;
            let note = String::from_utf8(found).unwrap_or_default();
            let horizon = open_note(&note, origin, key)
                .ok()
                .and_then(|text| Self::parse(text, origin));
            match horizon.filter(|horizon| horizon.first == first) {
                Some(horizon) if newest.as_ref().is_none_or(|newest| newest.first < first) => newest = Some(horizon),
                Some(_) => {}
                None => tracing::warn!(first, "the note of a horizon is not this host's, or half written"),
            }
        }
        Ok(newest)
    }

    /// Where its base is.
    pub(crate) fn base_path(ledger: &Path, first: u64) -> PathBuf {
        path(ledger, first, BASE)
    }

    /// Removes notes and bases of other horizons.
    pub(crate) fn remove_others(&self, disk: &dyn Disk, ledger: &Path) -> Result<(), LedgerError> {
        for (first, suffix) in list(disk, ledger)? {
            if first != self.first {
                disk.remove(&path(ledger, first, suffix))
                    .map_err(io("remove an old horizon"))?;
            }
        }
        Ok(())
    }
}

fn folder(ledger: &Path) -> PathBuf {
    ledger.join("horizon")
}

fn path(ledger: &Path, first: u64, suffix: &str) -> PathBuf {
    folder(ledger).join(format!("{first:020}{suffix}"))
}

fn list(disk: &dyn Disk, ledger: &Path) -> Result<Vec<(u64, &'static str)>, LedgerError> {
    let names = disk.list(&folder(ledger)).map_err(io("list the horizon's folder"))?;
    let known = |name: String| {
        let suffix = [NOTE, BASE].into_iter().find(|suffix| name.ends_with(suffix))?;
        let digits = name.strip_suffix(suffix)?;
        (digits.len() == 20)
            .then(|| digits.parse().ok())
            .flatten()
            .map(|first| (first, suffix))
    };
    Ok(names.into_iter().filter_map(known).collect())
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, LedgerError> {
    let read = || {
        let file = disk.open(path, false)?;
        // A note has a few lines; anything larger is none.
        let mut bytes = vec![0; usize::try_from(file.len()?.min(64 << 10)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).map(|()| bytes)
    };
    read().map_err(io("read the horizon's note"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_horizon_has_one_spelling_and_one_log() {
        let horizon = Horizon {
            first: 7,
            chain: [1; 32],
            root: [2; 32],
            applied: 9,
            base: Digest::EMPTY,
        };
        let text = horizon.text("kinetic/ledger/a");
        assert_eq!(Horizon::parse(&text, "kinetic/ledger/a"), Some(horizon));
        assert_eq!(Horizon::parse(&text, "kinetic/ledger/b"), None);
        assert_eq!(
            Horizon::parse(&text.replace("\n7\n", "\n07\n"), "kinetic/ledger/a"),
            None
        );
        assert_eq!(Horizon::parse(&format!("{text}more\n"), "kinetic/ledger/a"), None);
    }
}
