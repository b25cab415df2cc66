//! A subscription: next events, acknowledging them, giving them back.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::builder::EnvelopeBuilder;
use super::config::dead_letter_name;
use super::control::Change;
use super::delivery::{Ask, Delivery, Step};
use super::event::{Event, NewEvent, OffsetCommit, Position};
use super::ring::Cursor;
use super::subscribe::gone;
use super::topic::{Store, Topic};
use super::view::BusView;
use crate::{Commit, Durability, LedgerError};

/// The longest wait of one call.
const WAIT_MAX: Duration = Duration::from_hours(24);
/// How much is read from the log at a time.
const FETCH_EVENTS: usize = 256;
const FETCH_WEIGHT: u64 = 256 << 10;
/// How often an acknowledgement is tried while others of the same subscription get in between.
const ACK_TRIES: usize = 64;

/// A subscription to a topic. It can be used by many tasks at a time; dropping it ends it.
///
/// No call loses events when its future is dropped: what was not returned is delivered by the next call.
pub struct Subscription {
    bus: Arc<BusView>,
    topic: Arc<Topic>,
    kind: Kind,
    /// Held by who gets the next events.
    turn: tokio::sync::Mutex<()>,
}

/// Where the events come from.
pub(super) enum Kind {
    Memory(Arc<Cursor>),
    Log(Delivery),
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic.name)
            .field("group", &self.group())
            .finish_non_exhaustive()
    }
}

impl Subscription {
    pub(super) fn begin(bus: &Arc<BusView>, topic: Arc<Topic>, kind: Kind) -> Self {
        if let Kind::Log(delivery) = &kind {
            topic.attach(&delivery.attached);
        }
        Self {
            bus: Arc::clone(bus),
            topic,
            kind,
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// Its group.
    pub fn group(&self) -> Option<&str> {
        match &self.kind {
            Kind::Log(delivery) => delivery.member.as_ref().map(|member| member.group.name.as_ref()),
            Kind::Memory(_) => None,
        }
    }

    /// Which of the group's subscriptions it is; 0 without a group.
    pub fn epoch(&self) -> u64 {
        match &self.kind {
            Kind::Log(delivery) => delivery.member.as_ref().map_or(0, |member| member.epoch),
            Kind::Memory(_) => 0,
        }
    }

    /// How many events were dropped before this subscription read them. Topics in the log drop none.
    pub fn missed(&self) -> u64 {
        match &self.kind {
            Kind::Memory(cursor) => cursor.missed(),
            Kind::Log(_) => 0,
        }
    }

    /// Where it goes on in each of its partitions. Nothing for a group, whose positions are in the log, and for topics in
    /// memory, which have none.
    pub fn positions(&self) -> Vec<Position> {
        let Kind::Log(delivery) = &self.kind else {
            return Vec::new();
        };
        if delivery.member.is_some() {
            return Vec::new();
        }
        let position = |(partition, offset): &(u16, AtomicU64)| Position {
            partition: *partition,
            offset: offset.load(Ordering::Acquire),
        };
        delivery.attached.cursors.iter().map(position).collect()
    }

    /// By what a receiver outside can tell that it has this event already: topic, partition and offset.
    pub fn idempotency_key(&self, event: &Event) -> String {
        format!("{}/{}/{}", self.topic.name, event.partition, event.offset)
    }

    /// The next events: at most so many and so heavy ([`Event::weight`]), but at least one, within the credit. None when
    /// there was none for as long as `wait` (at most a day).
    ///
    /// # Errors
    /// `Fenced` when a newer subscription of the group took over; `NoGroup` when it was forgotten; `OffsetGone` when
    /// retention removed what comes next; `Closed`; a commit's.
    pub async fn next(
        &self,
        events_max: usize,
        bytes_max: u64,
        wait: Duration,
    ) -> Result<Vec<Arc<Event>>, LedgerError> {
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.turn.lock()).await else {
            return Ok(Vec::new());
        };
        let events_max = events_max.max(1);
        let events = match &self.kind {
            Kind::Memory(cursor) => self.next_in_memory(cursor, events_max, bytes_max, deadline).await?,
            Kind::Log(delivery) => self.next_in_log(delivery, events_max, bytes_max, deadline).await?,
        };
        self.topic.delivered.fetch_add(events.len() as u64, Ordering::Relaxed);
        Ok(events)
    }

    async fn next_in_memory(
        &self,
        cursor: &Cursor,
        events_max: usize,
        weight_max: u64,
        deadline: Instant,
    ) -> Result<Vec<Arc<Event>>, LedgerError> {
        let Store::Memory(ring) = &self.topic.store else {
            return Ok(Vec::new());
        };
        let take = || {
            let events = ring.take(cursor, events_max, weight_max);
            if !events.is_empty() && self.topic.pressure.is_on() {
                self.topic.room.notify_waiters();
            }
            events
        };
        loop {
            self.bus.check_open()?;
            let events = take();
            if !events.is_empty() {
                return Ok(events);
            }
            let mut arrived = pin!(self.topic.arrived.notified());
            arrived.as_mut().enable();
            // Some may have come, and the bus may have closed, before this began to listen.
            self.bus.check_open()?;
            let events = take();
            if !events.is_empty() || tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(events);
            }
        }
    }

