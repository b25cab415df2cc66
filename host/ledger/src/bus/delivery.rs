//! What a subscription delivers next: in order per partition, within its credit, again when it is not acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::config::TopicConfig;
use super::event::{Event, OffsetCommit, Position};
use super::group::{Group, Seat};
use super::subscribe::attachment;
use super::tail::Next;
use super::topic::{Attached, Topic};
use crate::LedgerError;

/// The group a subscription belongs to, and which one of it it is.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) group: Arc<Group>,
    pub(super) epoch: u64,
}

/// See the module.
pub(super) struct Delivery {
    pub(super) member: Option<Member>,
    pub(super) attached: Arc<Attached>,
    state: Mutex<State>,
    /// How many events, and how heavy ones, may be delivered and not acknowledged.
    credit: (usize, u64),
}

struct State {
    cursors: Vec<Cursor>,
    /// Which one comes first next time.
    turn: usize,
    /// What is delivered and not acknowledged, in all partitions.
    in_flight: (usize, u64),
}

/// A subscription's place in one partition.
struct Cursor {
    partition: u16,
    /// The next offset to deliver.
    position: u64,
    /// The offset after the last one ever delivered.
    reached: u64,
    /// What was delivered below the position and is not acknowledged: weight, and when it is due again.
    in_flight: VecDeque<(u64, Instant)>,
    /// The event at this offset was counted as delivered once more.
    charged: Option<u64>,
    /// A count that is being committed.
    charging: Option<(u64, u32)>,
    /// Events from the position on, read from the log.
    fetched: VecDeque<Arc<Event>>,
    /// The log held nothing more when the records below this number were visible.
    looked: Option<u64>,
}

/// What there is to do.
pub(super) enum Step {
    /// Hand out these events.
    Deliver(Vec<Arc<Event>>),
    /// Read on from the log.
    Fetch { partition: u16, offset: u64 },
    /// Commit that this event is delivered for the `count`th time.
    Charge { partition: u16, offset: u64, count: u32 },
    /// Make a dead letter of this event.
    Bury { event: Arc<Event>, count: u32 },
    /// Wait for something new, or until something is due again.
    Wait { due: Option<Instant> },
}

/// How much is wanted, and what can be had.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) topic: &'a Topic,
    pub(super) config: &'a TopicConfig,
    pub(super) events_max: usize,
    pub(super) weight_max: u64,
    pub(super) visible: u64,
    pub(super) now: Instant,
}

/// Events being collected.
struct Batch {
    events: Vec<Arc<Event>>,
    /// How many more, and how heavy.
    room: (usize, u64),
}

impl Batch {
    fn add(&mut self, event: &Arc<Event>, first_is_free: bool) -> bool {
        let weight = event.weight();
        let fits = self.room.0 > 0 && (weight <= self.room.1 || (first_is_free && self.events.is_empty()));
        if fits {
            self.room = (self.room.0 - 1, self.room.1.saturating_sub(weight));
            self.events.push(Arc::clone(event));
        }
        fits
    }
}

impl Delivery {
    pub(super) fn new(member: Option<Member>, starts: Vec<(u16, u64)>, credit: (usize, u64)) -> Self {
        let attached = attachment(member.as_ref(), &starts);
        let cursor = |(partition, position)| Cursor {
            partition,
            position,
            reached: position,
            in_flight: VecDeque::new(),
            charged: None,
            charging: None,
            fetched: VecDeque::new(),
            looked: None,
        };
        Self {
            member,
            attached,
            state: Mutex::new(State {
                cursors: starts.into_iter().map(cursor).collect(),
                turn: 0,
                in_flight: (0, 0),
            }),
            credit,
        }
    }

    /// Finds out what there is to do. What it hands out counts as delivered.
    pub(super) fn step(&self, ask: &Ask<'_>) -> Result<Step, LedgerError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut due = None;
        for cursor in &mut state.cursors {
            if let Some(member) = &self.member {
                let seat = member.seat(ask.topic, cursor.partition)?;
                cursor.settle(&seat, ask.now, &mut state.in_flight);
                let first = cursor.in_flight.front().map(|(_, due)| *due);
                due = due.min(first).or(due).or(first);
            }
        }
        let mut batch = Batch {
            events: Vec::new(),
            room: (
                ask.events_max.min(self.credit.0.saturating_sub(state.in_flight.0)),
                ask.weight_max.min(self.credit.1.saturating_sub(state.in_flight.1)),
            ),
        };
        // One event may be delivered whatever it weighs, or it never would.
        let first_is_free = state.in_flight.0 == 0;
        let mut needed = None;
        let count = state.cursors.len();
        for place in (0..count).map(|place| (state.turn + place) % count) {
            let Some(cursor) = state.cursors.get_mut(place) else {
                continue;
            };
            if batch.room.0 == 0 {
                break;
            }
            let before = batch.events.len();
            let need = self.collect(cursor, ask, &mut batch, first_is_free)?;
            if self.member.is_some() {
                for event in batch.events.iter().skip(before) {
                    state.in_flight.0 += 1;
                    state.in_flight.1 += event.weight();
                }
            }
            needed = needed.or(need.map(|step| (place, step)));
            // Who is first in turn is served before the others get more, or a busy partition could keep it waiting.
            if place == state.turn && needed.is_some() {
                break;
            }
        }
        if !batch.events.is_empty() {
            state.turn = (state.turn + 1) % count.max(1);
            return Ok(Step::Deliver(batch.events));
        }
        let Some((place, step)) = needed else {
            return Ok(Step::Wait { due });
        };
        // When it is done, this partition goes on.
        state.turn = place;
        Ok(step)
    }

