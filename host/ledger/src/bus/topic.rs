//! A topic as it runs: its partitions, its groups, who is attached, and how far the slowest of them is behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use super::config::TopicConfig;
use super::event::TopicId;
use super::group::{Group, Seat};
use super::partition::partition_of;
use super::ring::Ring;
use super::tail::Partition;
use crate::LedgerError;

/// The most subscriptions attached to one topic.
pub const ATTACHED_MAX: usize = 4_096;

/// See the module.
pub(super) struct Topic {
    pub(super) id: TopicId,
    pub(super) name: Arc<str>,
    config: RwLock<Arc<TopicConfig>>,
    pub(super) store: Store,
    pub(super) spread: Spread,
    groups: RwLock<HashMap<Arc<str>, Arc<Group>>>,
    attached: Mutex<Vec<Arc<Attached>>>,
    /// The newest subscription of any group. Counted for the topic, so that no number comes twice, not even when a group
    /// is forgotten and begins anew.
    pub(super) epoch: AtomicU64,
    /// Held by who joins a group.
    pub(super) joining: tokio::sync::Mutex<()>,
    /// There are new events.
    pub(super) arrived: Notify,
    /// Events were consumed.
    pub(super) room: Notify,
    pub(super) pressure: Pressure,
    /// How far the slowest subscriber was when a publisher gave up waiting for it.
    pub(super) stuck_at: Mutex<Option<u64>>,
    /// Events handed to consumers since the host started.
    pub(super) delivered: AtomicU64,
    /// Events shed ever.
    pub(super) shed: AtomicU64,
    /// Those of them that the log tells of.
    pub(super) shed_recorded: AtomicU64,
    /// Somebody sees to it that what was shed is recorded.
    pub(super) recording: AtomicBool,
}

/// Where a topic's events are.
pub(super) enum Store {
    Memory(Ring),
    Log(Arc<[Partition]>),
}

/// Chooses partitions: by key, or one after the other.
#[derive(Debug, Default)]
pub(super) struct Spread(AtomicU64);

impl Spread {
    pub(super) fn partition(&self, key: Option<&[u8]>, partitions: u16) -> u16 {
        match key {
            _ if partitions <= 1 => 0,
            Some(key) => partition_of(key, partitions),
            None => {
                let turn = self.0.fetch_add(1, Ordering::Relaxed) % u64::from(partitions);
                u16::try_from(turn).unwrap_or_default()
            }
        }
    }
}

/// Whether publishers are held back.
#[derive(Debug, Default)]
pub(super) struct Pressure(AtomicBool);

impl Pressure {
    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// From the high watermark on, down to the low one.
    pub(super) fn update(&self, config: &TopicConfig, fullness: f64) -> bool {
        let on = if self.is_on() {
            fullness > config.watermark_low
        } else {
            fullness >= config.watermark_high
        };
        self.0.store(on, Ordering::Release);
        on
    }
}

/// A subscription to a topic in the log.
#[derive(Debug)]
pub(super) struct Attached {
    /// Its group, whose positions count.
    pub(super) group: Option<Arc<Group>>,
    /// Its partitions; without a group, with the next offset to read.
    pub(super) cursors: Vec<(u16, AtomicU64)>,
}

impl Topic {
    pub(super) fn new(id: TopicId, name: &str, config: TopicConfig) -> Self {
        let store = if config.in_memory() {
            Store::Memory(Ring::new(config.partitions))
        } else {
            Store::Log((0..config.partitions).map(|_| Partition::default()).collect())
        };
        Self {
            id,
            name: name.into(),
            config: RwLock::new(Arc::new(config)),
            store,
            spread: Spread::default(),
            groups: RwLock::default(),
            attached: Mutex::default(),
            epoch: AtomicU64::new(0),
            joining: tokio::sync::Mutex::default(),
            arrived: Notify::new(),
            room: Notify::new(),
            pressure: Pressure::default(),
            stuck_at: Mutex::default(),
            delivered: AtomicU64::new(0),
            shed: AtomicU64::new(0),
            shed_recorded: AtomicU64::new(0),
            recording: AtomicBool::new(false),
        }
    }

