//! What comes in and who watches: the one place both sides share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use arrow_array::RecordBatch;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, watch};

use super::batch::LiveBatch;
use super::cursor::Cursor;
use super::ring::Held;
use super::{EventId, Filter, History, LiveSettings, Start, Subscriber};
use crate::MedallionError;

/// How many batches are read from the history at once: who reads old events must not take the disk from the others.
const READS_MAX: usize = 4;

/// Events as they come, for any number of those who watch.
pub struct Live {
    settings: LiveSettings,
    pub(super) history: Arc<dyn History>,
    /// Places among those who read from the history.
    pub(super) reads: Arc<Semaphore>,
    newest: RwLock<Held>,
    /// What was lately read from the history.
    replayed: Mutex<Held>,
    /// The offset that comes next: who has all there is sees so here, without a lock. It changes under that of `newest`.
    next_offset: AtomicU64,
    /// Wakes those who wait for it.
    head: watch::Sender<()>,
    subscribers: AtomicUsize,
    filters: Mutex<Filters>,
}

#[derive(Debug, Default)]
struct Filters {
    watched: HashMap<Filter, Weak<Watched>>,
    next_number: u64,
}

/// A filter that somebody watches with; all with an equal one share it.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) filter: Filter,
    pub(super) number: u64,
    pub(super) everything: bool,
}

impl Watched {
    /// Whether what is made for it may serve somebody else as well.
    pub(super) fn is_shared(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }
}

/// Where a batch is.
#[derive(Debug)]
pub(super) enum At {
    Here(Arc<LiveBatch>),
    /// It is yet to come.
    Ahead,
    /// In the history only.
    Older,
}

/// A place among those who watch.
pub(super) struct Place(pub(super) Arc<Live>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Live {
    /// With nobody watching; the next batch has the offset `next_offset`, and those before it are in `history`.
    pub fn new(settings: LiveSettings, history: Arc<dyn History>, next_offset: u64) -> Arc<Self> {
        Arc::new(Self {
            settings,
            history,
            reads: Arc::new(Semaphore::new(READS_MAX)),
            newest: RwLock::new(Held::new(settings.ring_bytes_max)),
            replayed: Mutex::new(Held::new(settings.replay_bytes_max)),
            next_offset: AtomicU64::new(next_offset),
            head: watch::Sender::new(()),
            subscribers: AtomicUsize::new(0),
            filters: Mutex::default(),
        })
    }

    /// Shows a batch, which the history has, to those who watch. It never waits for them. One that was shown already is
    /// left out; after a gap, or of a batch in another schema, everything is read from the history.
    pub fn publish(&self, offset: u64, events: RecordBatch) {
        let batch = LiveBatch::new(offset, &events);
        {
            let mut newest = self.newest.write();
            let next_offset = self.next_offset();
            if offset < next_offset {
                return;
            }
            if offset > next_offset || batch.is_err() {
                newest.clear();
            }
            if let Ok(batch) = batch {
                newest.push(Arc::new(batch));
            }
            self.next_offset.store(offset.saturating_add(1), Ordering::Release);
        }
        self.head.send_replace(());
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// [`MedallionError::TooManySubscribers`]; [`MedallionError::Removed`] and [`MedallionError::NotYet`] for an event to
    /// begin behind that is no longer there, or was never.
    pub fn subscribe(self: &Arc<Self>, filter: Filter, start: Start) -> Result<Subscriber, MedallionError> {
        let passed = match start {
            Start::Now => self.newest_id(),
            Start::After(id) => Some(id),
            Start::Oldest => EventId::before(self.history.oldest()),
        };
        let next_offset = self.next_offset();
        let cursor = Cursor::new(self.place()?, self.head.subscribe(), passed);
        if let Some(id) = passed.filter(|id| id.offset >= next_offset) {
            return Err(MedallionError::NotYet {
                id: id.to_string(),
                next_offset,
            });
        }
        let (offset, oldest) = (cursor.offset(), self.history.oldest());
        if offset < oldest && matches!(self.at(offset), At::Older) {
            return Err(MedallionError::Removed { offset, oldest });
        }
        Ok(Subscriber::new(cursor, self.watched(filter)))
    }

    /// The offset that comes next.
    pub(super) fn next_offset(&self) -> u64 {
        self.next_offset.load(Ordering::Acquire)
    }

    pub(super) fn at(&self, offset: u64) -> At {
        if offset >= self.next_offset() {
            return At::Ahead;
        }
        let newest = self.newest.read().get(offset);
        if let Some(batch) = newest {
            return At::Here(batch);
        }
        self.replayed.lock().get(offset).map_or(At::Older, At::Here)
    }

    /// Takes in what was read from the history.
    pub(super) fn replay(&self, batch: LiveBatch) -> Arc<LiveBatch> {
        self.replayed.lock().push(Arc::new(batch))
    }

    /// Counts text that was made of a batch.
    pub(super) fn grow(&self, batch: &Arc<LiveBatch>, bytes: u64) {
        if bytes > 0 {
            self.newest.write().grow(batch, bytes);
            self.replayed.lock().grow(batch, bytes);
        }
    }

    /// The newest event there is.
    pub(super) fn newest_id(&self) -> Option<EventId> {
        let newest = self.newest.read();
        let before = EventId::before(self.next_offset())?;
        let batch = newest.get(before.offset);
        Some(batch.map_or(before, |batch| batch.last_id()))
    }

    fn place(self: &Arc<Self>) -> Result<Place, MedallionError> {
        let subscribers_max = self.settings.subscribers_max;
        let one_more = |count: usize| (count < subscribers_max).then_some(count + 1);
        match self
            .subscribers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
        {
            Ok(_) => Ok(Place(Arc::clone(self))),
            Err(_) => Err(MedallionError::TooManySubscribers { subscribers_max }),
        }
    }

    fn watched(&self, filter: Filter) -> Arc<Watched> {
        let mut filters = self.filters.lock();
        if let Some(watched) = filters.watched.get(&filter).and_then(Weak::upgrade) {
            return watched;
        }
        filters.watched.retain(|_, watched| watched.strong_count() > 0);
        filters.next_number += 1;
        let watched = Arc::new(Watched {
            everything: filter.is_everything(),
            number: filters.next_number,
            filter: filter.clone(),
        });
        filters.watched.insert(filter, Arc::downgrade(&watched));
        watched
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.newest.read().bytes(), self.replayed.lock().bytes())
    }
}
