//! Verifying a ledger offline, from its files alone: every record's checksum, place and hash, every checkpoint's signature
//! and root. What is wrong is named by record, file and byte.

use std::path::Path;

use kinetic_identity::PublicKey;
use serde::Serialize;

use crate::LedgerError;
use crate::error::io;
use crate::log::{Disk, Frames, SEGMENT_HEADER_BYTES, SegmentHeader, list_segments};
use crate::merkle::{Checkpoint, CheckpointFile, Frontier, Hash, Leaves as _, TreeFiles};
use crate::retention::{Horizon, is_whole};

/// The most findings listed; one flipped byte in a chain shows once, so more means the rest is not worth reading.
const FINDINGS_MAX: usize = 100;
/// How many of the tree's leaves are read at a time.
const LEAVES_READ: u64 = 1 << 16;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The first record concerned.
    pub seq: u64,
    /// The file.
    pub file: String,
    /// Where in it, in bytes.
    pub byte: u64,
    /// What is wrong.
    pub what: String,
}

/// What verifying found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The first record there is. Those before it were removed by retention, which the host signed.
    pub first: u64,
    /// Records read.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Checkpoints whose signature and root fit.
    pub checkpoints: u64,
    /// Records that the newest good checkpoint covers; those after it are held by checksum and chain only.
    pub covered: u64,
    /// A last record that a crash left half written, at this byte of the last segment: it was never acknowledged.
    pub half_written: Option<u64>,
    /// What is wrong; empty means that nothing was changed, dropped or reordered.
    pub findings: Vec<Finding>,
}

/// Verifies the ledger in `folder`. `origin` and `key` are whose checkpoints count; `witness` is a checkpoint somebody kept
/// elsewhere: with it, even an end cut off together with its checkpoints is found.
///
/// # Errors
/// When the files cannot be read at all.
pub fn verify(
    disk: &dyn Disk,
    folder: &Path,
    origin: &str,
    key: &PublicKey,
    witness: Option<&str>,
) -> Result<Verified, LedgerError> {
    let mut report = Verified::default();
    let mut checkpoints = checkpoints(disk, folder, origin, key, &mut report)?;
    if let Some(note) = witness {
        checkpoints.push(Checkpoint::open(note, origin, key)?);
        checkpoints.sort_by_key(|checkpoint| checkpoint.size);
    }
    let mut walk = Walk {
        tree: Frontier::default(),
        chain: None,
        checkpoints: checkpoints.into_iter().peekable(),
        report,
        good: 0,
        since: Vec::new(),
    };
    let segments = list_segments(disk, &folder.join("segments"))?;
    let files = TreeFiles::read_only(disk, &folder.join("tree"));
    if let Some((first, path)) = segments.first().filter(|(first, _)| *first > 0) {
        // A folder that cannot be listed has no horizon: then records are missing.
        let horizon = Horizon::newest(disk, folder, origin, key).unwrap_or_default();
        let begun = walk.begin_at(*first, horizon.as_ref(), files.as_ref());
        let whole = match (begun, &horizon) {
            (Ok(()), Some(horizon)) if is_whole(disk, folder, horizon)? => Ok(()),
            (Ok(()), _) => Err("what stands for the records that were removed is not what was signed".to_string()),
            (Err(what), _) => Err(what),
        };
        if let Err(what) = whole {
            walk.found(0, &path.file_name().unwrap_or_default().to_string_lossy(), 0, what);
            return Ok(walk.end());
        }
    }
    for (i, (first, path)) in segments.iter().enumerate() {
        let file = disk.open(path, false).map_err(io("open a segment"))?;
        let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let last = i + 1 == segments.len();
        walk.segment(&*file, *first, &shown, last, files.as_ref())?;
        if walk.report.findings.len() >= FINDINGS_MAX {
            break;
        }
    }
    Ok(walk.end())
}

/// The checkpoints that `key` signed; the others are findings.
fn checkpoints(
    disk: &dyn Disk,
    folder: &Path,
    origin: &str,
    key: &PublicKey,
    report: &mut Verified,
) -> Result<Vec<Checkpoint>, LedgerError> {
    let mut good: Vec<Checkpoint> = Vec::new();
    let Ok(file) = disk.open(&folder.join("checkpoints"), false) else {
        return Ok(good);
    };
    let (notes, _, damaged) = CheckpointFile::read(&*file)?;
    let mut found = |seq: u64, what: String| {
        report.findings.push(Finding {
            seq,
            file: "checkpoints".into(),
            byte: 0,
            what,
        });
    };
    if damaged > 0 {
        found(0, format!("{damaged} checkpoints cannot be read"));
    }
    for note in notes {
        match Checkpoint::open(&note.note, origin, key) {
            Ok(checkpoint) if good.last().is_none_or(|last| last.size < checkpoint.size) => good.push(checkpoint),
            Ok(checkpoint) => found(checkpoint.size, "a checkpoint stands after a larger one".into()),
            Err(error) => found(note.size, error.to_string()),
        }
    }
    Ok(good)
}

struct Walk {
    tree: Frontier,
    chain: Option<Hash>,
    checkpoints: std::iter::Peekable<std::vec::IntoIter<Checkpoint>>,
    report: Verified,
    /// Size of the last checkpoint whose root fitted.
    good: u64,
    /// The leaves since then.
    since: Vec<Hash>,
}