    pub(super) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read())
    }

    pub(super) fn set_config(&self, config: TopicConfig) {
        *self.config.write() = Arc::new(config);
    }

    /// Its partitions in the log.
    pub(super) fn log(&self) -> Result<&Arc<[Partition]>, LedgerError> {
        match &self.store {
            Store::Log(partitions) => Ok(partitions),
            Store::Memory(_) => Err(LedgerError::NotInLog {
                topic: self.name.as_ref().into(),
            }),
        }
    }

    /// One of its partitions in the log.
    pub(super) fn partition(&self, partition: u16) -> Result<&Partition, LedgerError> {
        let found = self.log()?.get(usize::from(partition));
        found.ok_or_else(|| self.bad_offset(partition, 0, "there is no such partition"))
    }

    pub(super) fn bad_offset(&self, partition: u16, offset: u64, why: &str) -> LedgerError {
        LedgerError::InvalidOffset {
            topic: self.name.as_ref().into(),
            partition,
            offset,
            why: why.into(),
        }
    }

    pub(super) fn bad_subscription(&self, why: &str) -> LedgerError {
        LedgerError::InvalidSubscription {
            topic: self.name.as_ref().into(),
            why: why.into(),
        }
    }

    pub(super) fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.read().get(name).cloned()
    }

    pub(super) fn known_group(&self, name: &str) -> Result<Arc<Group>, LedgerError> {
        self.group(name).ok_or_else(|| self.no_group(name))
    }

    /// A group and its place, if the subscription of that epoch may go on.
    pub(super) fn check_epoch(
        &self,
        group: &str,
        partition: u16,
        epoch: u64,
    ) -> Result<(Arc<Group>, Seat), LedgerError> {
        self.partition(partition)?;
        let group = self.known_group(group)?;
        let seat = group.seat(partition);
        let current = seat.map_or(0, |seat| seat.epoch);
        match seat.filter(|seat| seat.epoch == epoch) {
            Some(seat) => Ok((group, seat)),
            None => Err(LedgerError::Fenced {
                group: group.name.as_ref().into(),
                topic: self.name.as_ref().into(),
                partition,
                epoch,
                current,
            }),
        }
    }

    pub(super) fn no_group(&self, name: &str) -> LedgerError {
        LedgerError::NoGroup {
            topic: self.name.as_ref().into(),
            group: name.chars().take(80).collect(),
        }
    }

    pub(super) fn make_group(&self, name: &str) -> Arc<Group> {
        if let Some(group) = self.group(name) {
            return group;
        }
        let mut groups = self.groups.write();
        let group = groups.entry(name.into()).or_insert_with(|| Arc::new(Group::new(name)));
        Arc::clone(group)
    }

    pub(super) fn forget_group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.write().remove(name)
    }

    pub(super) fn groups(&self) -> Vec<Arc<Group>> {
        let mut groups: Vec<_> = self.groups.read().values().cloned().collect();
        groups.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        groups
    }

    /// Whether one more subscription can be attached.
    pub(super) fn check_room(&self) -> Result<(), LedgerError> {
        if self.subscribers() < ATTACHED_MAX {
            return Ok(());
        }
        Err(LedgerError::TooMany {
            what: format!("subscriptions to {}", self.name),
            max: ATTACHED_MAX as u64,
        })
    }

    pub(super) fn attach(&self, attached: &Arc<Attached>) {
        self.attached.lock().push(Arc::clone(attached));
    }

    pub(super) fn detach(&self, attached: &Arc<Attached>) {
        self.attached.lock().retain(|other| !Arc::ptr_eq(other, attached));
        self.room.notify_waiters();
    }

    pub(super) fn subscribers(&self) -> usize {
        match &self.store {
            Store::Memory(ring) => ring.subscribers(),
            Store::Log(_) => self.attached.lock().len(),
        }
    }

    /// The next offset of each partition.
    pub(super) fn heads(&self) -> Vec<u64> {
        match &self.store {
            Store::Memory(ring) => ring.heads(),
            Store::Log(partitions) => partitions.iter().map(Partition::head).collect(),
        }
    }

    /// How many events the slowest attached subscriber has not consumed, and how far it is: as long as that stays the
    /// same, it makes no progress.
    pub(super) fn slowest(&self) -> (u64, u64) {
        let partitions = match &self.store {
            Store::Memory(ring) => return (ring.level(), ring.slowest()),
            Store::Log(partitions) => partitions,
        };
        let attached = self.attached.lock().clone();
        attached
            .iter()
            .map(|attached| attached.behind(partitions))
            .max()
            .unwrap_or_default()
    }

    /// How many events the slowest attached subscriber has not consumed.
    pub(super) fn level(&self) -> u64 {
        self.slowest().0
    }

    /// The log tells of so many events that were shed.
    pub(super) fn recorded_shed(&self, total: u64) {
        self.shed.fetch_max(total, Ordering::AcqRel);
        self.shed_recorded.fetch_max(total, Ordering::AcqRel);
    }

    /// Wakes all who wait for anything of this topic.
    pub(super) fn wake_all(&self) {
        self.arrived.notify_waiters();
        self.room.notify_waiters();
        for group in self.groups() {
            group.changed.notify_waiters();
        }
    }
}

impl Attached {
    /// How many events it has not consumed, and how many it has.
    fn behind(&self, partitions: &[Partition]) -> (u64, u64) {
        let seats = self.group.as_ref().map(|group| group.seats.lock().clone());
        self.cursors
            .iter()
            .fold((0, 0), |(behind, consumed), (partition, position)| {
                let head = partitions.get(usize::from(*partition)).map_or(0, Partition::head);
                let next = match &seats {
                    Some(seats) => seats.get(partition).map_or(head, |seat| seat.next),
                    None => position.load(Ordering::Acquire),
                };
                (behind + head.saturating_sub(next), consumed + next)
            })
    }
}
