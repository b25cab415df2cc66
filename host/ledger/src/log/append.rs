//! Appending: each record gets its number and hash under one lock, then many are written and synced together.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::oneshot;

use super::LogConfig;
use super::disk::Disk;
use super::frame::{HEADER_BYTES, Header, Leaf, chain_hash};
use super::marks::Marks;
use super::scan::{Frames, Record};
use super::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentHeader};
use super::sync::{Tree, Wish};
use crate::merkle::Hash;
use crate::{Durability, LedgerError};

/// Told how far something has come.
pub(crate) type Watcher = Box<dyn Fn(u64) + Send + Sync>;

/// The log. One for a folder.
pub(crate) struct Log {
    pub(crate) shared: Arc<Shared>,
    pub(crate) syncing: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) sequencer: Mutex<Sequencer>,
    pub(crate) output: Mutex<Output>,
    pub(crate) marks: Mutex<Marks>,
    pub(crate) segments: RwLock<Vec<Arc<Segment>>>,
    pub(crate) tree: Mutex<Tree>,
    pub(crate) wish: Mutex<Wish>,
    pub(crate) wished: Condvar,
    /// Below this number everything was written...
    pub(crate) written: AtomicU64,
    /// ...is on disk...
    pub(crate) synced: AtomicU64,
    /// ...is acknowledged, so that views may show it.
    pub(crate) visible: AtomicU64,
    pub(crate) last_unix_ns: AtomicU64,
    pub(crate) failed: OnceLock<LedgerError>,
    pub(crate) before_visible: OnceLock<Box<dyn Fn() + Send + Sync>>,
    pub(crate) on_visible: OnceLock<Watcher>,
    pub(crate) on_synced: OnceLock<Watcher>,
}

/// What gives records their order.
pub(crate) struct Sequencer {
    pub(crate) next: u64,
    pub(crate) chain: Hash,
    /// Where the next frame will begin in its segment, and how much room that has.
    pub(crate) position: u64,
    pub(crate) capacity: u64,
    pub(crate) pending: Pending,
    pub(crate) closed: bool,
}

/// Records that have their place but are not written.
#[derive(Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    /// Number, start in `bytes`, leaf.
    records: Vec<(u64, usize, Hash)>,
    /// From this byte on, another segment.
    rolls: Vec<(usize, Arc<Segment>)>,
}

/// What writes.
pub(crate) struct Output {
    pub(crate) segment: Arc<Segment>,
    /// Leaves written but not in the tree yet.
    pub(crate) leaves: Vec<Hash>,
    spare: Pending,
}

impl Output {
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self {
            segment,
            leaves: Vec::new(),
            spare: Pending::default(),
        }
    }
}

/// A record that has its place in the log.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) seq: u64,
    pub(crate) leaf: Hash,
    pub(crate) unix_ns: u64,
    acknowledged: Option<oneshot::Receiver<()>>,
}

impl Log {
    /// Gives a record its place. `prepare` checks and appends the body and tells its leaf: its error means nothing
    /// happened. `stage` follows when nothing can go wrong any more. Both run under the lock that orders everything.
    ///
    /// `shown` says whether views show the record; then it is acknowledged in log order.
    pub(crate) fn append<T>(
        &self,
        durability: Durability,
        shown: bool,
        prepare: impl FnOnce(u64, &mut Vec<u8>) -> Result<(T, Leaf), LedgerError>,
        stage: impl FnOnce(u64, T),
    ) -> Result<Ticket, LedgerError> {
        let shared = &*self.shared;
        let ticket = {
            let mut sequencer = shared.sequencer.lock();
            shared.check_failed()?;
            if sequencer.closed {
                return Err(LedgerError::Closed {});
            }
            let sequencer = &mut *sequencer;
            let (seq, start) = (sequencer.next, sequencer.pending.bytes.len());
            sequencer.pending.bytes.resize(start + HEADER_BYTES, 0);
            let placed = prepare(seq, &mut sequencer.pending.bytes)
                .and_then(|prepared| shared.place(sequencer, start).map(|()| prepared));
            let (value, leaf) = match placed {
                Ok(prepared) => prepared,
                Err(error) => {
                    sequencer.pending.bytes.truncate(start);
                    return Err(error);
                }
            };
            let leaf = leaf.hash(seq);
            let unix_ns = shared.seal(sequencer, start, leaf);
            let acknowledged =
                (shown || durability == Durability::Synced).then(|| shared.marks.lock().expect(seq, durability));
            stage(seq, value);
            Ticket {
                seq,
                leaf,
                unix_ns,
                acknowledged,
            }
        };
        match durability {
            Durability::Synced => shared.wish_for_sync(),
            Durability::Written | Durability::Memory => {
                shared.flush()?;
                shared.wish_for_sync_later();
            }
        }
        Ok(ticket)
    }

