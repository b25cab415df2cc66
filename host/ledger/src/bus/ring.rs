//! A topic in memory: its events stand in a ring until the slowest subscriber has read them.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::vec::IntoIter;

use parking_lot::Mutex;

use super::config::TopicConfig;
use super::event::{Event, NewEvent};
use super::topic::Topic;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// The next offset of each partition. Held while publishing: offsets and the ring have the same order.
    heads: Mutex<Vec<u64>>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    events: VecDeque<Arc<Event>>,
    /// The place of the first event, counted from the topic's beginning.
    base: u64,
    weight: u64,
    cursors: Vec<Arc<Cursor>>,
}

/// How far a subscriber has read.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The place of the next event. Changed under the ring's lock only.
    at: AtomicU64,
    missed: AtomicU64,
    /// The partitions it wants; none means all.
    partitions: Option<Vec<u16>>,
}

impl Cursor {
    /// How many events were dropped before it read them.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// What to do with events for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Leave them to the caller, who waits.
    Keep,
    /// Make room by dropping the oldest.
    DropOldest,
    /// Drop them.
    DropNewest,
}

/// What became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    /// How many were taken.
    pub(super) accepted: u64,
    /// How many were dropped, these or older ones.
    pub(super) shed: u64,
}

impl Held {
    /// Takes out what all have read. It is for the caller to drop, outside the lock.
    fn trim(&mut self) -> Vec<Arc<Event>> {
        let end = self.base + self.events.len() as u64;
        let slowest = self
            .cursors
            .iter()
            .map(|cursor| cursor.at.load(Ordering::Relaxed))
            .min();
        let read = slowest.unwrap_or(end).saturating_sub(self.base);
        let count = usize::try_from(read).unwrap_or(usize::MAX).min(self.events.len());
        let gone: Vec<_> = self.events.drain(..count).collect();
        self.account(&gone);
        gone
    }

    /// Takes out the oldest ones while there are more or heavier ones than there may be.
    fn overflow(&mut self, config: &TopicConfig) -> Vec<Arc<Event>> {
        let mut gone = Vec::new();
        let mut weight = self.weight;
        let mut count = self.events.len();
        while count > config.buffer_events as usize || weight > config.buffer_bytes {
            let Some(event) = self.events.pop_front() else { break };
            weight -= event.weight();
            count -= 1;
            gone.push(event);
        }
        self.account(&gone);
        gone
    }

    fn account(&mut self, gone: &[Arc<Event>]) {
        self.base += gone.len() as u64;
        self.weight -= gone.iter().map(|event| event.weight()).sum::<u64>();
    }

    /// How full the ring is, 1 at most of its limits.
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn fullness(&self, config: &TopicConfig) -> f64 {
        let events = self.events.len() as f64 / f64::from(config.buffer_events);
        events.max(self.weight as f64 / config.buffer_bytes as f64)
    }
}

impl Ring {
    pub(super) fn new(partitions: u16) -> Self {
        Self {
            heads: Mutex::new(vec![0; usize::from(partitions)]),
            ..Self::default()
        }
    }

    /// The next offset of each partition.
    pub(super) fn heads(&self) -> Vec<u64> {
        self.heads.lock().clone()
    }

    /// How many events wait for the slowest subscriber.
    pub(super) fn level(&self) -> u64 {
        self.held.lock().events.len() as u64
    }

    /// How far the slowest subscriber has read, counted from the topic's beginning.
    pub(super) fn slowest(&self) -> u64 {
        let held = self.held.lock();
        held.cursors
            .iter()
            .map(|cursor| cursor.at.load(Ordering::Relaxed))
            .min()
            .unwrap_or_default()
    }

    pub(super) fn attach(&self, partitions: Option<Vec<u16>>) -> Arc<Cursor> {
        let mut held = self.held.lock();
        let cursor = Arc::new(Cursor {
            at: AtomicU64::new(held.base + held.events.len() as u64),
            missed: AtomicU64::new(0),
            partitions,
        });
        held.cursors.push(Arc::clone(&cursor));
        cursor
    }

