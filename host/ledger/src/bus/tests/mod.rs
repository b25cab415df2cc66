//! Tests of the bus on a log that is a list, with a real index.

mod backpressure;
mod delivery;
mod envelope;
mod exactly_once;
mod hostile;
mod model;
mod schema;
mod slow;
mod topics;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::tail::TailLimits;
use super::{
    BusView, Committer, Envelope, Event, NewEvent, OffsetCommit, Position, Published, Records, Subscription,
    TopicConfig,
};
use crate::index::Index;
use crate::{Commit, Control, Durability, LedgerError, Parts};

/// A ledger whose log is a list of encoded parts.
pub(super) struct Host {
    pub(super) bus: Arc<BusView>,
    log: Arc<Log>,
    index: Arc<Index>,
    folder: TempDir,
    tails: TailLimits,
}

/// A record: its encoded events, offsets and controls, and how it was to be acknowledged.
#[derive(Clone, Default)]
struct Stored {
    events: Vec<Bytes>,
    offsets: Vec<Vec<u8>>,
    controls: Vec<Control>,
    durability: Option<Durability>,
}

#[derive(Default)]
struct Log {
    records: Mutex<Vec<Stored>>,
    /// Records below this number cannot be read any more.
    horizon: Mutex<u64>,
    bus: Mutex<Weak<BusView>>,
    /// Nothing more becomes visible.
    held: AtomicBool,
    /// How often a record was read.
    reads: Mutex<u64>,
}

impl Log {
    fn parts(&self, seq: u64) -> Result<Parts, LedgerError> {
        let stored = self.records.lock().get(usize::try_from(seq).unwrap()).cloned();
        let stored = stored.ok_or(LedgerError::NotYet { seq, next: 0 })?;
        Ok(Parts {
            events: stored.events.iter().map(Event::decode).collect::<Result<_, _>>()?,
            offsets: stored
                .offsets
                .iter()
                .map(|bytes| OffsetCommit::decode(bytes))
                .collect::<Result<_, _>>()?,
            controls: stored.controls,
            ..Parts::default()
        })
    }
}

impl Records for Log {
    fn read(&self, seq: u64) -> Result<Parts, LedgerError> {
        *self.reads.lock() += 1;
        let horizon = *self.horizon.lock();
        if seq < horizon {
            return Err(LedgerError::BelowHorizon { seq, horizon });
        }
        self.parts(seq)
    }
}

#[async_trait]
impl Committer for Log {
    async fn commit(&self, commit: Commit) -> Result<u64, LedgerError> {
        let bus = self.bus.lock().upgrade().ok_or(LedgerError::Closed {})?;
        let seq = {
            let mut records = self.records.lock();
            let seq = records.len() as u64;
            let checked = bus.check(&commit)?;
            let encoded = |event: &Event| {
                let mut out = Vec::new();
                event.encode(&mut out);
                Bytes::from(out)
            };
            records.push(Stored {
                events: checked.events.iter().map(|event| encoded(event)).collect(),
                offsets: commit
                    .offsets
                    .iter()
                    .map(|offset| {
                        let mut out = Vec::new();
                        offset.encode(&mut out);
                        out
                    })
                    .collect(),
                controls: commit.controls.clone(),
                durability: commit.durability,
            });
            bus.stage(seq, &checked, &commit.offsets, &commit.controls).unwrap();
            seq
        };
        // Here the disk would be waited for, and a caller may go away.
        tokio::task::yield_now().await;
        while self.held.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bus.index.settle();
        bus.advance(self.records.lock().len() as u64);
        Ok(seq)
    }
}

impl Host {
    pub(super) fn new() -> Self {
        Self::with_tails(TailLimits::default())
    }

    pub(super) fn with_tails(tails: TailLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::open(folder, Arc::default(), tails)
    }

