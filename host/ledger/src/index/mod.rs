//! The index: ordered maps that are views of the log, in memory first and in an embedded store second.
//!
//! Entries of new records wait in a queue, which costs those who commit next to nothing; before the records are shown
//! they are settled, many at a time, in an *active* generation. A feeder thread cuts it off, waits until the log has it
//! on disk, and writes it to the store in one batch that also says how far the log is in the store. So after a kill the
//! store holds the entries of the records below its number, and the log's other records are staged again. (Of versions
//! of keys and runs of events it may hold some of later records already, which are the same again then.) The folder can
//! be deleted at any time the host is down.

mod batch;
mod cache;
mod feeder;
mod generation;
mod merge;
mod read;
mod sorted;
mod store;
#[cfg(test)]
mod tests;
mod version;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock, RwLockWriteGuard};

pub(crate) use self::batch::Batch;
use self::cache::Cache;
use self::generation::Generation;
pub(crate) use self::generation::{Staged, Table};
use self::store::Store;
pub(crate) use self::version::{behind_versions, put_version, split_version, version_key};
use crate::LedgerError;

/// At this size the active generation is cut off, in bytes.
const CUT_BYTES: usize = 16 << 20;
/// Above this size, and while the feeder is busy, `wait_room` waits, in bytes.
const ROOM_BYTES: usize = 64 << 20;
/// And waits no longer than this.
const ROOM_WAIT: Duration = Duration::from_secs(2);
/// Above this size commits are refused, in bytes: they outran `wait_room`, or the store cannot be written.
const REFUSE_BYTES: usize = 256 << 20;
/// So many entries are settled before readers get their turn.
const SETTLED_AT_ONCE: usize = 64;

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// See the module. All its methods may be called from any thread.
pub(crate) struct Index {
    shared: Arc<Shared>,
    feeder: Mutex<Option<JoinHandle<()>>>,
}

/// What the feeder thread and the callers share.
struct Shared {
    /// Entries of records that nobody may read yet, in order of the log.
    queue: Mutex<Batch>,
    /// Held while what was in the queue goes into the active generation; then it holds an empty one.
    settling: Mutex<Batch>,
    layers: RwLock<Layers>,
    cache: Cache,
    /// The size of the active generation.
    active_bytes: AtomicUsize,
    /// The log is on disk below this number.
    synced: AtomicU64,
    /// The store holds all records below this number, also after a power cut.
    durable: AtomicU64,
    /// The feeder waits for `synced` to grow.
    awaits_sync: AtomicBool,
    feed: Mutex<Feed>,
    /// Tells the feeder that there is something to do.
    wake: Condvar,
    /// Tells the others that the feeder got on.
    progress: Condvar,
}

/// The three layers a read goes through, newest first.
struct Layers {
    active: Generation,
    /// When the first entry of `active` came.
    since: Instant,
    /// Cut off as soon as the record being staged is complete.
    cut_wanted: bool,
    frozen: Option<Arc<Generation>>,
    /// None when closed.
    store: Option<Arc<Store>>,
}

/// What the feeder is asked for and how it does.
#[derive(Default)]
struct Feed {
    /// Something changed since the feeder looked.
    pending: bool,
    closing: bool,
    closed: bool,
    /// Generations up to this one shall be stored, durably.
    flush_wanted: u64,
    /// Generations up to this one are.
    flushed: u64,
    /// Why the last batch could not be written.
    failure: Option<String>,
}

