//! Maps by numbers that the host counts up: nobody outside chooses them, so they need no hash that withstands an enemy.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values by number.
pub(super) type Numbered<T> = HashMap<u64, T, BuildHasherDefault<Spread>>;

/// Spreads neighbouring numbers over all bits: by an odd factor no two meet, in the lowest bits neither.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
