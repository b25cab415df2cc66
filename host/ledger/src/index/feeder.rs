//! The thread that feeds the store: cuts generations, waits until the log has them on disk, writes them in batches.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::generation::{Generation, Table};
use super::store::{Store, disk_has_room};
use super::{CUT_BYTES, Shared, split_version};
use crate::LedgerError;

/// An entry waits no longer than this before it goes to the store.
const CUT_AFTER: Duration = Duration::from_millis(250);
/// What was written is synced this often: what is redone after a power cut is at most so much.
const SYNC_EVERY: Duration = Duration::from_secs(3);
/// After a failed batch it tries again this much later.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// So long a reader may take to end, when the store has to be opened again.
const READERS_WAIT: Duration = Duration::from_secs(2);

struct Feeder {
    shared: Arc<Shared>,
    folder: PathBuf,
    cache_bytes: usize,
    /// How far the store is, and how far of that is synced: numbers of generations.
    stored: u64,
    synced: u64,
    /// Below this number records are in the store.
    next: u64,
    synced_at: Instant,
}

/// What the feeder does next.
enum Step {
    Write(Arc<Generation>),
    Sync,
    /// Until something is pending, or the time is over.
    Wait(Option<Duration>),
    End,
}

pub(super) fn spawn(shared: Arc<Shared>, folder: PathBuf, cache_bytes: usize) -> Result<JoinHandle<()>, LedgerError> {
    let feeder = Feeder {
        next: shared.durable.load(Ordering::Acquire),
        shared,
        folder,
        cache_bytes,
        stored: 0,
        synced: 0,
        synced_at: Instant::now(),
    };
    std::thread::Builder::new()
        .name("ledger-index".into())
        .spawn(move || feeder.run())
        .map_err(crate::error::io("start the index's thread"))
}

impl Feeder {
    fn run(mut self) {
        loop {
            let (closing, flush_wanted) = {
                let mut feed = self.shared.feed.lock();
                feed.pending = false;
                (feed.closing, feed.flush_wanted)
            };
            let done = match self.step(closing, flush_wanted) {
                Step::Write(generation) => self.write(&generation),
                Step::Sync => self.sync(),
                Step::Wait(timeout) => {
                    self.wait(timeout);
                    Ok(())
                }
                Step::End => break,
            };
            let failed = done.is_err();
            self.report(done);
            if failed {
                if closing {
                    break;
                }
                self.wait(Some(RETRY_AFTER));
            }
        }
        self.shared.layers.write().store = None;
        self.shared.feed.lock().closed = true;
        self.shared.progress.notify_all();
    }

    fn step(&self, closing: bool, flush_wanted: u64) -> Step {
        let waiting_since = match self.cut(closing, flush_wanted) {
            Cut::Ready(generation) => return Step::Write(generation),
            Cut::AwaitsSync if !closing => return Step::Wait(None),
            Cut::AwaitsSync | Cut::Nothing => None,
            Cut::Later(since) => Some(since),
        };
        let unsynced = self.synced < self.stored;
        let sync_due = self.synced_at + SYNC_EVERY;
        if unsynced && (closing || flush_wanted > self.synced || sync_due <= Instant::now()) {
            return Step::Sync;
        }
        if closing {
            return Step::End;
        }
        let deadlines = [
            waiting_since.map(|since| since + CUT_AFTER),
            unsynced.then_some(sync_due),
        ];
        let next = deadlines.into_iter().flatten().min();
        Step::Wait(next.map(|next| next.saturating_duration_since(Instant::now())))
    }

    /// Looks for a generation that can be written, cutting the active one when it is time.
    fn cut(&self, closing: bool, flush_wanted: u64) -> Cut {
        // Set before `synced` is read: whoever raises it later sees the flag.
        self.shared.awaits_sync.store(true, Ordering::SeqCst);
        let cut = self.cut_unless_unsynced(closing, flush_wanted);
        if !matches!(cut, Cut::AwaitsSync) {
            self.shared.awaits_sync.store(false, Ordering::SeqCst);
        }
        cut
    }