impl Index {
    /// Opens the index in a folder, which is created if it is missing. `log` are the numbers of the log's first and next
    /// records. It keeps about `cache_bytes` of the store in memory, beside what was not stored yet. An index that is
    /// damaged, ahead of the log or behind its beginning is wiped: then [`Self::applied`] is 0.
    pub(crate) fn open(folder: &Path, log: (u64, u64), cache_bytes: usize) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(folder).map_err(crate::error::io("create the index's folder"))?;
        let (store, applied) = Store::open(folder, log, cache_bytes / 4)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            settling: Mutex::default(),
            layers: RwLock::new(Layers {
                active: Generation::after(applied, 1),
                since: Instant::now(),
                cut_wanted: false,
                frozen: None,
                store: Some(Arc::new(store)),
            }),
            cache: Cache::new(cache_bytes / 4 * 3),
            active_bytes: AtomicUsize::new(0),
            synced: AtomicU64::new(applied),
            durable: AtomicU64::new(applied),
            awaits_sync: AtomicBool::new(false),
            feed: Mutex::default(),
            wake: Condvar::new(),
            progress: Condvar::new(),
        });
        let feeder = feeder::spawn(Arc::clone(&shared), folder.to_path_buf(), cache_bytes / 4)?;
        Ok(Self {
            shared,
            feeder: Mutex::new(Some(feeder)),
        })
    }

    /// All records below this number are in the store, also after a power cut.
    pub(crate) fn applied(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Takes the entries of a record, in order of `seq`; a record may come in several calls, and one without entries not
    /// at all, or only to note how far the log is. They can be read after the next [`Self::settle`]. It never waits: call
    /// [`Self::wait_room`] before the log gives out a number.
    pub(crate) fn queue(&self, seq: u64, fill: impl FnOnce(&mut Batch)) {
        let mut queue = self.shared.queue.lock();
        let before = queue.bytes();
        queue.begin(seq);
        fill(&mut queue);
        let added = queue.bytes().saturating_sub(before);
        self.shared.active_bytes.fetch_add(added, Ordering::Relaxed);
    }

    /// Makes readable what was queued before: when this returns, all of it can be read, whoever does it. To be called
    /// before a record is shown.
    pub(crate) fn settle(&self) {
        let mut batch = self.shared.settling.lock();
        std::mem::swap(&mut *batch, &mut *self.shared.queue.lock());
        let Some((first, next)) = batch.records() else { return };
        let mut layers = self.shared.layers.write();
        // The records before these are complete, so here is a place to cut.
        let cut = layers.due();
        if cut {
            layers.cut(first);
        }
        let begun = layers.begin(next);
        for (number, (table, key, value)) in batch.iter().enumerate() {
            if number % SETTLED_AT_ONCE == SETTLED_AT_ONCE - 1 {
                // Nobody cuts meanwhile: the log is not on disk up to `next`, or has not said so.
                RwLockWriteGuard::bump(&mut layers);
            }
            layers.active.put(table, key, value);
        }
        self.shared.staged(layers, cut || begun);
        batch.clear();
    }

    /// Queues and settles at once, for when nothing else is shown meanwhile.
    pub(crate) fn stage(&self, seq: u64, entries: impl IntoIterator<Item = Staged>) {
        self.queue(seq, |batch| batch.extend(entries));
        self.settle();
    }

    /// Takes entries that belong to no record, as removing what nobody can ask for any more: losing them in a crash
    /// must do no harm.
    pub(crate) fn stage_upkeep(&self, entries: impl IntoIterator<Item = Staged>) {
        self.settle();
        let mut layers = self.shared.layers.write();
        let begun = layers.begin(0);
        for (table, key, value) in entries {
            layers.active.put(table, &key, value.as_deref());
        }
        self.shared.staged(layers, begun);
    }

    /// Goes through all that is in the store as of one moment. Gives the number below which all records are in it.
    pub(crate) fn export(
        &self,
        visit: impl FnMut(Table, &[u8], &[u8]) -> Result<(), LedgerError>,
    ) -> Result<u64, LedgerError> {
        let store = self.shared.layers.read().store.clone();
        store.ok_or(LedgerError::Closed {})?.export(visit)
    }

    /// Waits while the index holds more than it should in memory, but not for long: `admit` refuses if it gets worse.
    /// Not to be called while holding a lock that the log needs for getting its records on disk.
    pub(crate) fn wait_room(&self) {
        let until = Instant::now() + ROOM_WAIT;
        while self.shared.active_bytes.load(Ordering::Relaxed) > ROOM_BYTES && Instant::now() < until {
            let mut feed = self.shared.feed.lock();
            if feed.closing || feed.failure.is_some() {
                return;
            }
            feed.pending = true;
            self.shared.wake.notify_one();
            self.shared.progress.wait_for(&mut feed, Duration::from_millis(20));
        }
    }

    /// Refuses when far too much waits in memory, as on a full disk.
    pub(crate) fn admit(&self) -> Result<(), LedgerError> {
        let bytes = self.shared.active_bytes.load(Ordering::Relaxed);
        if bytes <= REFUSE_BYTES {
            return Ok(());
        }
        let failure = self.shared.feed.lock().failure.clone();
        Err(LedgerError::IndexBehind {
            bytes: bytes as u64,
            why: failure.unwrap_or_else(|| "commits come faster than it takes them".into()),
        })
    }

    /// The log is on disk below this number: only such records go to the store.
    pub(crate) fn synced(&self, below: u64) {
        if self.shared.synced.fetch_max(below, Ordering::SeqCst) < below
            && self.shared.awaits_sync.load(Ordering::SeqCst)
        {
            self.shared.wake_feeder();
        }
    }

    /// Waits until all that was staged is in the store, durably. The log must get it on disk meanwhile.
    #[cfg(test)]
    pub(crate) fn flush(&self) -> Result<(), LedgerError> {
        let target = {
            let layers = self.shared.layers.read();
            let number = layers.active.number;
            if layers.active.is_empty() { number - 1 } else { number }
        };
        let mut feed = self.shared.feed.lock();
        feed.flush_wanted = feed.flush_wanted.max(target);
        while feed.flushed < target {
            if let Some(why) = &feed.failure {
                return Err(LedgerError::Index {
                    what: "write the index".into(),
                    why: why.clone(),
                });
            }
            if feed.closed {
                return Err(LedgerError::Closed {});
            }
            feed.pending = true;
            self.shared.wake.notify_one();
            self.shared.progress.wait(&mut feed);
        }
        Ok(())
    }

    /// Stores what the log has on disk, durably, and ends the feeder. Reads fail afterwards.
    pub(crate) fn close(&self) {
        {
            let mut feed = self.shared.feed.lock();
            feed.closing = true;
            feed.pending = true;
            self.shared.wake.notify_one();
        }
        if let Some(feeder) = self.feeder.lock().take() {
            // A feeder that panicked lost nothing that the log does not have.
            let _ = feeder.join();
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Ends a staging call.
    fn staged(&self, layers: RwLockWriteGuard<'_, Layers>, notify: bool) {
        self.active_bytes.store(layers.active.bytes, Ordering::Relaxed);
        drop(layers);
        if notify {
            self.wake_feeder();
        }
    }

    fn wake_feeder(&self) {
        self.feed.lock().pending = true;
        self.wake.notify_one();
    }
}

impl Layers {
    fn generations(&self) -> impl Iterator<Item = &Generation> {
        std::iter::once(&self.active).chain(self.frozen.as_deref())
    }

    fn store(&self) -> Result<Arc<Store>, LedgerError> {
        self.store.clone().ok_or(LedgerError::Closed {})
    }

    /// Whether the active generation shall be cut off before the next record.
    fn due(&self) -> bool {
        self.frozen.is_none() && !self.active.is_empty() && (self.cut_wanted || self.active.bytes >= CUT_BYTES)
    }

    /// Freezes the active generation, which holds all records below `next` that the store does not hold.
    fn cut(&mut self, next: u64) {
        let fresh = Generation::after(next, self.active.number + 1);
        let mut frozen = std::mem::replace(&mut self.active, fresh);
        frozen.next = next;
        self.frozen = Some(Arc::new(frozen));
        self.cut_wanted = false;
    }

    /// Entries come, of the records below `next` too. Returns whether they are the generation's first, which the feeder
    /// should know.
    fn begin(&mut self, next: u64) -> bool {
        let first = self.active.is_empty();
        self.active.next = self.active.next.max(next);
        if first {
            self.since = Instant::now();
        }
        first
    }
}
