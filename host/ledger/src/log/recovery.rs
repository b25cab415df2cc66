//! Opening a log: finds its head, cuts off what a crash left half written, refuses what somebody changed.

use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, RwLock};

use super::LogConfig;
use super::append::{Log, Output, Pending, Sequencer, Shared, damaged};
use super::disk::Disk;
use super::marks::Marks;
use super::scan::Frames;
use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader, list_segments, note};
use super::sync::{Tree, Wish, read_head, write_head};
use crate::LedgerError;
use crate::error::io;
use crate::merkle::{Checkpoint, CheckpointFile, Hash, Leaves as _, Signer, TreeFiles};
use crate::retention::Horizon;

/// The last segment, read to its end.
struct Tail {
    segment: Segment,
    next: u64,
    chain: Hash,
    leaves: Vec<Hash>,
    last_unix_ns: u64,
}

impl Log {
    /// Opens the log in `folder`, or begins one.
    ///
    /// # Errors
    /// `Damaged` or `Missing` when a record that was on disk is not what it was; `CheckpointMismatch` when the log
    /// contradicts what was signed; `Io`, `DiskFull`.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        config: LogConfig,
        signer: Signer,
        horizon: Option<&Horizon>,
    ) -> Result<Self, LedgerError> {
        let segments_folder = folder.join("segments");
        let tree_folder = folder.join("tree");
        disk.list(&tree_folder).map_err(io("make the tree's folder"))?;
        let (checkpoints, notes) = CheckpointFile::open(&*disk, &folder.join("checkpoints"))?;
        let last = last_signed(notes, &signer);
        let head = disk
            .open(&folder.join("head"), true)
            .map_err(io("open the ledger's head"))?;
        let known = read_head(&*head).max(last.as_ref().map_or(0, |last| last.size));

        let (sealed, tail) = open_segments(&*disk, &segments_folder, &config, known)?;
        let next = tail.next;
        if next < known {
            return Err(LedgerError::Missing {
                seq: next,
                why: format!("the log ends at {next}, but {known} records were on disk before"),
            });
        }
        // A restart counts what it read as on disk, so it has to be.
        tail.segment.file.sync_data().map_err(io("sync the last segment"))?;
        let capacity = config.segment_bytes.max(tail.segment.end());
        let (chain, last_unix_ns, position) = (tail.chain, tail.last_unix_ns, tail.segment.end());
        let (first, leaves) = (tail.segment.header.first, tail.leaves);
        let active = Arc::new(tail.segment);
        let mut segments = sealed;
        segments.push(active.clone());
        check_begin(&segments, horizon)?;
        let files = open_tree(&*disk, &tree_folder, &segments, (first, &leaves), last.as_ref())?;
        if let Some(horizon) = horizon
            && files.frontier(horizon.first)?.root() != horizon.root
        {
            return Err(LedgerError::CheckpointMismatch {
                size: horizon.first,
                why: "the tree's hashes of the records that were removed are others".into(),
            });
        }
        let frontier = files.frontier(next)?;
        write_head(&*head, next).map_err(io("write the ledger's head"))?;
        let shared = Shared {
            disk,
            folder: segments_folder,
            config,
            sequencer: Mutex::new(Sequencer {
                next,
                chain,
                position,
                capacity,
                pending: Pending::default(),
                closed: false,
            }),
            output: Mutex::new(Output::new(active)),
            marks: Mutex::new(Marks::default()),
            segments: RwLock::new(segments),
            tree: Mutex::new(Tree {
                frontier,
                files,
                checkpoints,
                last,
                last_at: Instant::now(),
                signer,
                head,
            }),
            wish: Mutex::new(Wish::default()),
            wished: Condvar::new(),
            written: AtomicU64::new(next),
            synced: AtomicU64::new(next),
            visible: AtomicU64::new(next),
            last_unix_ns: AtomicU64::new(last_unix_ns),
            failed: OnceLock::new(),
            before_visible: OnceLock::new(),
            on_visible: OnceLock::new(),
            on_synced: OnceLock::new(),
        };
        Self::start(Arc::new(shared))
    }
}