    /// Adds a partition's next events to the batch, or tells what has to be done before.
    fn collect(
        &self,
        cursor: &mut Cursor,
        ask: &Ask<'_>,
        batch: &mut Batch,
        first_is_free: bool,
    ) -> Result<Option<Step>, LedgerError> {
        let partition = ask.topic.partition(cursor.partition)?;
        let Some(first) = cursor.peek(partition, ask.visible) else {
            let unread = cursor.looked != Some(ask.visible) && cursor.position < partition.head();
            return Ok(unread.then_some(Step::Fetch {
                partition: cursor.partition,
                offset: cursor.position,
            }));
        };
        if let Some(member) = &self.member
            && let Some(step) = cursor.charge(member, ask, first)?
        {
            return Ok(Some(step));
        }
        let before = batch.events.len();
        while let Some(event) = cursor.fetched.front() {
            if !batch.add(event, first_is_free) {
                break;
            }
            cursor.fetched.pop_front();
        }
        if cursor.fetched.is_empty() {
            let from = cursor.position + (batch.events.len() - before) as u64;
            partition.take(from, ask.visible, |event| batch.add(event, first_is_free));
        }
        let delivered = batch.events.get(before..).unwrap_or_default();
        cursor.position += delivered.len() as u64;
        cursor.reached = cursor.reached.max(cursor.position);
        match &self.member {
            Some(member) => {
                let due = ask.now + ask.config.ack_timeout();
                cursor
                    .in_flight
                    .extend(delivered.iter().map(|event| (event.weight(), due)));
                member.delivered(cursor.partition, cursor.position);
            }
            None => self.moved(cursor),
        }
        Ok(None)
    }

    /// Tells the topic how far a subscription without a group is.
    fn moved(&self, cursor: &Cursor) {
        let places = &self.attached.cursors;
        if let Ok(place) = places.binary_search_by_key(&cursor.partition, |(partition, _)| *partition)
            && let Some((_, position)) = places.get(place)
        {
            position.store(cursor.position, Ordering::Release);
        }
    }

    /// Takes events that were read from the log.
    pub(super) fn fetched(&self, partition: u16, offset: u64, visible: u64, events: Vec<Arc<Event>>) {
        let mut state = self.state.lock();
        if let Some(cursor) = state.cursors.iter_mut().find(|cursor| cursor.partition == partition)
            && cursor.position == offset
        {
            cursor.looked = events.is_empty().then_some(visible);
            cursor.fetched = events.into();
        }
    }

    /// What commits that all up to these positions is done, as far as it is not yet.
    pub(super) fn acknowledge(&self, topic: &Topic, done: &[Position]) -> Result<Vec<OffsetCommit>, LedgerError> {
        let member = self.member(topic)?;
        let state = self.state.lock();
        let mut commits: Vec<OffsetCommit> = Vec::new();
        for position in done {
            let cursor = state
                .cursors
                .iter()
                .find(|cursor| cursor.partition == position.partition);
            if cursor.is_none_or(|cursor| position.offset >= cursor.reached) {
                return Err(topic.bad_offset(position.partition, position.offset, "it was not delivered here"));
            }
            let next = position.offset + 1;
            if let Some(commit) = commits.iter_mut().find(|commit| commit.partition == position.partition) {
                commit.next = commit.next.max(next);
                continue;
            }
            let seat = member.seat(topic, position.partition)?;
            commits.push(member.commit(topic, position.partition, seat.next, next));
        }
        commits.retain(|commit| commit.next > commit.from);
        Ok(commits)
    }

    /// What commits that exactly these events are done: in each partition they follow each other.
    pub(super) fn consumed(&self, topic: &Topic, events: &[Arc<Event>]) -> Result<Vec<OffsetCommit>, LedgerError> {
        let member = self.member(topic)?;
        let mut commits: Vec<OffsetCommit> = Vec::new();
        for event in events {
            let same = commits.iter_mut().find(|commit| commit.partition == event.partition);
            match same {
                Some(commit) if commit.next == event.offset => commit.next += 1,
                Some(commit) => {
                    let why = format!("it does not follow offset {}", commit.next - 1);
                    return Err(topic.bad_offset(event.partition, event.offset, &why));
                }
                None => commits.push(member.commit(topic, event.partition, event.offset, event.offset + 1)),
            }
        }
        Ok(commits)
    }