    async fn next_in_log(
        &self,
        delivery: &Delivery,
        events_max: usize,
        weight_max: u64,
        deadline: Instant,
    ) -> Result<Vec<Arc<Event>>, LedgerError> {
        let nobody = Notify::new();
        let group = delivery.member.as_ref().map_or(&nobody, |member| &member.group.changed);
        let mut listening = false;
        loop {
            let mut arrived = pin!(self.topic.arrived.notified());
            let mut changed = pin!(group.notified());
            if listening {
                arrived.as_mut().enable();
                changed.as_mut().enable();
            }
            self.bus.check_open()?;
            let config = self.topic.config();
            let ask = Ask {
                topic: &self.topic,
                config: &config,
                events_max,
                weight_max,
                visible: self.bus.visible(),
                now: Instant::now(),
            };
            match delivery.step(&ask)? {
                Step::Deliver(events) => {
                    if delivery.member.is_none() && self.topic.pressure.is_on() {
                        self.topic.room.notify_waiters();
                    }
                    return Ok(events);
                }
                Step::Fetch { partition, offset } => self.fetch(delivery, partition, offset, ask.visible).await?,
                Step::Charge {
                    partition,
                    offset,
                    count,
                } => self.charge(delivery, Position { partition, offset }, count).await?,
                Step::Bury { event, count } => self.bury(delivery, &event, count).await?,
                Step::Wait { .. } if !listening => listening = true,
                Step::Wait { due } => {
                    if ask.now >= deadline {
                        return Ok(Vec::new());
                    }
                    tokio::select! {
                        () = arrived => {}
                        () = changed => {}
                        () = tokio::time::sleep_until(due.map_or(deadline, |due| due.min(deadline))) => {}
                    }
                }
            }
        }
    }

    /// Reads on from the log.
    async fn fetch(&self, delivery: &Delivery, partition: u16, offset: u64, visible: u64) -> Result<(), LedgerError> {
        if offset < self.topic.partition(partition)?.first() {
            return Err(gone(&self.topic, partition, offset)?);
        }
        let (bus, topic) = (Arc::clone(&self.bus), Arc::clone(&self.topic));
        let read = tokio::task::spawn_blocking(move || {
            let records = bus.records()?;
            let limits = (FETCH_EVENTS, FETCH_WEIGHT);
            bus.runs(&topic, partition)
                .read(records.as_ref(), offset, visible, limits)
        });
        let events = read.await.map_err(|_| LedgerError::Closed {})?;
        match events {
            // Retention came in between.
            Err(LedgerError::BelowHorizon { .. }) => Err(gone(&self.topic, partition, offset)?),
            Err(error) => Err(error),
            Ok(events) => {
                delivery.fetched(partition, offset, visible, events);
                Ok(())
            }
        }
    }

    /// Commits that an event is delivered once more.
    async fn charge(&self, delivery: &Delivery, position: Position, count: u32) -> Result<(), LedgerError> {
        let member = delivery.member(&self.topic)?;
        let change = Change::Delivered {
            topic: self.topic.id,
            group: member.group.name.as_ref().into(),
            partition: position.partition,
            offset: position.offset,
            count,
            epoch: member.epoch,
        };
        self.bus.commit_control(change.control(), Durability::Written).await?;
        Ok(())
    }

