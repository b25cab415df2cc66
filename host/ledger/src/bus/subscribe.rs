//! Beginning a subscription: where it starts, and taking over from the group's earlier one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::control::Change;
use super::delivery::{Delivery, Member};
use super::event::Position;
use super::group;
use super::subscription::{Kind, Subscription};
use super::topic::{Attached, Store, Topic};
use super::view::BusView;
use crate::{Durability, LedgerError};

/// Where a subscription begins. A group that has a position goes on from there, whatever this says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first event that retention has left.
    Earliest,
    /// With the next event.
    #[default]
    Latest,
    /// With this offset, in each of its partitions.
    Offset(u64),
}

/// What to subscribe to, and how.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// The topic's name.
    pub topic: String,
    /// The group that shares a position: it acknowledges what it has done. Without one nothing is acknowledged, and
    /// nothing remembered. Topics in memory have none.
    pub group: Option<String>,
    /// The partitions; none means all. A group's subscriptions to different partitions live side by side.
    pub partitions: Option<Vec<u16>>,
    /// Where it begins. Topics in memory begin with the next event.
    pub start: Start,
    /// Where single partitions begin, in place of `start`.
    pub positions: Vec<Position>,
    /// How many events a group may have delivered and not acknowledged.
    pub credit_events: usize,
    /// How many bytes they may take; one event is delivered whatever it takes.
    pub credit_bytes: u64,
}

impl Subscribe {
    /// To a topic from its next event on, without a group, with a credit of 1,024 events and 8 MiB.
    pub fn to(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            group: None,
            partitions: None,
            start: Start::Latest,
            positions: Vec::new(),
            credit_events: 1_024,
            credit_bytes: 8 << 20,
        }
    }

    /// As a group. A new group begins with the earliest event, unless `start` is called after this.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self.start = Start::Earliest;
        self
    }

    /// To some partitions only.
    #[must_use]
    pub fn partitions(mut self, partitions: impl Into<Vec<u16>>) -> Self {
        self.partitions = Some(partitions.into());
        self
    }

    /// From there on.
    #[must_use]
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// To the partitions of these positions only, from there on.
    #[must_use]
    pub fn positions(mut self, positions: impl Into<Vec<Position>>) -> Self {
        self.positions = positions.into();
        self.partitions = Some(self.positions.iter().map(|position| position.partition).collect());
        self
    }

    /// With this credit.
    #[must_use]
    pub const fn credit(mut self, events: usize, bytes: u64) -> Self {
        self.credit_events = events;
        self.credit_bytes = bytes;
        self
    }

    fn start_of(&self, partition: u16) -> Start {
        let named = self.positions.iter().find(|position| position.partition == partition);
        named.map_or(self.start, |position| Start::Offset(position.offset))
    }
}

impl BusView {
    /// Begins a subscription. That of a group fences the group's earlier ones of the same partitions.
    ///
    /// # Errors
    /// `NoTopic`; `InvalidSubscription`; `InvalidOffset`, `OffsetGone` for a start that is not there; `TooMany`; a
    /// commit's.
    pub async fn subscribe(self: &Arc<Self>, ask: Subscribe) -> Result<Subscription, LedgerError> {
        self.check_open()?;
        let topic = self.topic(&ask.topic)?;
        topic.check_room()?;
        let partitions = wanted(&topic, &ask)?;
        if ask.credit_events == 0 || ask.credit_bytes == 0 {
            return Err(topic.bad_subscription("its credit is zero"));
        }
        let kind = match (&topic.store, &ask.group) {
            (Store::Memory(_), Some(_)) => {
                return Err(topic.bad_subscription("the topic is in memory, where groups have no position to keep"));
            }
            (Store::Memory(_), None) if ask.start != Start::Latest || !ask.positions.is_empty() => {
                return Err(topic.bad_subscription("the topic is in memory, so it begins with the next event"));
            }
            (Store::Memory(ring), None) => {
                let all = partitions.len() == usize::from(topic.config().partitions);
                Kind::Memory(ring.attach(Some(partitions).filter(|_| !all)))
            }
            (Store::Log(_), None) => {
                let cursors = self.starts(&topic, &partitions, &ask)?;
                Kind::Log(Delivery::new(None, cursors, (usize::MAX, u64::MAX)))
            }
            (Store::Log(_), Some(group)) => {
                let (member, cursors) = self.join(&topic, group, &partitions, &ask).await?;
                Kind::Log(Delivery::new(
                    Some(member),
                    cursors,
                    (ask.credit_events, ask.credit_bytes),
                ))
            }
        };
        Ok(Subscription::begin(self, topic, kind))
    }

