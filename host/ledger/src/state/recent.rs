//! What was written lately, for validating transactions, and which snapshots are open.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::key::{Key, Write};
use super::read::put_placed_key;
use crate::LedgerError;

/// So many writes are remembered for open transactions, at most.
const TOUCHED_MAX: usize = 1 << 18;
/// And so many bytes of their keys.
const TOUCHED_BYTES_MAX: usize = 64 << 20;
/// So many are looked at before others get the lock.
const LOOKED_AT_ONCE: usize = 4096;

/// A key with its branch in front, as in the index.
pub(super) type PlacedKey = Vec<u8>;

/// What a transaction read, validated when its commit gets its place in the log. The empty one validates nothing.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    pub(super) pin: Option<Arc<Pin>>,
    pub(super) keys: BTreeSet<PlacedKey>,
    /// Not empty, disjoint, in order; the ends are not part of them.
    pub(super) ranges: Vec<(PlacedKey, PlacedKey)>,
    /// All records below this number were looked at already.
    pub(super) validated: u64,
}

impl Reads {
    /// Adds a range, joining those that overlap or touch.
    pub(super) fn add_range(&mut self, mut from: PlacedKey, mut end: PlacedKey) {
        if from >= end {
            return;
        }
        let first = self.ranges.partition_point(|(_, known_end)| *known_end < from);
        let behind = self.ranges.partition_point(|(known_from, _)| *known_from <= end);
        for (known_from, known_end) in self.ranges.drain(first..behind) {
            from = from.min(known_from);
            end = end.max(known_end);
        }
        self.ranges.insert(first, (from, end));
    }

    fn covers(&self, key: &[u8]) -> bool {
        let behind = self.ranges.partition_point(|(from, _)| from.as_slice() <= key);
        let candidate = behind.checked_sub(1).and_then(|at| self.ranges.get(at));
        candidate.is_some_and(|(_, end)| key < end.as_slice())
    }
}