    pub(super) fn detach(&self, cursor: &Arc<Cursor>) {
        let mut held = self.held.lock();
        held.cursors.retain(|other| !Arc::ptr_eq(other, cursor));
        let gone = held.trim();
        drop(held);
        drop(gone);
    }

    pub(super) fn subscribers(&self) -> usize {
        self.held.lock().cursors.len()
    }

    /// Takes events, as many as `when_full` lets it. What it leaves is still in `events`.
    pub(super) fn offer(
        &self,
        topic: &Topic,
        config: &TopicConfig,
        events: &mut Peekable<IntoIter<NewEvent>>,
        when_full: WhenFull,
    ) -> Offered {
        let mut heads = self.heads.lock();
        let mut offered = Offered::default();
        let Some((mut room, mut room_weight)) = self.room(topic, config, when_full) else {
            return offered;
        };
        let mut taken = Vec::new();
        while let Some(event) = events.peek() {
            let weight = event.weight();
            if room == 0 || weight > room_weight {
                break;
            }
            room -= 1;
            room_weight -= weight;
            let Some(event) = events.next() else { break };
            let partition = topic.spread.partition(event.key.as_deref(), config.partitions);
            let Some(head) = heads.get_mut(usize::from(partition)) else {
                continue;
            };
            taken.push(Arc::new(Event {
                topic: topic.id,
                partition,
                offset: *head,
                key: event.key,
                envelope: event.envelope,
            }));
            *head += 1;
        }
        if when_full == WhenFull::DropNewest {
            offered.shed = events.count() as u64;
        }
        offered.accepted = taken.len() as u64;
        let mut held = self.held.lock();
        let gone = if held.cursors.is_empty() {
            // Nobody is there, so nobody gets them: that is what at most once means.
            held.base += taken.len() as u64;
            taken
        } else {
            held.weight += taken.iter().map(|event| event.weight()).sum::<u64>();
            held.events.extend(taken);
            let gone = held.overflow(config);
            offered.shed += gone.len() as u64;
            gone
        };
        drop(held);
        drop(heads);
        drop(gone);
        offered
    }

    /// For how many events there is room and how heavy they may be; none while publishers are held back.
    fn room(&self, topic: &Topic, config: &TopicConfig, when_full: WhenFull) -> Option<(u64, u64)> {
        let mut held = self.held.lock();
        let gone = held.trim();
        let unlimited = when_full == WhenFull::DropOldest || held.cursors.is_empty();
        let events = u64::from(config.buffer_events).saturating_sub(held.events.len() as u64);
        let weight = config.buffer_bytes.saturating_sub(held.weight);
        let fullness = held.fullness(config);
        drop(held);
        drop(gone);
        let pressed = topic.pressure.update(config, fullness);
        if unlimited {
            Some((u64::MAX, u64::MAX))
        } else if when_full == WhenFull::Keep && pressed {
            None
        } else {
            Some((events, weight))
        }
    }

    /// The events a subscriber has not read yet, at most about so many and so heavy, at least one if there is one.
    pub(super) fn take(&self, cursor: &Cursor, events_max: usize, weight_max: u64) -> Vec<Arc<Event>> {
        let mut held = self.held.lock();
        let before = cursor.at.load(Ordering::Relaxed);
        let mut at = before.max(held.base);
        cursor.missed.fetch_add(at - before, Ordering::Relaxed);
        let skip = usize::try_from(at - held.base).unwrap_or(usize::MAX);
        let waiting = held.events.len().saturating_sub(skip);
        let mut taken = Vec::with_capacity(waiting.min(events_max));
        let mut weight = 0;
        for event in held.events.iter().skip(skip) {
            if cursor
                .partitions
                .as_ref()
                .is_none_or(|wanted| wanted.contains(&event.partition))
            {
                weight += event.weight();
                if !taken.is_empty() && (taken.len() >= events_max || weight > weight_max) {
                    break;
                }
                taken.push(Arc::clone(event));
            }
            at += 1;
        }
        cursor.at.store(at, Ordering::Relaxed);
        let gone = if before <= held.base { held.trim() } else { Vec::new() };
        drop(held);
        drop(gone);
        taken
    }
}