    /// Writes what has its place.
    pub(crate) fn flush(&self) -> Result<(), LedgerError> {
        self.shared.flush()
    }

    /// Waits until the record is acknowledged.
    pub(crate) async fn acknowledged(&self, ticket: &mut Ticket) -> Result<(), LedgerError> {
        let Some(receiver) = ticket.acknowledged.take() else {
            return Ok(());
        };
        receiver.await.map_err(|_| self.shared.failure())
    }

    /// Waits until the record is acknowledged, on a thread of its own.
    pub(crate) fn acknowledged_blocking(&self, ticket: &mut Ticket) -> Result<(), LedgerError> {
        let Some(receiver) = ticket.acknowledged.take() else {
            return Ok(());
        };
        receiver.blocking_recv().map_err(|_| self.shared.failure())
    }

    /// Lets the views make ready what was staged, each time before more of it is visible. Set once.
    pub(crate) fn before_visible(&self, prepare: Box<dyn Fn() + Send + Sync>) {
        let _ = self.shared.before_visible.set(prepare);
    }

    /// Tells `watcher` each time more is visible. Set once.
    pub(crate) fn watch_visible(&self, watcher: Watcher) {
        let _ = self.shared.on_visible.set(watcher);
    }

    /// Tells `watcher` each time more is on disk. Set once.
    pub(crate) fn watch_synced(&self, watcher: Watcher) {
        let _ = self.shared.on_synced.set(watcher);
    }

    /// Below this number everything is acknowledged.
    pub(crate) fn visible(&self) -> u64 {
        self.shared.visible.load(Ordering::Acquire)
    }

    /// Below this number everything was written.
    pub(crate) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Acquire)
    }

    /// Below this number everything is on disk.
    pub(crate) fn synced(&self) -> u64 {
        self.shared.synced.load(Ordering::Acquire)
    }

    /// The first record there is.
    pub(crate) fn horizon(&self) -> u64 {
        let segments = self.shared.segments.read();
        segments.first().map_or(0, |segment| segment.header.first)
    }

    /// The wall time of the newest record, in nanoseconds since 1970; zero in an empty log.
    pub(crate) fn last_unix_ns(&self) -> u64 {
        self.shared.last_unix_ns.load(Ordering::Acquire)
    }

    /// The failure that stopped the log, if one did.
    pub(crate) fn failed(&self) -> Option<&LedgerError> {
        self.shared.failed.get()
    }

    /// Records from `seq` on, at most `limit`, never one that was not written.
    pub(crate) fn read(&self, seq: u64, limit: usize) -> Result<Vec<Record>, LedgerError> {
        let written = self.written();
        if seq >= written {
            return Err(LedgerError::NotYet { seq, next: written });
        }
        let horizon = self.horizon();
        if seq < horizon {
            return Err(LedgerError::BelowHorizon { seq, horizon });
        }
        let mut records = Vec::new();
        let mut seq = seq;
        while records.len() < limit && seq < written {
            let segment = self.shared.segment_of(seq)?;
            let mut frames = Frames::from_position(&*segment.file, segment.position(seq)?, segment.end())?;
            while frames.next_seq() < seq && frames.next_header()?.is_some() {}
            let before = records.len();
            while records.len() < limit && seq < written {
                match frames.next_record()? {
                    Ok(Some((record, _))) if record.seq == seq => records.push(record),
                    Ok(None) => break,
                    Ok(Some((record, _))) => {
                        return Err(damaged(
                            &segment,
                            seq,
                            frames.at(),
                            format!("record {} is in its place", record.seq),
                        ));
                    }
                    Err(problem) => return Err(damaged(&segment, problem.seq.max(seq), problem.at, problem.why)),
                }
                seq += 1;
            }
            if records.len() == before {
                return Err(damaged(&segment, seq, frames.at(), "the segment ends before it".into()));
            }
        }
        Ok(records)
    }
}