/// The newest note that this host's key signed.
fn last_signed(notes: Vec<Checkpoint>, signer: &Signer) -> Option<Checkpoint> {
    notes.into_iter().rev().find_map(|claimed| {
        let opened = Checkpoint::open(&claimed.note, signer.origin(), &signer.public());
        if let Err(error) = &opened {
            tracing::warn!("a checkpoint is not this host's: {error}");
        }
        opened.ok()
    })
}

/// Whether the log begins where it may.
fn check_begin(segments: &[Arc<Segment>], horizon: Option<&Horizon>) -> Result<(), LedgerError> {
    let Some(begin) = segments.first() else { return Ok(()) };
    let first = horizon.map_or(0, |horizon| horizon.first);
    if begin.header.first > first {
        return Err(LedgerError::Missing {
            seq: first,
            why: format!(
                "the log begins with {}, and no horizon was signed for that",
                begin.header.first
            ),
        });
    }
    match horizon {
        Some(horizon) if begin.header.first == first && begin.header.chain != horizon.chain => Err(damaged(
            begin,
            first,
            16,
            "the segment does not follow from the records that were removed".into(),
        )),
        _ => Ok(()),
    }
}

fn open_segments(
    disk: &dyn Disk,
    folder: &Path,
    config: &LogConfig,
    known: u64,
) -> Result<(Vec<Arc<Segment>>, Tail), LedgerError> {
    let mut listed = list_segments(disk, folder)?;
    let tail = loop {
        let Some((first, path)) = listed.pop() else {
            let header = SegmentHeader {
                first: 0,
                chain: [0; 32],
            };
            let made = Segment::create(disk, folder, header, config.segment_bytes).map_err(io("begin the log"))?;
            let segment = Arc::into_inner(made).ok_or(LedgerError::Closed {})?;
            break Tail {
                segment,
                next: 0,
                chain: [0; 32],
                leaves: Vec::new(),
                last_unix_ns: 0,
            };
        };
        let file = disk.open(&path, true).map_err(io("open the last segment"))?;
        let header = SegmentHeader::read(&*file).map_err(io("read the last segment"))?;
        match header.filter(|header| header.first == first) {
            Some(header) => {
                let end = file.len().map_err(io("read the last segment"))?;
                let segment = Segment::new(header, path, file, end, Some(Vec::new()));
                let tail = read_tail(segment, known)?;
                break tail;
            }
            // A crash while it was made, before any record was in it: the log ends with the one before.
            None if first >= known => disk.remove(&path).map_err(io("remove an unfinished segment"))?,
            None => {
                return Err(LedgerError::Damaged {
                    seq: first,
                    file: path.display().to_string(),
                    byte: 0,
                    why: "the segment's header does not fit its checksum".into(),
                });
            }
        }
    };
    let mut sealed = Vec::with_capacity(listed.len());
    for (first, path) in listed {
        let file = disk.open(&path, true).map_err(io("open a segment"))?;
        let header = SegmentHeader::read(&*file).map_err(io("read a segment"))?;
        // A damaged old segment is named when it is read; the host can start without it.
        let header = header
            .filter(|header| header.first == first)
            .unwrap_or(SegmentHeader { first, chain: [0; 32] });
        sealed.push(Arc::new(Segment::sealed(header, path, file)?));
    }
    Ok((sealed, tail))
}