    fn cut_unless_unsynced(&self, closing: bool, flush_wanted: u64) -> Cut {
        let mut layers = self.shared.layers.write();
        let synced = self.shared.synced.load(Ordering::SeqCst);
        if layers.frozen.is_none() {
            if layers.active.is_empty() {
                return Cut::Nothing;
            }
            let due = closing
                || layers.active.number <= flush_wanted
                || layers.active.bytes >= CUT_BYTES
                || layers.since.elapsed() >= CUT_AFTER;
            if !due {
                return Cut::Later(layers.since);
            }
            let next = layers.active.next;
            if synced < next {
                // A record may be half staged: whoever stages the next one cuts.
                layers.cut_wanted = true;
                return Cut::AwaitsSync;
            }
            layers.cut(next);
            self.shared.active_bytes.store(0, Ordering::Relaxed);
        }
        match &layers.frozen {
            Some(frozen) if frozen.next <= synced => Cut::Ready(Arc::clone(frozen)),
            _ => Cut::AwaitsSync,
        }
    }

    fn write(&mut self, generation: &Generation) -> Result<(), LedgerError> {
        self.working_store()?.write(generation)?;
        self.update_cache(generation);
        let mut layers = self.shared.layers.write();
        let written = layers.frozen.take_if(|frozen| frozen.number == generation.number);
        drop(layers);
        // Freeing it takes a while: not under the lock.
        drop(written);
        self.stored = generation.number;
        self.next = generation.next;
        // Not only when there is nothing else to do.
        if self.synced_at.elapsed() >= SYNC_EVERY {
            self.sync()
        } else {
            Ok(())
        }
    }

    fn sync(&mut self) -> Result<(), LedgerError> {
        self.working_store()?.sync()?;
        self.synced = self.stored;
        self.synced_at = Instant::now();
        self.shared.durable.store(self.next, Ordering::Release);
        Ok(())
    }

    fn update_cache(&self, generation: &Generation) {
        let cache = &self.shared.cache;
        cache.begin_turn();
        let mut last: &[u8] = &[];
        for (key, value) in generation.map(Table::State).iter() {
            let (placed, seq) = split_version(key);
            // The first version of each key is its newest.
            if placed != last {
                cache.update(placed, value.map(|value| (seq, value)));
                last = placed;
            }
        }
    }

    /// The store, opened again if it takes nothing any more.
    fn working_store(&self) -> Result<Arc<Store>, LedgerError> {
        let store = self.shared.layers.read().store.clone();
        match store {
            Some(store) if !store.is_broken() => return Ok(store),
            // A broken one still can be read: it is kept until another one is likely to open.
            _ if !disk_has_room(&self.folder) => return Err(not_reopened("the disk takes nothing")),
            broken => drop(broken),
        }
        // Nobody begins to read meanwhile; those who did need no lock to come to their end.
        let mut layers = self.shared.layers.write();
        if let Some(broken) = layers.store.take()
            && let Err(used) = close_store(broken)
        {
            layers.store = Some(used);
            return Err(not_reopened("it is being read"));
        }
        let (store, next) = Store::reopen(&self.folder, self.cache_bytes)?;
        if next < self.next {
            return Err(not_reopened(
                "it lost what it had; it is rebuilt when the host starts again",
            ));
        }
        let store = Arc::new(store);
        layers.store = Some(Arc::clone(&store));
        Ok(store)
    }

    /// Tells the others how it went.
    fn report(&self, done: Result<(), LedgerError>) {
        let mut feed = self.shared.feed.lock();
        feed.flushed = self.synced;
        feed.failure = done.err().map(|error| {
            tracing::warn!(%error, "the index could not be written; trying again");
            error.to_string()
        });
        drop(feed);
        self.shared.progress.notify_all();
    }

    fn wait(&self, timeout: Option<Duration>) {
        let mut feed = self.shared.feed.lock();
        if feed.pending {
            return;
        }
        match timeout {
            Some(timeout) => drop(self.shared.wake.wait_for(&mut feed, timeout)),
            None => self.shared.wake.wait(&mut feed),
        }
    }
}

/// Closes a store as soon as its readers are done with it; gives it back if that takes too long.
fn close_store(mut store: Arc<Store>) -> Result<(), Arc<Store>> {
    let until = Instant::now() + READERS_WAIT;
    loop {
        match Arc::try_unwrap(store) {
            Ok(_) => return Ok(()),
            Err(used) if Instant::now() > until => return Err(used),
            Err(used) => store = used,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn not_reopened(why: &str) -> LedgerError {
    LedgerError::Index {
        what: "open the index again".into(),
        why: why.into(),
    }
}

enum Cut {
    /// It can be written.
    Ready(Arc<Generation>),
    /// The log does not have it on disk yet.
    AwaitsSync,
    /// It is not time; the active generation's first entry came then.
    Later(std::time::Instant),
    Nothing,
}
