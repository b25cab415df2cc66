//! Signed checkpoints (c2sp.org/tlog-checkpoint): the tree's size and root in a signed note, one signature for many records.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinetic_identity::{PublicKey, SigningKey, open_note, sign_note};

use super::Hash;
use crate::LedgerError;
use crate::error::io;
use crate::log::{Disk, DiskFile};

/// The most bytes of checkpoints kept; then every second one goes, oldest half first.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a host said about its log: so many records, this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name: also the name of the signing key.
    pub origin: String,
    /// Records it covers.
    pub size: u64,
    /// The Merkle tree's root over them.
    pub root: Hash,
    /// The whole signed note.
    pub note: String,
}

impl Checkpoint {
    /// Reads a note and checks its signature.
    ///
    /// # Errors
    /// `CheckpointMismatch` when it is no checkpoint, or not signed by that key.
    pub fn open(note: &str, origin: &str, key: &PublicKey) -> Result<Self, LedgerError> {
        let mismatch = |size: u64, why: String| LedgerError::CheckpointMismatch { size, why };
        let claimed = Self::parse(note).ok_or_else(|| mismatch(0, "it is no checkpoint".into()))?;
        open_note(note, origin, key).map_err(|e| mismatch(claimed.size, e.to_string()))?;
        if claimed.origin != origin {
            return Err(mismatch(claimed.size, format!("it is of the log {}", claimed.origin)));
        }
        Ok(claimed)
    }

    /// Reads a note; believes it.
    pub(crate) fn parse(note: &str) -> Option<Self> {
        let mut lines = note.lines();
        let origin = lines.next()?.to_string();
        let size = lines.next()?;
        let number: u64 = size.parse().ok()?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        // One spelling per number: no sign, no leading zero.
        (number.to_string() == size).then(|| Self {
            origin,
            size: number,
            root,
            note: note.to_string(),
        })
    }
}

/// Who signs checkpoints.
pub(crate) struct Signer {
    origin: String,
    key: SigningKey,
}

impl Signer {
    pub(crate) const fn new(origin: String, key: SigningKey) -> Self {
        Self { origin, key }
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.key.public()
    }

    pub(crate) const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A signed note of any text.
    pub(crate) fn sign_text(&self, text: &str) -> Result<String, LedgerError> {
        sign_note(&self.origin, text, &self.key).map_err(|e| LedgerError::Io {
            what: "sign a note".into(),
            why: e.to_string(),
        })
    }

    pub(crate) fn sign(&self, size: u64, root: &Hash) -> Result<Checkpoint, LedgerError> {
        let note = self.sign_text(&format!("{}\n{size}\n{}\n", self.origin, STANDARD.encode(root)))?;
        Ok(Checkpoint {
            origin: self.origin.clone(),
            size,
            root: *root,
            note,
        })
    }
}

/// The file of checkpoints: notes one after the other, smallest first.
pub(crate) struct CheckpointFile {
    file: Box<dyn DiskFile>,
    end: u64,
}

impl CheckpointFile {
    /// Opens the file; a half-written last note is cut off. Gives the notes, their signatures unchecked.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<(Self, Vec<Checkpoint>), LedgerError> {
        let file = disk.open(path, true).map_err(io("open the checkpoints"))?;
        let (notes, end, _) = Self::read(&*file)?;
        if file.len().map_err(io("read the checkpoints"))? > end {
            file.set_len(end).map_err(io("shorten the checkpoints"))?;
        }
        Ok((Self { file, end }, notes))
    }

    /// The whole notes of a file, where they end, and how many could not be read.
    pub(crate) fn read(file: &dyn DiskFile) -> Result<(Vec<Checkpoint>, u64, u64), LedgerError> {
        let length = file.len().map_err(io("read the checkpoints"))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).map_err(io("read the checkpoints"))?;
        let mut notes = Vec::new();
        let (mut start, mut end, mut damaged) = (0, 0, 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            end += line.len();
            if line.starts_with("\u{2014} ".as_bytes()) && line.ends_with(b"\n") {
                let note = bytes.get(start..end).and_then(|note| std::str::from_utf8(note).ok());
                match note.and_then(Checkpoint::parse) {
                    Some(checkpoint) => notes.push(checkpoint),
                    None => damaged += 1,
                }
                start = end;
            }
        }
        Ok((notes, start as u64, damaged))
    }

    /// Appends a note. Not synced: what it covers is, and the next one covers it again.
    pub(crate) fn append(&mut self, checkpoint: &Checkpoint) -> Result<(), LedgerError> {
        if self.end > FILE_BYTES_MAX {
            self.thin()?;
        }
        self.file
            .write_at(checkpoint.note.as_bytes(), self.end)
            .map_err(io("write a checkpoint"))?;
        self.end += checkpoint.note.len() as u64;
        Ok(())
    }

    /// Drops every second note of the older half: recent history stays dense.
    fn thin(&mut self) -> Result<(), LedgerError> {
        let (notes, _, _) = Self::read(&*self.file)?;
        let half = notes.len() / 2;
        let kept = notes
            .iter()
            .enumerate()
            .filter(|(i, _)| *i >= half || i % 2 == 1)
            .map(|(_, note)| note.note.as_str());
        let text: String = kept.collect();
        // Shorter than before and read up to the first note that does not parse: a crash in between loses old
        // checkpoints, never a record.
        self.file
            .write_at(text.as_bytes(), 0)
            .map_err(io("thin the checkpoints"))?;
        self.end = text.len() as u64;
        self.file.set_len(self.end).map_err(io("thin the checkpoints"))
    }
}