/// Names damage that a reader met.
pub(crate) fn damaged(segment: &Segment, seq: u64, byte: u64, why: String) -> LedgerError {
    LedgerError::Damaged {
        seq,
        file: segment.path.display().to_string(),
        byte,
        why,
    }
}

impl Shared {
    /// Finds room for the frame that begins at `start` of the pending bytes: in this segment, or in a new one.
    fn place(&self, sequencer: &mut Sequencer, start: usize) -> Result<(), LedgerError> {
        let frame_bytes = (sequencer.pending.bytes.len() - start) as u64;
        if sequencer.position + frame_bytes <= sequencer.capacity {
            return Ok(());
        }
        let capacity = self.config.segment_bytes.max(SEGMENT_HEADER_BYTES + frame_bytes);
        let header = SegmentHeader {
            first: sequencer.next,
            chain: sequencer.chain,
        };
        // Room on the disk is taken before anything is promised: a full disk refuses a commit, it never tears one.
        let segment = Segment::create(&*self.disk, &self.folder, header, capacity).map_err(|e| match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                LedgerError::DiskFull { bytes: capacity }
            }
            _ => LedgerError::Io {
                what: "begin a new segment".into(),
                why: e.to_string(),
            },
        })?;
        sequencer.pending.rolls.push((start, segment));
        sequencer.position = SEGMENT_HEADER_BYTES;
        sequencer.capacity = capacity;
        Ok(())
    }

    /// Writes the header, now that nothing can go wrong; gives the wall time it put there.
    fn seal(&self, sequencer: &mut Sequencer, start: usize, leaf: Hash) -> u64 {
        let chain = chain_hash(&sequencer.chain, &leaf);
        let unix_ns = now_unix_ns().max(self.last_unix_ns.load(Ordering::Relaxed));
        let frame = sequencer.pending.bytes.get_mut(start..).unwrap_or_default();
        let frame_bytes = frame.len();
        let header = Header {
            crc: 0,
            body_bytes: u32::try_from(frame_bytes.saturating_sub(HEADER_BYTES)).unwrap_or(u32::MAX),
            seq: sequencer.next,
            unix_ns,
            durable: self.synced.load(Ordering::Relaxed),
            chain,
        };
        header.write(frame);
        self.last_unix_ns.store(unix_ns, Ordering::Release);
        sequencer.pending.records.push((sequencer.next, start, leaf));
        sequencer.chain = chain;
        sequencer.next += 1;
        sequencer.position += frame_bytes as u64;
        unix_ns
    }

    /// Writes what is pending. Whoever comes while another writes finds its own record written with the next batch.
    pub(crate) fn flush(&self) -> Result<(), LedgerError> {
        {
            let mut output = self.output.lock();
            self.check_failed()?;
            let spare = std::mem::take(&mut output.spare);
            let mut batch = {
                let mut sequencer = self.sequencer.lock();
                if sequencer.pending.records.is_empty() {
                    output.spare = spare;
                    return Ok(());
                }
                std::mem::replace(&mut sequencer.pending, spare)
            };
            if let Err(error) = self.write(&mut output, &batch) {
                return Err(self.fail("write", &error));
            }
            let written = batch.records.last().map_or(0, |(seq, ..)| seq + 1);
            output.leaves.extend(batch.records.iter().map(|(_, _, leaf)| *leaf));
            batch.bytes.clear();
            batch.records.clear();
            batch.rolls.clear();
            // A record of many megabytes must not keep its room for ever.
            batch.bytes.shrink_to(4 << 20);
            output.spare = batch;
            self.written.store(written, Ordering::Release);
        }
        self.advance();
        Ok(())
    }

    fn write(&self, output: &mut Output, batch: &Pending) -> std::io::Result<()> {
        let mut rolls = batch.rolls.iter();
        let mut records = batch.records.as_slice();
        let mut start = 0;
        loop {
            let roll = rolls.next();
            let end = roll.map_or(batch.bytes.len(), |(at, _)| *at);
            let here = records.partition_point(|(_, at, _)| *at < end);
            let (now, later) = records.split_at_checked(here).unwrap_or((records, &[]));
            if !now.is_empty() {
                let segment = &output.segment;
                let at = segment.end();
                let bytes = batch.bytes.get(start..end).unwrap_or_default();
                segment.file.write_at(bytes, at)?;
                let places: Vec<_> = now
                    .iter()
                    .map(|(seq, from, _)| (*seq, at + (from - start) as u64))
                    .collect();
                segment.grew(&places, at + bytes.len() as u64);
            }
            let Some((at, next)) = roll else {
                return Ok(());
            };
            // A segment with a record in it means that the one before is whole: recovery looks at the last one only.
            output.segment.file.sync_data()?;
            output.segment = next.clone();
            self.segments.write().push(next.clone());
            (records, start) = (later, *at);
        }
    }

    /// Moves what is visible, tells those who wait and the views.
    pub(crate) fn advance(&self) {
        let (written, synced) = (
            self.written.load(Ordering::Acquire),
            self.synced.load(Ordering::Acquire),
        );
        // Whatever was written was staged before.
        if let Some(prepare) = self.before_visible.get() {
            prepare();
        }
        let (moved, told) = {
            let mut marks = self.marks.lock();
            let (visible, told) = marks.advance(written, synced);
            (self.visible.fetch_max(visible, Ordering::AcqRel) < visible, told)
        };
        if moved && let Some(watcher) = self.on_visible.get() {
            watcher(self.visible.load(Ordering::Acquire));
        }
        for waiter in told {
            let _ = waiter.send(());
        }
    }

    /// Stops the log: what is on disk after a failed write or sync is unknown until a restart reads it.
    pub(crate) fn fail(&self, doing: &str, error: &std::io::Error) -> LedgerError {
        let error = self.failed.get_or_init(|| LedgerError::Failed {
            why: format!("{doing}: {error}"),
        });
        tracing::error!("{error}");
        self.marks.lock().abandon();
        error.clone()
    }

    pub(crate) fn check_failed(&self) -> Result<(), LedgerError> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn failure(&self) -> LedgerError {
        self.failed.get().cloned().unwrap_or(LedgerError::Closed {})
    }

    /// The segment that holds a record.
    pub(crate) fn segment_of(&self, seq: u64) -> Result<Arc<Segment>, LedgerError> {
        let segments = self.segments.read();
        let after = segments.partition_point(|segment| segment.header.first <= seq);
        let found = segments.get(..after).and_then(<[_]>::last);
        found.cloned().ok_or_else(|| LedgerError::BelowHorizon {
            seq,
            horizon: segments.first().map_or(0, |segment| segment.header.first),
        })
    }
}

/// The wall clock, in nanoseconds since 1970.
pub(crate) fn now_unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