impl Walk {
    /// Begins with a record that is not the first one, as far as that was signed and the tree's hashes before it are
    /// those that were.
    fn begin_at(&mut self, first: u64, horizon: Option<&Horizon>, files: Option<&TreeFiles>) -> Result<(), String> {
        let missing = format!("records 0 to {} are missing", first - 1);
        let Some(horizon) = horizon.filter(|horizon| first <= horizon.first) else {
            return Err(format!("{missing}, and the host did not sign that it removed them"));
        };
        let unsigned = || format!("{missing}, and the tree's hashes of them are not those that were signed");
        let files = files.ok_or_else(unsigned)?;
        // From each single hash: later proofs need them all.
        let mut tree = Frontier::default();
        while tree.size() < horizon.first {
            let to = horizon.first.min(tree.size() + LEAVES_READ);
            for leaf in files.leaves(tree.size(), to).map_err(|_| unsigned())? {
                if tree.size() == first {
                    self.tree = tree.clone();
                }
                tree.push(leaf);
            }
        }
        if tree.root() != horizon.root {
            return Err(unsigned());
        }
        if first == horizon.first {
            self.tree = tree;
        }
        self.report.first = first;
        self.good = first;
        self.chain = (first == horizon.first).then_some(horizon.chain);
        Ok(())
    }

    fn found(&mut self, seq: u64, file: &str, byte: u64, what: impl Into<String>) {
        self.report.findings.push(Finding {
            seq,
            file: file.into(),
            byte,
            what: what.into(),
        });
    }

    fn segment(
        &mut self,
        file: &dyn crate::log::DiskFile,
        first: u64,
        name: &str,
        last: bool,
        files: Option<&TreeFiles>,
    ) -> Result<(), LedgerError> {
        let end = file.len().map_err(io("read a segment"))?;
        let expected = self.tree.size();
        if first != expected {
            let what = if first > expected {
                format!(
                    "records {expected} to {} are missing: this segment begins with {first}",
                    first - 1
                )
            } else {
                format!("this segment begins with {first}, but {expected} comes next")
            };
            self.found(expected, name, 0, what);
            return Ok(());
        }
        let header = SegmentHeader::read(file).map_err(io("read a segment"))?;
        let Some(header) = header.filter(|header| header.first == first) else {
            if !(last && end <= SEGMENT_HEADER_BYTES) {
                self.found(
                    first,
                    name,
                    0,
                    "the segment's header does not fit its checksum or its name",
                );
            }
            return Ok(());
        };
        if self.chain.is_some_and(|chain| chain != header.chain) {
            self.found(
                first,
                name,
                16,
                "the segment does not follow from the one before it: its chain hash is another",
            );
        }
        let mut frames = Frames::new(file, &header, end);
        loop {
            match frames.next_record()? {
                Ok(Some((record, leaf))) => {
                    self.tree.push(leaf);
                    if self.checkpoints.peek().is_some() {
                        self.since.push(leaf);
                    }
                    self.report.records += 1;
                    self.check_roots(name, frames.at(), record.seq, files);
                }
                Ok(None) => break,
                Err(problem) => {
                    let later = frames.evidence_after()?;
                    let covered = self.checkpoints.peek().is_some();
                    if last && !covered && later.is_none_or(|(_, durable)| durable <= problem.seq) {
                        self.report.half_written = Some(problem.at);
                    } else {
                        self.found(problem.seq, name, problem.at, problem.why);
                    }
                    break;
                }
            }
        }
        self.report.bytes += frames.at();
        self.chain = Some(frames.chain());
        Ok(())
    }

    /// Compares the root with each checkpoint over exactly so many records.
    fn check_roots(&mut self, name: &str, byte: u64, seq: u64, files: Option<&TreeFiles>) {
        let size = self.tree.size();
        while let Some(checkpoint) = self.checkpoints.next_if(|next| next.size <= size) {
            if checkpoint.size < size {
                // It covers records that retention removed.
                continue;
            }
            if checkpoint.root == self.tree.root() {
                self.report.checkpoints += 1;
                self.good = size;
                self.since.clear();
                self.report.covered = size;
                continue;
            }
            let from = self.good;
            let changed = first_other_leaf(files, from, &self.since);
            let what = match changed {
                Some(changed) => {
                    format!("record {changed} was changed after it was signed: its hash is not the one the tree has")
                }
                None => format!(
                    "records {from} to {seq} are not those that the checkpoint over {size} signed; which of them was changed, the files do not tell"
                ),
            };
            self.found(changed.unwrap_or(from), name, byte, what);
            // One change breaks every later root: said once.
            self.checkpoints = Vec::new().into_iter().peekable();
        }
    }

    fn end(mut self) -> Verified {
        let size = self.tree.size();
        if let Some(missing) = self.checkpoints.find(|checkpoint| checkpoint.size > size)
            && self.report.findings.is_empty()
        {
            let what = format!(
                "a checkpoint covers {} records, but the log ends at {size}",
                missing.size
            );
            self.found(size, "checkpoints", 0, what);
        }
        self.report
    }
}

/// The first record whose leaf is not the one the tree's file has.
fn first_other_leaf(files: Option<&TreeFiles>, from: u64, read: &[Hash]) -> Option<u64> {
    let kept = files?.leaves(from, from + read.len() as u64).ok()?;
    let same = kept.iter().zip(read).position(|(kept, read)| kept != read)?;
    Some(from + same as u64)
}
