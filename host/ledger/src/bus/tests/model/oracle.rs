//! What the bus does, told simply: partitions are lists, a group's place is a number, and time is what the test says.

use std::collections::{BTreeMap, VecDeque};

use proptest::sample::Index;
use tokio::time::Instant;

use super::super::*;
use super::{ACK_TIMEOUT, CREDIT, GROUPS, MAX_DELIVERIES, PARTITIONS};
use crate::bus::{DEAD_LETTER_PREFIX, Start, Subscribe, partition_of};

/// A group's place, as the oracle has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Place {
    epoch: u64,
    next: u64,
    attempts: Option<(u64, u32)>,
    delivered: u64,
}

impl Place {
    fn attempt(&self) -> u32 {
        match self.attempts {
            Some((offset, count)) if offset == self.next => count + 1,
            _ if self.delivered > self.next => 2,
            _ => 1,
        }
    }

    fn advance(&mut self, next: u64) {
        self.next = next;
        self.attempts = self.attempts.filter(|(offset, _)| *offset >= next);
    }
}

/// A subscription, and where the oracle has it in each of its partitions.
struct Consumer {
    subscription: Subscription,
    group: Option<usize>,
    epoch: u64,
    cursors: BTreeMap<u16, Cursor>,
    last: Vec<Arc<Event>>,
}

#[derive(Debug, Default)]
struct Cursor {
    position: u64,
    reached: u64,
    due: VecDeque<Instant>,
    /// The event of which a delivery was counted last.
    counted: Option<u64>,
}

impl Cursor {
    fn at(position: u64) -> Self {
        Self {
            position,
            reached: position,
            ..Self::default()
        }
    }

    fn rewind(&mut self, position: u64) {
        self.due.clear();
        self.counted = None;
        self.position = position;
    }

    fn settle(&mut self, place: &Place, now: Instant) {
        if place.next >= self.position {
            self.due.clear();
            self.position = place.next;
            return;
        }
        while self.position - (self.due.len() as u64) < place.next {
            self.due.pop_front();
        }
        if self.due.front().is_some_and(|due| *due <= now) {
            self.rewind(place.next);
        }
    }
}

pub(super) struct Oracle {
    topic: String,
    /// What each partition holds.
    log: Vec<Vec<u64>>,
    groups: [BTreeMap<u16, Place>; GROUPS.len()],
    dead: Vec<u64>,
    consumers: Vec<Consumer>,
    published: u64,
    epoch: u64,
}

impl Oracle {
    pub(super) fn new(topic: String) -> Self {
        Self {
            topic,
            log: vec![Vec::new(); usize::from(PARTITIONS)],
            groups: Default::default(),
            dead: Vec::new(),
            consumers: Vec::new(),
            published: 0,
            epoch: 0,
        }
    }

    /// How many subscriptions there are.
    pub(super) fn consumers(&self) -> usize {
        self.consumers.len()
    }

    fn head(&self, partition: u16) -> u64 {
        self.log[usize::from(partition)].len() as u64
    }

    pub(super) async fn publish(&mut self, host: &Host, keys: Vec<Option<u8>>) {
        let first = self.published;
        let new = |(number, key): (u64, Option<u8>)| {
            let event = event(&self.topic, number);
            match key {
                Some(key) => event.with_key(vec![key]),
                None => event,
            }
        };
        self.published += keys.len() as u64;
        let new: Vec<NewEvent> = (first..).zip(keys.clone()).map(new).collect();
        let seq = host.publish(new).await.unwrap().seq.unwrap();
        let parts = host.log.parts(seq).unwrap();
        assert_eq!(parts.events.len(), keys.len());
        for ((event, key), expected) in parts.events.iter().zip(keys).zip(first..) {
            assert_eq!((event.offset, number(event)), (self.head(event.partition), expected));
            if let Some(key) = key {
                assert_eq!(event.partition, partition_of(&[key], PARTITIONS));
            }
            self.log[usize::from(event.partition)].push(expected);
        }
    }

    pub(super) async fn join(&mut self, host: &Host, group: usize, mask: u8, latest: bool) {
        let partitions: Vec<u16> = (0..PARTITIONS)
            .filter(|partition| mask & (1 << partition) != 0)
            .collect();
        let start = if latest { Start::Latest } else { Start::Earliest };
        let ask = Subscribe::to(self.topic.as_str())
            .group(GROUPS[group])
            .partitions(partitions.clone())
            .start(start)
            .credit(CREDIT, u64::MAX);
        let subscription = host.bus.subscribe(ask).await.unwrap();
        let epoch = subscription.epoch();
        assert!(epoch > self.epoch, "an epoch never comes twice");
        self.epoch = epoch;
        let mut cursors = BTreeMap::new();
        for partition in partitions {
            let begin = if latest { self.head(partition) } else { 0 };
            let fresh = Place {
                next: begin,
                delivered: begin,
                ..Place::default()
            };
            let place = self.groups[group].entry(partition).or_insert(fresh);
            place.epoch = epoch;
            cursors.insert(partition, Cursor::at(place.next));
        }
        self.consumers.push(Consumer {
            subscription,
            group: Some(group),
            epoch,
            cursors,
            last: Vec::new(),
        });
    }

