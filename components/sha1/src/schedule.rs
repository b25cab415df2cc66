//! The words of all 80 rounds of a block that many messages share, made once.

use crate::rounds::scheduled;

/// A block's 80 words, each with its round's constant added and once for each lane, for [`crate::compress4_same`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(pub(crate) [[u32; 4]; 80]);

impl Schedule {
    /// The schedule of a block (16 big-endian words, as numbers).
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "a round is below eighty; constant functions have no iterators"
    )]
    pub const fn of(block: &[u32; 16]) -> Self {
        let mut words = *block;
        let mut keyed = [[0; 4]; 80];
        let mut round = 0;
        while round < 80 {
            keyed[round] = [scheduled!(words, round); 4];
            round += 1;
        }
        Self(keyed)
    }
}