    /// Makes a dead letter of an event: in one commit it comes into the topic of dead letters, and the group goes on.
    async fn bury(&self, delivery: &Delivery, event: &Event, count: u32) -> Result<(), LedgerError> {
        let member = delivery.member(&self.topic)?;
        let name = dead_letter_name(&self.topic.name);
        let config = self.topic.config();
        if self.bus.topic(&name).is_err() {
            match self.bus.create_topic(&name, config.of_dead_letters()).await {
                Ok(_) | Err(LedgerError::TopicExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let envelope = EnvelopeBuilder::of(&event.envelope)
            .extension("deadlettertopic", self.topic.name.as_ref())
            .extension("deadletterpart", i32::from(event.partition))
            .extension("deadletteroffset", event.offset.to_string())
            .extension("deadlettergroup", member.group.name.as_ref())
            .extension("deadletterattempts", i32::try_from(count).unwrap_or(i32::MAX))
            .build_extended()?;
        let commit = Commit {
            durability: Some(config.effective_durability()),
            events: vec![NewEvent {
                topic: name,
                key: event.key.clone(),
                envelope,
            }],
            offsets: vec![member.commit(&self.topic, event.partition, event.offset, event.offset + 1)],
            ..Commit::default()
        };
        match self.bus.commit(commit).await {
            // It was acknowledged, or buried by a call that was dropped.
            Ok(_) | Err(LedgerError::OffsetMoved { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What to put into a commit so that all up to these positions is done with it, as far as it is not yet.
    ///
    /// # Errors
    /// `InvalidOffset` for what was not delivered to this subscription; `InvalidSubscription` without a group; `Fenced`.
    pub fn offsets_to(&self, done: &[Position]) -> Result<Vec<OffsetCommit>, LedgerError> {
        self.delivery()?.acknowledge(&self.topic, done)
    }

    fn delivery(&self) -> Result<&Delivery, LedgerError> {
        match &self.kind {
            Kind::Log(delivery) => Ok(delivery),
            Kind::Memory(_) => Err(self
                .topic
                .bad_subscription("the topic is in memory, where nothing is acknowledged")),
        }
    }

    /// Acknowledges these events and all before them in their partitions. Those that are already are passed over.
    ///
    /// # Errors
    /// `InvalidOffset` for what was not delivered to this subscription; `InvalidSubscription` without a group;
    /// `Fenced`; a commit's.
    pub async fn ack(&self, done: &[Position]) -> Result<(), LedgerError> {
        let delivery = self.delivery()?;
        let mut tries = 0;
        loop {
            let offsets = delivery.acknowledge(&self.topic, done)?;
            if offsets.is_empty() {
                return Ok(());
            }
            let commit = Commit {
                // If a power cut takes it, the events are delivered again.
                durability: Some(Durability::Written),
                offsets,
                ..Commit::default()
            };
            tries += 1;
            match self.bus.commit(commit).await {
                // Another acknowledgement came in between.
                Err(LedgerError::OffsetMoved { .. }) if tries < ACK_TRIES => {}
                committed => return committed.map(|_| ()),
            }
        }
    }

    /// Acknowledges all before this event in its partition, and has it and all after it delivered again.
    ///
    /// # Errors
    /// As [`Subscription::ack`]'s, and `InvalidOffset` for what is acknowledged already.
    pub async fn nack(&self, failed: Position) -> Result<(), LedgerError> {
        self.check_pending(failed)?;
        if let Some(before) = failed.offset.checked_sub(1) {
            let done = Position {
                offset: before,
                ..failed
            };
            self.ack(&[done]).await?;
        }
        self.delivery()?.rewind(failed);
        Ok(())
    }

    /// Has this event and all after it in its partition delivered again, and acknowledges nothing: for who acknowledges
    /// with a commit of his own.
    ///
    /// # Errors
    /// As [`Subscription::offsets_to`]'s, and `InvalidOffset` for what is acknowledged already.
    pub fn redeliver(&self, failed: Position) -> Result<(), LedgerError> {
        self.check_pending(failed)?;
        self.delivery()?.rewind(failed);
        Ok(())
    }

    /// Whether an event was delivered here and is not acknowledged.
    fn check_pending(&self, event: Position) -> Result<(), LedgerError> {
        if self.offsets_to(&[event])?.is_empty() {
            return Err(self
                .topic
                .bad_offset(event.partition, event.offset, "it is acknowledged already"));
        }
        Ok(())
    }

    /// What to put into a commit so that these events are consumed by it, once: if the group does not stand at the first
    /// of each partition any more, or a newer subscription took over, the commit is refused.
    ///
    /// # Errors
    /// `InvalidOffset` when the events of a partition do not follow each other; `InvalidSubscription` without a group.
    pub fn offsets(&self, events: &[Arc<Event>]) -> Result<Vec<OffsetCommit>, LedgerError> {
        self.delivery()?.consumed(&self.topic, events)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        match (&self.kind, &self.topic.store) {
            (Kind::Log(delivery), _) => self.topic.detach(&delivery.attached),
            (Kind::Memory(cursor), Store::Memory(ring)) => {
                ring.detach(cursor);
                self.topic.room.notify_waiters();
            }
            (Kind::Memory(_), Store::Log(_)) => {}
        }
    }
}