/// Reads the last segment. What a crash left half written is cut off; a record that was on disk before and is not what it
/// was is damage, and the log does not open.
fn read_tail(segment: Segment, known: u64) -> Result<Tail, LedgerError> {
    let (mut leaves, mut index) = (Vec::new(), Vec::new());
    let mut last_unix_ns = 0;
    let (next, end, chain) = {
        let mut frames = Frames::new(&*segment.file, &segment.header, segment.end());
        loop {
            let at = frames.at();
            match frames.next_record()? {
                Ok(Some((record, leaf))) => {
                    note(&mut index, record.seq, at);
                    last_unix_ns = record.unix_ns;
                    leaves.push(leaf);
                }
                Ok(None) => break,
                Err(problem) => {
                    let evidence = frames.evidence_after()?;
                    let on_disk = known.max(evidence.map_or(0, |(_, durable)| durable));
                    if problem.seq < on_disk {
                        return Err(damaged(&segment, problem.seq, problem.at, problem.why));
                    }
                    tracing::warn!(
                        seq = problem.seq,
                        byte = problem.at,
                        "cut off what a crash left half written: {}",
                        problem.why
                    );
                    segment
                        .file
                        .set_len(problem.at)
                        .map_err(io("cut off a half-written record"))?;
                    break;
                }
            }
        }
        (frames.next_seq(), frames.at(), frames.chain())
    };
    let segment = Segment::new(
        segment.header,
        segment.path,
        segment.file,
        end.max(SEGMENT_HEADER_BYTES),
        Some(index),
    );
    Ok(Tail {
        segment,
        next,
        chain,
        leaves,
        last_unix_ns,
    })
}

/// Opens the tree's files and brings them to the log's head; when they contradict the log or what was signed, they are
/// made anew, and if the log itself contradicts what was signed, that is said.
fn open_tree(
    disk: &dyn Disk,
    folder: &Path,
    segments: &[Arc<Segment>],
    (first, leaves): (u64, &[Hash]),
    last: Option<&Checkpoint>,
) -> Result<TreeFiles, LedgerError> {
    let next = first + leaves.len() as u64;
    let mut files = TreeFiles::open(disk, folder, next)?;
    // What comes before the first segment cannot be made anew.
    let begin = segments.first().map_or(0, |segment| segment.header.first);
    if files.size() < begin {
        return Err(LedgerError::Missing {
            seq: files.size(),
            why: "the tree's file lost the hash of a record that was removed".into(),
        });
    }
    let overlap = files.size().saturating_sub(first);
    let same = leaves.get(..usize::try_from(overlap).unwrap_or(usize::MAX))
        == Some(&files.leaves(first.min(files.size()), files.size())?[..]);
    if overlap > 0 && !same {
        files.shorten(begin)?;
    }
    catch_up(&mut files, segments, (first, leaves))?;
    let Some(last) = last else {
        return Ok(files);
    };
    if files.frontier(last.size)?.root() != last.root {
        tracing::warn!(
            "the tree's files contradict checkpoint {}; they are made anew from the log",
            last.size
        );
        files.shorten(begin)?;
        catch_up(&mut files, segments, (first, leaves))?;
        if files.frontier(last.size)?.root() != last.root {
            return Err(LedgerError::CheckpointMismatch {
                size: last.size,
                why: "the root of its records is another".into(),
            });
        }
    }
    Ok(files)
}

fn catch_up(
    files: &mut TreeFiles,
    segments: &[Arc<Segment>],
    (first, leaves): (u64, &[Hash]),
) -> Result<(), LedgerError> {
    for (i, segment) in segments.iter().enumerate() {
        let after = segments.get(i + 1).map_or(first, |next| next.header.first);
        if segment.header.first >= first || after <= files.size() {
            continue;
        }
        let mut frames = Frames::new(&*segment.file, &segment.header, segment.end());
        let mut missing = Vec::new();
        loop {
            match frames.next_record()? {
                Ok(Some((record, leaf))) if record.seq >= files.size() => missing.push(leaf),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(problem) => return Err(damaged(segment, problem.seq, problem.at, problem.why)),
            }
        }
        files.append(&missing)?;
    }
    let done = usize::try_from(files.size().saturating_sub(first)).unwrap_or(usize::MAX);
    files.append(leaves.get(done..).unwrap_or_default())
}