/// An open snapshot: while it lives, what it shows is kept.
#[derive(Debug)]
pub(super) struct Pin {
    pub(super) snapshot: u64,
    recent: Arc<Recent>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut inner = self.recent.inner.lock();
        if let Some(count) = inner.snapshots.get_mut(&self.snapshot) {
            *count -= 1;
            if *count == 0 {
                inner.snapshots.remove(&self.snapshot);
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Recent {
    inner: Mutex<Inner>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Inner {
    /// The writes of all records from this one on are here.
    floor: u64,
    /// All records below this number can be read.
    visible: u64,
    /// In order of the log.
    touched: VecDeque<Touched>,
    touched_bytes: usize,
    /// By the hash of the key: the last record that wrote it. Two keys of one hash make a transaction begin again
    /// for nothing, which is rarer than anything else that makes it do so.
    last: HashMap<u64, u64, BuildHasherDefault<Hashed>>,
    /// Open snapshots, counted.
    snapshots: BTreeMap<u64, usize>,
}

#[derive(Debug)]
struct Touched {
    seq: u64,
    hash: u64,
    key: Bytes,
}

/// The keys that a commit writes, as the index begins them. Made before the log's lock is taken.
#[derive(Debug, Default)]
pub(crate) struct PlacedKeys(Vec<(Bytes, u64)>);

impl PlacedKeys {
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|(key, _)| &**key)
    }
}

/// Hashes what is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Recent {
    /// All records below this number can be read.
    pub(super) fn advance(&self, visible: u64) {
        let mut inner = self.inner.lock();
        inner.visible = inner.visible.max(visible);
        let needed = inner.needed();
        inner.forget_below(needed);
    }

    pub(super) fn visible(&self) -> u64 {
        self.inner.lock().visible
    }

    /// Below this number no record's own state is needed by an open snapshot or by one that opens now.
    pub(super) fn needed(&self) -> u64 {
        self.inner.lock().needed()
    }

    /// Opens a snapshot at what `visible` says, which is asked under the lock so that nothing is forgotten in between.
    pub(super) fn pin(self: &Arc<Self>, visible: impl FnOnce() -> u64) -> Arc<Pin> {
        let mut inner = self.inner.lock();
        let snapshot = visible().max(inner.visible);
        *inner.snapshots.entry(snapshot).or_default() += 1;
        Arc::new(Pin {
            snapshot,
            recent: Arc::clone(self),
        })
    }

    pub(super) fn place(&self, writes: &[Write]) -> PlacedKeys {
        if writes.is_empty() {
            return PlacedKeys::default();
        }
        let mut bytes = Vec::with_capacity(writes.iter().map(|write| 4 + write.key.ordered_bytes()).sum());
        let mut ends = Vec::with_capacity(writes.len());
        for write in writes {
            put_placed_key(&mut bytes, write.branch, &write.key);
            ends.push(bytes.len());
        }
        let mut bytes = Bytes::from(bytes);
        let mut taken = 0;
        let placed = ends.into_iter().map(|end| {
            let key = bytes.split_to(end - taken);
            taken = end;
            let hash = self.hasher.hash_one(&*key);
            (key, hash)
        });
        PlacedKeys(placed.collect())
    }

    /// Remembers that a record wrote these keys. In order of the log.
    pub(super) fn touch(&self, seq: u64, keys: &PlacedKeys) {
        if keys.0.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        for (key, hash) in &keys.0 {
            inner.last.insert(*hash, seq);
            inner.touched_bytes += key.len();
            inner.touched.push_back(Touched {
                seq,
                hash: *hash,
                key: key.clone(),
            });
        }
        while inner.touched.len() > TOUCHED_MAX || inner.touched_bytes > TOUCHED_BYTES_MAX {
            let Some(oldest) = inner.touched.front().map(|touched| touched.seq) else {
                break;
            };
            inner.forget_below(oldest + 1);
        }
    }

    /// Fails when a record from the snapshot on wrote something that was read. Looks at all that are staged, a part at
    /// a time, and leaves a note of how far, so that a later call looks at the newer ones only.
    pub(super) fn validate(&self, reads: &mut Reads) -> Result<(), LedgerError> {
        let mut validated = reads.validated;
        loop {
            let more = self.validate_from(reads, &mut validated, LOOKED_AT_ONCE);
            reads.validated = validated;
            if !more? {
                return Ok(());
            }
        }
    }

    /// As `validate`, at once, for when the sequencer is held.
    pub(super) fn validate_rest(&self, reads: &Reads) -> Result<(), LedgerError> {
        let mut validated = reads.validated;
        self.validate_from(reads, &mut validated, usize::MAX).map(drop)
    }

    fn validate_from(&self, reads: &Reads, validated: &mut u64, records: usize) -> Result<bool, LedgerError> {
        let Some(pin) = &reads.pin else {
            return Ok(false);
        };
        let inner = self.inner.lock();
        let from = (*validated).max(pin.snapshot);
        if from < inner.floor && !(reads.keys.is_empty() && reads.ranges.is_empty()) {
            return Err(LedgerError::TransactionTooOld {
                snapshot: pin.snapshot,
                oldest: inner.floor,
            });
        }
        for key in &reads.keys {
            let last = inner.last.get(&self.hasher.hash_one(key.as_slice()));
            if let Some(seq) = last.filter(|seq| **seq >= pin.snapshot) {
                return Err(conflict(key, *seq));
            }
        }
        if reads.ranges.is_empty() {
            return Ok(false);
        }
        let start = inner.touched.partition_point(|touched| touched.seq < from);
        for (looked_at, touched) in inner.touched.range(start..).enumerate() {
            if looked_at >= records && touched.seq > *validated {
                *validated = touched.seq;
                return Ok(true);
            }
            if reads.covers(&touched.key) {
                return Err(conflict(&touched.key, touched.seq));
            }
        }
        if let Some(newest) = inner.touched.back() {
            *validated = (*validated).max(newest.seq + 1);
        }
        Ok(false)
    }
}

impl Inner {
    fn needed(&self) -> u64 {
        let oldest = self.snapshots.first_key_value().map(|(snapshot, _)| *snapshot);
        oldest.unwrap_or(self.visible).min(self.visible)
    }

    fn forget_below(&mut self, seq: u64) {
        while let Some(touched) = self.touched.pop_front_if(|touched| touched.seq < seq) {
            self.touched_bytes -= touched.key.len();
            if self.last.get(&touched.hash) == Some(&touched.seq) {
                self.last.remove(&touched.hash);
            }
        }
        if self.touched.is_empty() && self.last.capacity() > LOOKED_AT_ONCE {
            self.last.shrink_to(LOOKED_AT_ONCE);
            self.touched.shrink_to(LOOKED_AT_ONCE);
        }
        self.floor = self.floor.max(seq);
    }
}

fn conflict(placed: &[u8], seq: u64) -> LedgerError {
    let key = placed.get(4..).map(Key::from_ordered);
    LedgerError::Conflict {
        key: match key {
            Some(Ok(key)) => key.to_string(),
            _ => placed.escape_ascii().to_string(),
        },
        seq,
    }
}
