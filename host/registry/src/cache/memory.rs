//! Components in memory, up to a bound: who was not asked for the longest goes first.

use std::collections::BTreeMap;

use kinetic_model::{Digest, Hashed};

/// See the module.
#[derive(Default)]
pub(super) struct Memory {
    bytes_max: u64,
    bytes: u64,
    epoch: Option<Digest>,
    /// Counts questions: the clock of who was asked for when.
    asked: u64,
    held: BTreeMap<Digest, Held>,
}

struct Held {
    component: Hashed,
    asked: u64,
}

impl Memory {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            ..Self::default()
        }
    }

    /// Whether the epoch is another one than before; nothing is held then.
    pub(super) fn enter(&mut self, epoch: Digest) -> bool {
        let is_other = self.epoch != Some(epoch);
        if is_other {
            self.epoch = Some(epoch);
            self.held.clear();
            self.bytes = 0;
        }
        is_other
    }

    pub(super) fn get(&mut self, epoch: &Digest, digest: &Digest) -> Option<Hashed> {
        let held = self.held.get_mut(digest).filter(|_| self.epoch == Some(*epoch))?;
        self.asked += 1;
        held.asked = self.asked;
        Some(held.component.clone())
    }

    pub(super) fn put(&mut self, epoch: &Digest, component: Hashed) {
        let bytes = component.len() as u64;
        if self.epoch != Some(*epoch) || bytes > self.bytes_max {
            return;
        }
        self.remove(&component.digest());
        while self.bytes + bytes > self.bytes_max {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.asked);
            let Some(oldest) = oldest.map(|(digest, _)| *digest) else {
                break;
            };
            self.remove(&oldest);
        }
        self.asked += 1;
        self.bytes += bytes;
        let asked = self.asked;
        self.held.insert(component.digest(), Held { component, asked });
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        if let Some(held) = self.held.remove(digest) {
            self.bytes -= held.component.len() as u64;
        }
    }
}
