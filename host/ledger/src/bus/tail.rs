//! The newest events of the log's topics in memory, so that consumers that keep up never touch the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::event::Event;

/// How much the tails of all partitions hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailLimits {
    pub(crate) events: usize,
    pub(crate) bytes: u64,
}

impl Default for TailLimits {
    fn default() -> Self {
        Self {
            events: 1 << 17,
            bytes: 64 << 20,
        }
    }
}

/// One partition of a topic in the log.
#[derive(Debug, Default)]
pub(super) struct Partition {
    /// The offset that the next event gets, visible or not.
    head: AtomicU64,
    /// The first offset that retention has left.
    first: AtomicU64,
    /// The newest events, each with its record, without gaps up to the head.
    tail: Mutex<VecDeque<(u64, Arc<Event>)>>,
}

impl Partition {
    pub(super) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    pub(super) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    pub(super) fn set_head(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }

    pub(super) fn set_first(&self, first: u64) {
        self.first.fetch_max(first, Ordering::AcqRel);
    }

    fn push(&self, seq: u64, event: Arc<Event>) {
        let next = event.offset + 1;
        self.tail.lock().push_back((seq, event));
        self.set_head(next);
    }

    fn shorten(&self) {
        self.tail.lock().pop_front();
    }

    /// Takes events from an offset on, out of records below `visible`, for as long as `take` wants them. Tells where
    /// the next one is to be found.
    pub(super) fn take(&self, offset: u64, visible: u64, mut take: impl FnMut(&Arc<Event>) -> bool) -> Next {
        let tail = self.tail.lock();
        let Some((_, front)) = tail.front() else {
            return if offset < self.head() { Next::Log } else { Next::NotYet };
        };
        let Some(skip) = offset.checked_sub(front.offset) else {
            return Next::Log;
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        for (seq, event) in tail.iter().skip(skip) {
            if *seq >= visible {
                return Next::NotYet;
            }
            if !take(event) {
                return Next::Tail;
            }
        }
        Next::NotYet
    }
}

/// Where the next event of a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Here.
    Tail,
    /// In the log, if it is visible already.
    Log,
    /// Not published, or not visible.
    NotYet,
}

/// What all tails hold, oldest first, so that the oldest goes when there is too much.
#[derive(Debug, Default)]
pub(super) struct Tails {
    limits: TailLimits,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    oldest: VecDeque<(Arc<[Partition]>, u16, u64)>,
    bytes: u64,
}

impl Tails {
    pub(super) fn new(limits: TailLimits) -> Self {
        Self {
            limits,
            held: Mutex::default(),
        }
    }

    /// Adds an event of a record to its partition.
    pub(super) fn push(&self, partitions: &Arc<[Partition]>, seq: u64, event: Arc<Event>) {
        let (partition, weight) = (event.partition, event.weight());
        let Some(place) = partitions.get(usize::from(partition)) else {
            return;
        };
        let mut held = self.held.lock();
        place.push(seq, event);
        held.oldest.push_back((Arc::clone(partitions), partition, weight));
        held.bytes += weight;
        while held.oldest.len() > self.limits.events || held.bytes > self.limits.bytes {
            let Some((partitions, partition, weight)) = held.oldest.pop_front() else {
                break;
            };
            held.bytes -= weight;
            if let Some(partition) = partitions.get(usize::from(partition)) {
                partition.shorten();
            }
        }
    }

    /// How many events are held, and how many bytes they take, roughly.
    pub(super) fn held(&self) -> (usize, u64) {
        let held = self.held.lock();
        (held.oldest.len(), held.bytes)
    }
}