    fn open(folder: TempDir, log: Arc<Log>, tails: TailLimits) -> Self {
        let next = log.records.lock().len() as u64;
        let index = Arc::new(Index::open(&index_folder(&folder), (0, next), 1 << 20).unwrap());
        let bus = Arc::new(BusView::with_tails(Arc::clone(&index), tails).unwrap());
        for seq in index.applied()..next {
            bus.replay(seq, &log.parts(seq).unwrap()).unwrap();
        }
        index.settle();
        bus.retain(*log.horizon.lock()).unwrap();
        bus.advance(next);
        *log.bus.lock() = Arc::downgrade(&bus);
        let (records, committer): (Weak<Log>, Weak<Log>) = (Arc::downgrade(&log), Arc::downgrade(&log));
        bus.attach(records, committer);
        Self {
            bus,
            log,
            index,
            folder,
            tails,
        }
    }

    /// As after a restart: memory is lost, the log is there, the index as far as it was stored, or not at all.
    pub(super) fn reopen(self, keep_index: bool) -> Self {
        let Self {
            bus,
            log,
            index,
            folder,
            tails,
        } = self;
        bus.end();
        drop(bus);
        index.synced(log.records.lock().len() as u64);
        if keep_index {
            index.flush().unwrap();
        }
        index.close();
        drop(index);
        if !keep_index {
            std::fs::remove_dir_all(index_folder(&folder)).unwrap();
        }
        Self::open(folder, log, tails)
    }

    pub(super) async fn topic(&self, name: &str, config: TopicConfig) {
        self.bus.create_topic(name, config).await.unwrap();
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<u64, LedgerError> {
        self.log.commit(commit).await
    }

    pub(super) async fn publish(&self, events: Vec<NewEvent>) -> Result<Published, LedgerError> {
        self.bus.publish(events).await
    }

    /// Records so far.
    pub(super) fn records(&self) -> u64 {
        self.log.records.lock().len() as u64
    }

    pub(super) fn durability_of(&self, seq: u64) -> Option<Durability> {
        self.log.records.lock()[usize::try_from(seq).unwrap()].durability
    }

    /// What was committed stays invisible from now on, or becomes visible again.
    pub(super) fn hold(&self, held: bool) {
        self.log.held.store(held, Ordering::SeqCst);
    }

    /// Removes all records below this number.
    pub(super) fn retain(&self, horizon: u64) {
        *self.log.horizon.lock() = horizon;
        self.bus.retain(horizon).unwrap();
    }

    /// How often a record was read from the log.
    pub(super) fn reads(&self) -> u64 {
        *self.log.reads.lock()
    }
}

fn index_folder(folder: &TempDir) -> PathBuf {
    folder.path().join("index")
}

/// An event whose data is its number.
pub(super) fn event(topic: &str, number: u64) -> NewEvent {
    let envelope = Envelope::builder(number.to_string(), "/test", "test.number").data(number.to_string().into_bytes());
    NewEvent::new(topic, envelope.build().unwrap())
}

pub(super) fn events(topic: &str, numbers: std::ops::Range<u64>) -> Vec<NewEvent> {
    numbers.map(|number| event(topic, number)).collect()
}

/// The number that an event carries.
pub(super) fn number(event: &Event) -> u64 {
    std::str::from_utf8(event.envelope.data().unwrap())
        .unwrap()
        .parse()
        .unwrap()
}

pub(super) fn numbers(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| number(event)).collect()
}

pub(super) const fn at(partition: u16, offset: u64) -> Position {
    Position { partition, offset }
}

/// What is there now, at most so many.
pub(super) async fn take(subscription: &Subscription, events_max: usize) -> Vec<Arc<Event>> {
    subscription.next(events_max, u64::MAX, Duration::ZERO).await.unwrap()
}

/// What is there now, until nothing more is.
pub(super) async fn drain(subscription: &Subscription) -> Vec<Arc<Event>> {
    let mut all = Vec::new();
    loop {
        let events = take(subscription, 100).await;
        if events.is_empty() {
            return all;
        }
        all.extend(events);
    }
}
