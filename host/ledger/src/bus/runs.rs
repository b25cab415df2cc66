//! Where the events of a partition lie in the log: one index entry for those of a record, and reading by it.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::event::{Event, TopicId};
use crate::index::{Batch, Index, Pair, Table};
use crate::wire::malformed;
use crate::{LedgerError, Parts};

/// Reads records back, as the log does.
pub trait Records: Send + Sync {
    /// The parts of a record.
    ///
    /// # Errors
    /// `BelowHorizon` when retention removed it; `Damaged`; `Io`.
    fn read(&self, seq: u64) -> Result<Parts, LedgerError>;
}

/// How many index entries are read at a time.
const RUNS_READ: usize = 64;

/// The events of one partition in one record: their offsets follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The offset of the first one.
    pub(super) first: u64,
    /// How many there are.
    pub(super) count: u64,
    /// The record.
    pub(super) seq: u64,
    /// Where the first one stands among all events of the record.
    pub(super) index: u32,
}

const KEY_BYTES: usize = 14;
const VALUE_BYTES: usize = 20;

impl Run {
    pub(super) fn put(&self, batch: &mut Batch, topic: TopicId, partition: u16) {
        let mut value = [0; VALUE_BYTES];
        let parts = [
            &self.seq.to_be_bytes()[..],
            &self.count.to_be_bytes(),
            &self.index.to_be_bytes(),
        ];
        fill(&mut value, &parts);
        batch.put(Table::Runs, &key(topic, partition, self.first), Some(&value));
    }

    fn read((key, value): &Pair) -> Result<Self, LedgerError> {
        let number = |bytes: Option<&[u8]>| {
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            bytes
                .map(u64::from_be_bytes)
                .ok_or_else(|| malformed("an entry of the bus's index is too short"))
        };
        let index = value.get(16..VALUE_BYTES).and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            first: number(key.get(6..KEY_BYTES))?,
            seq: number(value.get(..8))?,
            count: number(value.get(8..16))?,
            index: u32::from_be_bytes(index.unwrap_or_default()),
        })
    }

    /// The offset after its last event.
    pub(super) const fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

fn key(topic: TopicId, partition: u16, offset: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let parts = [
        &topic.0.to_be_bytes()[..],
        &partition.to_be_bytes(),
        &offset.to_be_bytes(),
    ];
    fill(&mut key, &parts);
    key
}

fn fill(place: &mut [u8], parts: &[&[u8]]) {
    let mut at = 0;
    for part in parts {
        if let Some(place) = place.get_mut(at..at + part.len()) {
            place.copy_from_slice(part);
        }
        at += part.len();
    }
}

/// The runs of one partition.
#[derive(Clone, Copy)]
pub(super) struct Runs<'a> {
    pub(super) index: &'a Index,
    pub(super) topic: TopicId,
    pub(super) partition: u16,
}

impl Runs<'_> {
    fn key(&self, offset: u64) -> [u8; KEY_BYTES] {
        key(self.topic, self.partition, offset)
    }

    /// The last one that begins at this offset or before.
    pub(super) fn at(&self, offset: u64) -> Result<Option<Run>, LedgerError> {
        let end = self.key(offset.saturating_add(1));
        let found = self.index.last(Table::Runs, &self.key(0), &end)?;
        found.as_ref().map(Run::read).transpose()
    }

    /// The last one.
    pub(super) fn last(&self) -> Result<Option<Run>, LedgerError> {
        self.at(u64::MAX - 1)
    }

    /// The first one.
    pub(super) fn first(&self) -> Result<Option<Run>, LedgerError> {
        let found = self.index.first(Table::Runs, &self.key(0), &self.key(u64::MAX))?;
        found.as_ref().map(Run::read).transpose()
    }

    /// Those that begin at this offset or after, a few.
    fn from(&self, offset: u64) -> Result<Vec<Run>, LedgerError> {
        let found = self
            .index
            .range(Table::Runs, &self.key(offset), &self.key(u64::MAX), RUNS_READ)?;
        found.iter().map(Run::read).collect()
    }

    /// Events from an offset on, out of records below `visible`, at most about so many and so heavy; at least one if
    /// there is one. None are there when the offset is not written or not visible yet.
    pub(super) fn read(
        &self,
        records: &dyn Records,
        offset: u64,
        visible: u64,
        (events_max, weight_max): (usize, u64),
    ) -> Result<Vec<Arc<Event>>, LedgerError> {
        let mut found = Found {
            events: Vec::new(),
            weight: 0,
            next: offset,
        };
        let mut runs: Vec<Run> = self.at(offset)?.into_iter().filter(|run| offset < run.end()).collect();
        loop {
            for run in &runs {
                if run.seq >= visible {
                    return Ok(found.events);
                }
                let parts = records.read(run.seq)?;
                if found.take(self, &parts, run, events_max, weight_max)?.is_break() {
                    return Ok(found.events);
                }
            }
            runs = self.from(found.next)?;
            if runs.is_empty() {
                return Ok(found.events);
            }
        }
    }

    /// Drops the runs of records below the horizon, but for the last run, which says where the partition's offsets
    /// are. Gives the first offset that can be read.
    pub(super) fn retain(&self, horizon: u64) -> Result<u64, LedgerError> {
        let Some(last) = self.last()? else { return Ok(0) };
        let mut first = last.end();
        let mut gone = Vec::new();
        self.index.visit(
            Table::Runs,
            &self.key(0),
            &self.key(u64::MAX),
            |key, value| match Run::read(&(key.to_vec(), value.to_vec())) {
                Ok(run) if run.seq < horizon => {
                    if run.first < last.first {
                        gone.push((Table::Runs, key.to_vec(), None));
                    }
                    ControlFlow::Continue(())
                }
                Ok(run) => {
                    first = run.first;
                    ControlFlow::Break(())
                }
                Err(_) => ControlFlow::Break(()),
            },
        )?;
        self.index.stage_upkeep(gone);
        Ok(first)
    }
}

struct Found {
    events: Vec<Arc<Event>>,
    weight: u64,
    next: u64,
}

impl Found {
    /// Takes a run's events out of its record. Breaks when there are enough.
    fn take(
        &mut self,
        runs: &Runs<'_>,
        parts: &Parts,
        run: &Run,
        events_max: usize,
        weight_max: u64,
    ) -> Result<ControlFlow<()>, LedgerError> {
        for event in parts.events.iter().skip(run.index as usize) {
            let ours = event.topic == runs.topic && event.partition == runs.partition;
            if !ours || event.offset < self.next {
                continue;
            }
            if event.offset != self.next {
                break;
            }
            self.weight += event.weight();
            if !self.events.is_empty() && (self.events.len() >= events_max || self.weight > weight_max) {
                return Ok(ControlFlow::Break(()));
            }
            // A record may be much larger than the event, so the event gets bytes of its own.
            self.events.push(Arc::new(event.detached()));
            self.next += 1;
        }
        if self.next == run.end() {
            Ok(ControlFlow::Continue(()))
        } else {
            Err(malformed(
                "a record does not hold the events that the index expects there",
            ))
        }
    }
}
