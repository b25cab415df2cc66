//! Batches in memory, the newest of them within a bound in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::batch::LiveBatch;
use super::numbered::Numbered;

/// A batch, and what it and its texts count for.
#[derive(Debug)]
struct Entry {
    batch: Arc<LiveBatch>,
    bytes: u64,
}

/// Batches by offset; those that came first leave when there are too many bytes, but the last one stays.
#[derive(Debug)]
pub(super) struct Held {
    entries: Numbered<Entry>,
    order: VecDeque<u64>,
    bytes: u64,
    bytes_max: u64,
}

impl Held {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            entries: Numbered::default(),
            order: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Takes a batch in, unless one of its offset is here; gives back the one that is.
    pub(super) fn push(&mut self, batch: Arc<LiveBatch>) -> Arc<LiveBatch> {
        if let Some(here) = self.entries.get(&batch.offset) {
            return Arc::clone(&here.batch);
        }
        let entry = Entry {
            batch: Arc::clone(&batch),
            bytes: batch.bytes,
        };
        self.bytes += entry.bytes;
        self.order.push_back(batch.offset);
        self.entries.insert(batch.offset, entry);
        self.shrink();
        batch
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
        self.bytes = 0;
    }

    pub(super) fn get(&self, offset: u64) -> Option<Arc<LiveBatch>> {
        self.entries.get(&offset).map(|entry| Arc::clone(&entry.batch))
    }

    /// Counts text that was made of a batch, if it is still here.
    pub(super) fn grow(&mut self, batch: &Arc<LiveBatch>, bytes: u64) {
        let entry = self.entries.get_mut(&batch.offset);
        let Some(entry) = entry.filter(|entry| Arc::ptr_eq(&entry.batch, batch)) else {
            return;
        };
        entry.bytes += bytes;
        self.bytes += bytes;
        self.shrink();
    }

    #[cfg(test)]
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max && self.order.len() > 1 {
            let oldest = self.order.pop_front().and_then(|offset| self.entries.remove(&offset));
            self.bytes = self.bytes.saturating_sub(oldest.map_or(0, |entry| entry.bytes));
        }
    }
}