    pub(super) async fn read(&mut self, host: &Host, start: Index) {
        let heads = (0..PARTITIONS).map(|partition| self.head(partition));
        let offset = start.index(usize::try_from(heads.min().unwrap()).unwrap() + 1) as u64;
        let ask = Subscribe::to(self.topic.as_str()).start(Start::Offset(offset));
        let subscription = host.bus.subscribe(ask).await.unwrap();
        self.consumers.push(Consumer {
            subscription,
            group: None,
            epoch: 0,
            cursors: (0..PARTITIONS)
                .map(|partition| (partition, Cursor::at(offset)))
                .collect(),
            last: Vec::new(),
        });
    }

    /// Whether a consumer's group was forgotten, or a newer subscription has one of its partitions.
    fn fenced(&self, consumer: &Consumer, partition: Option<u16>) -> bool {
        let Some(group) = consumer.group else { return false };
        let mut partitions = consumer
            .cursors
            .keys()
            .filter(|other| partition.is_none_or(|partition| partition == **other));
        partitions.any(|partition| {
            self.groups[group]
                .get(partition)
                .is_none_or(|place| place.epoch != consumer.epoch)
        })
    }

    pub(super) async fn next(&mut self, host: &Host, who: usize, events_max: usize) {
        let mut consumer = self.consumers.remove(who);
        let result = consumer.subscription.next(events_max, u64::MAX, Duration::ZERO).await;
        if self.fenced(&consumer, None) {
            assert!(
                matches!(result, Err(LedgerError::Fenced { .. } | LedgerError::NoGroup { .. })),
                "{result:?}"
            );
            self.consumers.push(consumer);
            return;
        }
        let events = result.unwrap();
        let now = Instant::now();
        if let Some(group) = consumer.group {
            for (partition, cursor) in &mut consumer.cursors {
                cursor.settle(&self.groups[group][partition], now);
            }
        }
        let in_flight: usize = consumer.cursors.values().map(|cursor| cursor.due.len()).sum();
        assert!(events.len() <= events_max && (consumer.group.is_none() || events.len() + in_flight <= CREDIT));
        for event in &events {
            let cursor = consumer.cursors.get_mut(&event.partition).unwrap();
            if let Some(group) = consumer.group {
                let place = self.groups[group].get_mut(&event.partition).unwrap();
                let partition = &self.log[usize::from(event.partition)];
                bury(place, cursor, partition, &mut self.dead, event.offset);
                if place.next == cursor.position && cursor.counted != Some(cursor.position) {
                    let attempt = place.attempt();
                    assert!(attempt <= MAX_DELIVERIES);
                    place.attempts = Some((cursor.position, attempt));
                    cursor.counted = Some(cursor.position);
                }
                place.delivered = place.delivered.max(cursor.position + 1);
                cursor.due.push_back(now + ACK_TIMEOUT);
            }
            assert_eq!(event.offset, cursor.position, "in order, without gaps");
            assert_eq!(
                number(event),
                self.log[usize::from(event.partition)][usize::try_from(event.offset).unwrap()]
            );
            cursor.position += 1;
            cursor.reached = cursor.reached.max(cursor.position);
        }
        if let Some(group) = consumer.group {
            // A partition whose last event was buried delivers nothing.
            let seats = host.bus.topic_stats(&self.topic).unwrap().groups;
            let seats = seats.iter().find(|seats| seats.name == GROUPS[group]).unwrap();
            for seat in &seats.partitions {
                let Some(cursor) = consumer.cursors.get_mut(&seat.partition) else {
                    continue;
                };
                let place = self.groups[group].get_mut(&seat.partition).unwrap();
                let partition = &self.log[usize::from(seat.partition)];
                bury(place, cursor, partition, &mut self.dead, seat.committed);
            }
        }
        if events.is_empty() && (consumer.group.is_none() || in_flight < CREDIT) {
            for (partition, cursor) in &consumer.cursors {
                assert_eq!(cursor.position, self.head(*partition), "nothing is kept back");
            }
        }
        consumer.last = events;
        self.consumers.push(consumer);
    }

