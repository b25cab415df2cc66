//! Groups of consumers: how far each has come in each partition, and which subscription may go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::LedgerError;
use crate::wire::{Wire, malformed, put_u64};

/// The longest name of a group, in bytes.
pub const GROUP_NAME_BYTES_MAX: usize = 200;
/// The most groups of one topic.
pub const GROUPS_MAX: usize = 1_000;

/// A group's place in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    /// The subscription that may go on; those with a smaller one are fenced.
    pub(super) epoch: u64,
    /// The next offset to consume: everything below is done.
    pub(super) next: u64,
    /// How often the event at an offset was delivered first after the position.
    pub(super) attempts: Option<(u64, u32)>,
    /// The offset after the last one delivered since the host started. Not in the log.
    pub(super) delivered: u64,
}

impl Seat {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.epoch);
        put_u64(out, self.next);
        // The first delivery is not in the log either, and what is kept is to be what the log says.
        if let Some((offset, count)) = self.attempts.filter(|(_, count)| *count > 1) {
            put_u64(out, offset);
            put_u64(out, u64::from(count));
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(bytes);
        let mut seat = Self {
            epoch: wire.u64()?,
            next: wire.u64()?,
            ..Self::default()
        };
        if !wire.is_empty() {
            seat.attempts = Some((wire.u64()?, wire.u32()?));
        }
        wire.end()?;
        Ok(seat)
    }

    /// Goes on to an offset.
    pub(super) fn advance(&mut self, next: u64) {
        self.next = self.next.max(next);
        self.attempts = self.attempts.filter(|(offset, _)| *offset >= self.next);
    }

    /// The how-manieth delivery one of the event at the position would be.
    pub(super) fn next_attempt(&self) -> u32 {
        match self.attempts {
            Some((offset, count)) if offset == self.next => count.saturating_add(1),
            // It was delivered behind another event before, but counts are kept for the first one only.
            _ => 1 + u32::from(self.delivered > self.next),
        }
    }
}

/// A group of consumers of one topic.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<str>,
    pub(super) seats: Mutex<BTreeMap<u16, Seat>>,
    /// Positions or epochs changed.
    pub(super) changed: Notify,
}

impl Group {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            seats: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Changes its place in a partition.
    pub(super) fn with_seat<R>(&self, partition: u16, change: impl FnOnce(&mut Seat) -> R) -> R {
        let changed = change(self.seats.lock().entry(partition).or_default());
        self.changed.notify_waiters();
        changed
    }

    pub(super) fn seat(&self, partition: u16) -> Option<Seat> {
        self.seats.lock().get(&partition).copied()
    }
}

/// Whether a text can be the name of a group: URNs can.
pub(super) fn check_name(topic: &str, group: &str) -> Result<(), LedgerError> {
    if (1..=GROUP_NAME_BYTES_MAX).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(LedgerError::InvalidSubscription {
        topic: topic.into(),
        why: "the name of its group is not 1 to 200 ASCII characters without spaces".into(),
    })
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, LedgerError> {
    std::str::from_utf8(bytes).map_err(|_| malformed("the name of a group is not UTF-8"))
}
