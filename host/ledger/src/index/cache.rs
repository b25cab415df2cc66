//! The newest version in the store of keys asked for lately, and of those written while there is room. Finding one in the store takes ten times as long.

use std::collections::hash_map::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache as Lru, DefaultLifecycle};

/// Values above this are not worth the room.
const VALUE_BYTES_MAX: usize = 4096;
const SHARDS: usize = 64;
/// What an entry costs beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 144;

/// The newest version of a key in the store: its record and its value. None when the store has no version.
pub(super) type Newest = Option<(u64, Arc<[u8]>)>;

/// A part of the cache, with a lock of its own.
type Shard = Lru<Box<[u8]>, Newest, Weight, RandomState>;

pub(super) struct Cache {
    /// Which content of the store it is about. See [`Self::begin_turn`].
    turn: AtomicU64,
    shards: Vec<Mutex<Shard>>,
}

#[derive(Clone, Copy)]
struct Weight;

impl Weighter<Box<[u8]>, Newest> for Weight {
    fn weight(&self, key: &Box<[u8]>, newest: &Newest) -> u64 {
        let value_bytes = newest.as_ref().map_or(0, |(_, value)| value.len());
        (key.len() + value_bytes + ENTRY_OVERHEAD_BYTES) as u64
    }
}

impl Cache {
    /// A cache that takes about so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        let hasher = RandomState::new();
        let shard_bytes = bytes_max / SHARDS;
        let shard = || {
            let entries = shard_bytes / ENTRY_OVERHEAD_BYTES;
            Mutex::new(Shard::with(
                entries,
                shard_bytes as u64,
                Weight,
                hasher.clone(),
                DefaultLifecycle::default(),
            ))
        };
        Self {
            turn: AtomicU64::new(0),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
        }
    }

    fn shard(&self, key: &[u8]) -> Option<&Mutex<Shard>> {
        // Only spreads the locks: who finds keys that collide makes his own part of the cache small.
        self.shards.get(crc32c::crc32c(key) as usize % SHARDS)
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Newest> {
        self.shard(key)?.lock().get(key).cloned()
    }

    /// Keeps what was read from the store. `turn` is what [`Self::turn`] was when the layers were looked at, before the
    /// store was read: if it moved on, what was read may be old.
    pub(super) fn keep(&self, turn: u64, key: &[u8], newest: Newest) {
        if newest.as_ref().is_some_and(|(_, value)| value.len() > VALUE_BYTES_MAX) {
            return;
        }
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        if self.turn.load(Ordering::SeqCst) == turn {
            shard.insert(key.into(), newest);
        }
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::SeqCst)
    }

    /// The store has taken a generation, which still lies in memory over it. From here on nothing is kept that was
    /// read before; then each key of the generation is brought up to date with [`Self::update`]; only then may the
    /// generation go.
    pub(super) fn begin_turn(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
    }

    /// Replaces what is known of a key; `None` forgets it. What is not known is kept while there is room, and does not
    /// push out what somebody asked for: most of what is written is not read soon.
    pub(super) fn update(&self, key: &[u8], newest: Option<(u64, &[u8])>) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        let Some((seq, value)) = newest.filter(|(_, value)| value.len() <= VALUE_BYTES_MAX) else {
            shard.remove(key);
            return;
        };
        if let Some(mut known) = shard.peek_mut(key) {
            replace(&mut known, seq, value);
            return;
        }
        let bytes = (key.len() + value.len() + ENTRY_OVERHEAD_BYTES) as u64;
        if shard.weight() + bytes <= shard.capacity() {
            shard.insert(key.into(), Some((seq, value.into())));
        }
    }
}

fn replace(known: &mut Newest, seq: u64, value: &[u8]) {
    if let Some((known_seq, known_value)) = known
        && known_value.len() == value.len()
        && let Some(room) = Arc::get_mut(known_value)
    {
        *known_seq = seq;
        room.copy_from_slice(value);
    } else {
        *known = Some((seq, value.into()));
    }
}