    pub(super) async fn ack(&mut self, who: usize, partition: u16, offset: Index, failed: bool) {
        let mut consumer = self.consumers.remove(who);
        let reached = consumer.cursors.get(&partition).map_or(0, |cursor| cursor.reached);
        let offset = offset.index(usize::try_from(reached).unwrap() + 1) as u64;
        let position = at(partition, offset);
        let result = if failed {
            consumer.subscription.nack(position).await
        } else {
            consumer.subscription.ack(&[position]).await
        };
        let known = consumer.cursors.contains_key(&partition) && offset < reached;
        match consumer.group {
            None => assert!(matches!(result, Err(LedgerError::InvalidSubscription { .. }))),
            Some(_) if !known => assert!(matches!(result, Err(LedgerError::InvalidOffset { .. })), "{result:?}"),
            Some(_) if self.fenced(&consumer, Some(partition)) => {
                assert!(
                    matches!(result, Err(LedgerError::Fenced { .. } | LedgerError::NoGroup { .. })),
                    "{result:?}"
                );
            }
            Some(group) => {
                let place = self.groups[group].get_mut(&partition).unwrap();
                let cursor = consumer.cursors.get_mut(&partition).unwrap();
                if !failed {
                    result.unwrap();
                    place.advance(place.next.max(offset + 1));
                } else if offset < place.next {
                    assert!(matches!(result, Err(LedgerError::InvalidOffset { .. })), "{result:?}");
                } else {
                    result.unwrap();
                    place.advance(offset);
                    if offset < cursor.position {
                        cursor.rewind(offset);
                    }
                }
            }
        }
        self.consumers.push(consumer);
    }

    pub(super) async fn consume(&mut self, host: &Host, who: usize) {
        let consumer = self.consumers.remove(who);
        if let Some(group) = consumer.group
            && !consumer.last.is_empty()
        {
            let offsets = consumer.subscription.offsets(&consumer.last).unwrap();
            let place = |offset: &OffsetCommit| self.groups[group].get(&offset.partition).copied().unwrap_or_default();
            let good = offsets
                .iter()
                .all(|offset| place(offset).epoch == offset.epoch && place(offset).next == offset.from);
            let commit = Commit {
                offsets: offsets.clone(),
                ..Commit::default()
            };
            let result = host.commit(commit).await;
            if good {
                result.unwrap();
                for offset in offsets {
                    self.groups[group]
                        .get_mut(&offset.partition)
                        .unwrap()
                        .advance(offset.next);
                }
            } else {
                let refused = |error: &LedgerError| {
                    use LedgerError::{Fenced, NoGroup, OffsetMoved};
                    matches!(error, Fenced { .. } | NoGroup { .. } | OffsetMoved { .. })
                };
                assert!(result.as_ref().is_err_and(refused), "{result:?}");
            }
        }
        self.consumers.push(consumer);
    }

    pub(super) fn leave(&mut self, who: usize) {
        self.consumers.remove(who);
    }

    pub(super) async fn forget(&mut self, host: &Host, group: usize) {
        let known = !self.groups[group].is_empty();
        let forgotten = host.bus.forget_group(&self.topic, GROUPS[group]).await;
        assert_eq!(forgotten.is_ok(), known);
        self.groups[group].clear();
    }

    pub(super) fn restart(&mut self, host: Host, keep_index: bool) -> Host {
        self.consumers.clear();
        let host = host.reopen(keep_index);
        for place in self.groups.iter_mut().flat_map(BTreeMap::values_mut) {
            place.delivered = place.next;
            place.attempts = place.attempts.filter(|(_, count)| *count > 1);
        }
        self.epoch = self
            .groups
            .iter()
            .flat_map(BTreeMap::values)
            .map(|place| place.epoch)
            .max()
            .unwrap_or_default();
        host
    }

    pub(super) async fn check(&self, host: &Host) {
        let stats = host.bus.topic_stats(&self.topic).unwrap();
        assert_eq!(
            stats.heads,
            (0..PARTITIONS)
                .map(|partition| self.head(partition))
                .collect::<Vec<_>>()
        );
        for (name, places) in GROUPS.iter().zip(&self.groups) {
            let found = stats.groups.iter().find(|group| group.name == **name);
            let found = found.map(|group| {
                group
                    .partitions
                    .iter()
                    .map(|seat| (seat.partition, seat.committed, seat.epoch))
            });
            let found: Vec<_> = found.into_iter().flatten().collect();
            let expected: Vec<_> = places
                .iter()
                .map(|(&partition, place)| (partition, place.next, place.epoch))
                .collect();
            assert_eq!(found, expected);
        }
        assert_eq!(stats.dead_letters, self.dead.len() as u64);
        if !self.dead.is_empty() {
            let name = format!("{DEAD_LETTER_PREFIX}{}", self.topic);
            let dead = host
                .bus
                .subscribe(Subscribe::to(name).start(Start::Earliest))
                .await
                .unwrap();
            let mut found = numbers(&drain(&dead).await);
            let mut expected = self.dead.clone();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}

/// Makes dead letters of what was delivered too often, up to this offset.
fn bury(place: &mut Place, cursor: &mut Cursor, partition: &[u64], dead: &mut Vec<u64>, offset: u64) {
    while place.next == cursor.position && place.next < offset && cursor.counted != Some(place.next) {
        assert!(
            place.attempt() > MAX_DELIVERIES,
            "only what failed too often is passed over"
        );
        dead.push(partition[usize::try_from(place.next).unwrap()]);
        place.advance(place.next + 1);
        cursor.position = place.next;
    }
}
