//! The compression function: a block into a state, for one message and for four side by side.

#![expect(clippy::many_single_char_names, reason = "the standard's own names")]

use crate::rounds::{rounds, scheduled};
use crate::schedule::Schedule;

/// The rounds of one block over one state. A macro because a function need not be inlined where vectors are enabled.
macro_rules! compressed {
    ($state:expr, $block:expr) => {{
        let mut words: [u32; 16] = $block;
        macro_rules! keyed {
            ($round:expr) => {
                scheduled!(words, $round)
            };
        }
        rounds!($state, keyed)
    }};
}

/// One block (16 big-endian words, as numbers) into one state.
pub fn compress(state: &mut [u32; 5], block: &[u32; 16]) {
    *state = compressed!(*state, *block);
}

/// Four blocks into four states at once: `states[word][lane]`, `blocks[word][lane]`.
///
/// The loop over the lanes is what compilers turn into vector instructions. On wasm32 they need simd128 for that, which
/// this function enables for itself alone; calling it is safe, since a module with vectors either loads or does not.
// Inlined, it would share the registers with what is around it, and there are too few for it alone.
#[inline(never)]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
#[expect(clippy::indexing_slicing, reason = "a lane is below four, and the compiler sees it")]
pub fn compress4(states: &mut [[u32; 4]; 5], blocks: &[[u32; 4]; 16]) {
    let [a, b, c, d, e] = *states;
    for lane in 0..4 {
        let mut block = [0; 16];
        for (word, words) in block.iter_mut().zip(blocks) {
            *word = words[lane];
        }
        let compressed = compressed!([a[lane], b[lane], c[lane], d[lane], e[lane]], block);
        for (words, word) in states.iter_mut().zip(compressed) {
            words[lane] = word;
        }
    }
}

/// One block, the same for all four, into four states: about a third less work than [`compress4`], as nothing of the
/// schedule is left to do. `states[word][lane]`.
#[inline(never)]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
#[expect(clippy::indexing_slicing, reason = "a lane is below four, and the compiler sees it")]
pub fn compress4_same(states: &mut [[u32; 4]; 5], Schedule(keyed): &Schedule) {
    let [a, b, c, d, e] = *states;
    for lane in 0..4 {
        macro_rules! keyed {
            ($round:expr) => {
                keyed[$round][lane]
            };
        }
        let compressed = rounds!([a[lane], b[lane], c[lane], d[lane], e[lane]], keyed);
        for (words, word) in states.iter_mut().zip(compressed) {
            words[lane] = word;
        }
    }
}

/// Four blocks into four states, one after the other and without vector instructions: what [`compress4`] is compared
/// with. `states[word][lane]`, `blocks[word][lane]`.
#[expect(clippy::indexing_slicing, reason = "a lane is below four, and the compiler sees it")]
pub fn compress4_scalar(states: &mut [[u32; 4]; 5], blocks: &[[u32; 4]; 16]) {
    for lane in 0..4 {
        let mut state = states.map(|words| words[lane]);
        compress(&mut state, &blocks.map(|words| words[lane]));
        for (words, word) in states.iter_mut().zip(state) {
            words[lane] = word;
        }
    }
}