    /// Delivers again from this offset on.
    pub(super) fn rewind(&self, position: Position) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(cursor) = state
            .cursors
            .iter_mut()
            .find(|cursor| cursor.partition == position.partition)
            && position.offset < cursor.position
        {
            cursor.rewind(position.offset, &mut state.in_flight);
        }
    }

    pub(super) fn member(&self, topic: &Topic) -> Result<&Member, LedgerError> {
        self.member
            .as_ref()
            .ok_or_else(|| topic.bad_subscription("it has no group, so it acknowledges nothing"))
    }
}

impl Member {
    /// The group's place, unless a newer subscription took over.
    fn seat(&self, topic: &Topic, partition: u16) -> Result<Seat, LedgerError> {
        let seat = self
            .group
            .seat(partition)
            .ok_or_else(|| topic.no_group(&self.group.name))?;
        if seat.epoch == self.epoch {
            return Ok(seat);
        }
        Err(LedgerError::Fenced {
            group: self.group.name.as_ref().into(),
            topic: topic.name.as_ref().into(),
            partition,
            epoch: self.epoch,
            current: seat.epoch,
        })
    }

    fn delivered(&self, partition: u16, to: u64) {
        if let Some(seat) = self.group.seats.lock().get_mut(&partition) {
            seat.delivered = seat.delivered.max(to);
        }
    }

    pub(super) fn commit(&self, topic: &Topic, partition: u16, from: u64, next: u64) -> OffsetCommit {
        OffsetCommit {
            group: self.group.name.as_ref().into(),
            topic: topic.id,
            partition,
            from,
            next,
            epoch: self.epoch,
        }
    }
}

impl Cursor {
    /// Lets go of what was acknowledged meanwhile, and goes back when the first event in flight is due again.
    fn settle(&mut self, seat: &Seat, now: Instant, in_flight: &mut (usize, u64)) {
        if seat.next == self.position && self.in_flight.is_empty() {
            return;
        }
        if seat.next >= self.position {
            self.rewind(seat.next, in_flight);
            return;
        }
        while self.position - (self.in_flight.len() as u64) < seat.next {
            let Some((weight, _)) = self.in_flight.pop_front() else {
                break;
            };
            *in_flight = (in_flight.0 - 1, in_flight.1 - weight);
        }
        if self.in_flight.front().is_some_and(|(_, due)| *due <= now) {
            self.rewind(seat.next, in_flight);
        }
    }

    /// Continues at an offset, with nothing in flight.
    fn rewind(&mut self, offset: u64, in_flight: &mut (usize, u64)) {
        let weight: u64 = self.in_flight.iter().map(|(weight, _)| weight).sum();
        *in_flight = (in_flight.0 - self.in_flight.len(), in_flight.1 - weight);
        self.in_flight.clear();
        if offset < self.position {
            self.fetched.clear();
            self.charged = None;
        }
        self.looked = None;
        self.position = offset;
    }

    /// The next event, if it is at hand.
    fn peek(&mut self, partition: &super::tail::Partition, visible: u64) -> Option<Arc<Event>> {
        while self.fetched.front().is_some_and(|event| event.offset < self.position) {
            self.fetched.pop_front();
        }
        let mut found = self
            .fetched
            .front()
            .filter(|event| event.offset == self.position)
            .cloned();
        if found.is_none() {
            self.fetched.clear();
            let next = partition.take(self.position, visible, |event| {
                found = Some(Arc::clone(event));
                false
            });
            if next == Next::NotYet && found.is_none() {
                self.looked = Some(visible);
            }
        }
        found
    }

    /// Counts the delivery of the first event after the group's position. Tells what has to be done before.
    fn charge(&mut self, member: &Member, ask: &Ask<'_>, event: Arc<Event>) -> Result<Option<Step>, LedgerError> {
        let seat = member.seat(ask.topic, self.partition)?;
        if seat.next != self.position || self.charged == Some(self.position) {
            return Ok(None);
        }
        // The call that had this counted may have been dropped; it is not counted again.
        if self
            .charging
            .take_if(|charging| Some(*charging) == seat.attempts)
            .is_some()
        {
            self.charged = Some(self.position);
            return Ok(None);
        }
        let count = seat.next_attempt();
        let max = ask.config.max_deliveries;
        if max > 0 && count > max {
            return Ok(Some(Step::Bury {
                event,
                count: count - 1,
            }));
        }
        if count > 1 {
            self.charging = Some((self.position, count));
            return Ok(Some(Step::Charge {
                partition: self.partition,
                offset: self.position,
                count,
            }));
        }
        if let Some(seat) = member.group.seats.lock().get_mut(&self.partition) {
            seat.attempts = Some((self.position, count));
        }
        self.charged = Some(self.position);
        Ok(None)
    }
}
