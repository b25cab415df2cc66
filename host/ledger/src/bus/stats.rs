//! How the bus does: heads, levels and lags, for people and for metrics.

use std::sync::atomic::Ordering;

use super::config::{DEAD_LETTER_PREFIX, TopicConfig, dead_letter_name};
use super::event::TopicId;
use super::topic::{Store, Topic};
use super::view::BusView;
use crate::LedgerError;

/// How a topic does.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicStats {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: TopicId,
    /// Its settings.
    pub config: TopicConfig,
    /// The next offset of each partition: how many events it got.
    pub heads: Vec<u64>,
    /// The first offset of each partition that can be read; topics in memory have none.
    pub first: Vec<u64>,
    /// How many events the slowest attached subscription has not consumed.
    pub level: u64,
    /// Whether publishers are held back.
    pub pressed: bool,
    /// How many subscriptions are attached.
    pub subscribers: usize,
    /// How many events were published: ever, for a topic in the log; since the host started, for one in memory.
    pub published: u64,
    /// How many events were handed to subscriptions since the host started.
    pub delivered: u64,
    /// How many events were shed, ever.
    pub shed: u64,
    /// How many of its events became dead letters, ever.
    pub dead_letters: u64,
    /// Its groups.
    pub groups: Vec<GroupStats>,
}

/// How a group does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<GroupPartition>,
    /// How many events it has not consumed.
    pub lag: u64,
}

/// A group's place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupPartition {
    /// The partition.
    pub partition: u16,
    /// The next offset to consume.
    pub committed: u64,
    /// Which of its subscriptions may go on.
    pub epoch: u64,
    /// How many events it has not consumed.
    pub lag: u64,
}

/// What the bus holds in memory for consumers that keep up with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailStats {
    /// How many events.
    pub events: usize,
    /// How many bytes, roughly.
    pub bytes: u64,
}

impl BusView {
    /// How a topic does.
    ///
    /// # Errors
    /// `NoTopic`.
    pub fn topic_stats(&self, name: &str) -> Result<TopicStats, LedgerError> {
        self.topic(name).map(|topic| self.stats_of(&topic))
    }

    /// How all topics do, by number.
    pub fn stats(&self) -> Vec<TopicStats> {
        let topics = self.registry.read().topics().to_vec();
        topics.iter().map(|topic| self.stats_of(topic)).collect()
    }

    /// What is held in memory for consumers that keep up with the log.
    pub fn tail_stats(&self) -> TailStats {
        let (events, bytes) = self.tails.held();
        TailStats { events, bytes }
    }

    fn stats_of(&self, topic: &Topic) -> TopicStats {
        let heads = topic.heads();
        let first = match &topic.store {
            Store::Memory(_) => Vec::new(),
            Store::Log(partitions) => partitions.iter().map(super::tail::Partition::first).collect(),
        };
        let dead_letters = if topic.name.starts_with(DEAD_LETTER_PREFIX) {
            0
        } else {
            let found = self.topic(&dead_letter_name(&topic.name));
            found.map_or(0, |dead| dead.heads().iter().sum())
        };
        TopicStats {
            name: topic.name.as_ref().into(),
            id: topic.id,
            config: TopicConfig::clone(&topic.config()),
            level: topic.level(),
            pressed: topic.pressure.is_on(),
            subscribers: topic.subscribers(),
            published: heads.iter().sum(),
            delivered: topic.delivered.load(Ordering::Relaxed),
            shed: topic.shed.load(Ordering::Acquire),
            dead_letters,
            groups: groups(topic, &heads),
            heads,
            first,
        }
    }
}

fn groups(topic: &Topic, heads: &[u64]) -> Vec<GroupStats> {
    let stats = |group: &super::group::Group| {
        let seats = group.seats.lock().clone();
        let partitions: Vec<GroupPartition> = seats
            .into_iter()
            .map(|(partition, seat)| GroupPartition {
                partition,
                committed: seat.next,
                epoch: seat.epoch,
                lag: heads
                    .get(usize::from(partition))
                    .copied()
                    .unwrap_or_default()
                    .saturating_sub(seat.next),
            })
            .collect();
        GroupStats {
            name: group.name.as_ref().into(),
            lag: partitions.iter().map(|place| place.lag).sum(),
            partitions,
        }
    };
    topic.groups().iter().map(|group| stats(group)).collect()
}
