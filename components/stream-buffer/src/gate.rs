//! The forget gate: which events are dropped at a level, by their place in the stream and their token alone.
//!
//! An event's value is the big-endian first word of SHA-1(salt + decimal(index) + ':' + token); it is dropped exactly if
//! its value is below level * 2^24. Nothing else enters, so whoever knows the levels decides the same.

mod lanes;
mod rounds;
mod series;
mod vector;

pub(crate) use lanes::{LANES, Lanes, Message};
pub(crate) use series::Series;

use crate::decimal::{DIGITS_MAX, Decimal};
use crate::digest::Sha1;

/// How much is dropped: 0 nothing, 256 everything, and in between so many 256ths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u16);

impl Level {
    /// Nothing is dropped.
    pub const NONE: Self = Self(0);
    /// Everything is dropped.
    pub const ALL: Self = Self(256);

    /// The level of this number, if it is at most 256.
    pub fn new(level: u16) -> Option<Self> {
        (level <= Self::ALL.0).then_some(Self(level))
    }

    /// 0 to 256.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Whether an event of this value is dropped.
    pub fn drops(self, value: u32) -> bool {
        u64::from(value) < self.threshold()
    }

    /// Values below are dropped.
    pub(crate) fn threshold(self) -> u64 {
        u64::from(self.0) << 24
    }
}

/// An event's value. `index` is its absolute sequence number in its stream; `salt` is empty, or the stream's name and '/'.
pub fn value(salt: &[u8], index: u64, token: &[u8]) -> u32 {
    let mut decimal = Decimal::default();
    decimal.set(index);
    let mut digits = [0; DIGITS_MAX];
    // There is room, so it does write.
    let _ = decimal.write(&mut digits);
    let mut hash = Sha1::default();
    hash.update(salt);
    hash.update(digits.get(..decimal.length()).unwrap_or_default());
    hash.update(b":");
    hash.update(token);
    let [first, ..] = hash.finish();
    first
}

/// Which of these tokens are dropped: one flag each. They are numbered from `first_index` on, wrapping after the largest.
pub fn decide<'a>(
    salt: &[u8],
    first_index: u64,
    tokens: impl ExactSizeIterator<Item = &'a [u8]>,
    level: Level,
) -> Vec<bool> {
    let mut dropped = vec![level == Level::ALL; tokens.len()];
    if level == Level::NONE || level == Level::ALL {
        return dropped;
    }
    let mut lanes = Lanes::default();
    let mut index = first_index;
    let mut tokens = tokens;
    for dropped in dropped.chunks_mut(LANES) {
        // What the last ones lack is empty, and hashed for nothing.
        let messages = [(); LANES].map(|()| {
            let token = tokens.next().unwrap_or_default();
            let message = Message { salt, index, token };
            index = index.wrapping_add(1);
            message
        });
        for (dropped, value) in dropped.iter_mut().zip(lanes.values(&messages)) {
            *dropped = level.drops(value);
        }
    }
    dropped
}

#[cfg(test)]
mod tests;