    /// The first offset of each partition.
    fn starts(&self, topic: &Topic, partitions: &[u16], ask: &Subscribe) -> Result<Vec<(u16, u64)>, LedgerError> {
        let visible = self.visible();
        let mut starts = Vec::with_capacity(partitions.len());
        for &number in partitions {
            let partition = topic.partition(number)?;
            let offset = match ask.start_of(number) {
                Start::Earliest => partition.first(),
                Start::Latest => self.visible_head(topic, number, visible)?,
                Start::Offset(offset) if offset < partition.first() => return Err(gone(topic, number, offset)?),
                Start::Offset(offset) if offset > partition.head() => {
                    return Err(topic.bad_offset(number, offset, "it lies beyond the last event"));
                }
                Start::Offset(offset) => offset,
            };
            starts.push((number, offset));
        }
        Ok(starts)
    }

    /// The offset after the last event of a partition that can be read.
    fn visible_head(&self, topic: &Topic, partition: u16, visible: u64) -> Result<u64, LedgerError> {
        let runs = self.runs(topic, partition);
        let mut run = runs.last()?;
        while let Some(last) = run.filter(|last| last.seq >= visible) {
            if last.first == 0 {
                return Ok(0);
            }
            run = runs.at(last.first - 1)?;
        }
        Ok(run.map_or(0, |last| last.end()))
    }

    /// Makes the group's newest subscription, and gives where it goes on.
    async fn join(
        &self,
        topic: &Arc<Topic>,
        group: &str,
        partitions: &[u16],
        ask: &Subscribe,
    ) -> Result<(Member, Vec<(u16, u64)>), LedgerError> {
        group::check_name(&topic.name, group)?;
        let _joining = topic.joining.lock().await;
        let known = topic.group(group);
        let seat = |partition: u16| known.as_ref().and_then(|group| group.seat(partition));
        let epoch = topic.epoch.load(Ordering::Acquire) + 1;
        let fresh: Vec<u16> = partitions
            .iter()
            .copied()
            .filter(|&partition| seat(partition).is_none())
            .collect();
        let fresh = self.starts(topic, &fresh, ask)?;
        let begin = |&partition: &u16| {
            let start = fresh.iter().find(|(fresh, _)| *fresh == partition);
            let resumed = || (partition, seat(partition).map_or(0, |seat| seat.next));
            start.copied().unwrap_or_else(resumed)
        };
        let change = Change::Joined {
            topic: topic.id,
            group: group.into(),
            epoch,
            starts: partitions.iter().map(begin).collect(),
        };
        self.commit_control(change.control(), Durability::Written).await?;
        let group = topic.known_group(group)?;
        let mut cursors = Vec::with_capacity(partitions.len());
        for &partition in partitions {
            // What was committed until the epoch changed is done.
            let next = group.seat(partition).map_or(0, |seat| seat.next);
            if next < topic.partition(partition)?.first() {
                return Err(gone(topic, partition, next)?);
            }
            cursors.push((partition, next));
        }
        Ok((Member { group, epoch }, cursors))
    }
}

pub(super) fn gone(topic: &Topic, partition: u16, offset: u64) -> Result<LedgerError, LedgerError> {
    Ok(LedgerError::OffsetGone {
        topic: topic.name.as_ref().into(),
        partition,
        offset,
        first: topic.partition(partition)?.first(),
    })
}

/// The partitions that are asked for, in order, each once.
fn wanted(topic: &Topic, ask: &Subscribe) -> Result<Vec<u16>, LedgerError> {
    let count = topic.config().partitions;
    let mut partitions = ask.partitions.clone().unwrap_or_else(|| (0..count).collect());
    partitions.sort_unstable();
    partitions.dedup();
    match partitions.last() {
        None => Err(topic.bad_subscription("it names no partition")),
        Some(&last) if last >= count => Err(topic.bad_offset(last, 0, "there is no such partition")),
        Some(_) => Ok(partitions),
    }
}

/// What the topic knows of a subscription.
pub(super) fn attachment(member: Option<&Member>, cursors: &[(u16, u64)]) -> Arc<Attached> {
    Arc::new(Attached {
        group: member.map(|member| Arc::clone(&member.group)),
        cursors: cursors
            .iter()
            .map(|&(partition, offset)| (partition, AtomicU64::new(offset)))
            .collect(),
    })
}
