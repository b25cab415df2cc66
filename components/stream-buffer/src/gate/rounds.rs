//! SHA-1's rounds over eight messages at a time, of whose digests only the first word is asked for.
//!
//! They are two vectors of four, one round of the one and one of the other in turn: each round waits for the one before
//! it, and a processor that has two such chains to choose from waits half as long.

use kinetic_sha1::IV;

use super::vector::{Four, add, and, each, four, rotated, xor};

/// Rounds of a block.
pub(crate) const ROUNDS: usize = 80;
/// What is added in rounds 0 to 19, 20 to 39, 40 to 59 and 60 to 79.
const K: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// Takes each bit of `c` where `b` has a one, of `d` elsewhere.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn choose(b: Four, c: Four, d: Four) -> Four {
    xor(d, and(b, xor(c, d)))
}

/// The sum of each bit, without carry.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn parity(b: Four, c: Four, d: Four) -> Four {
    xor(b, xor(c, d))
}

/// What at least two of three say.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn majority(b: Four, c: Four, d: Four) -> Four {
    xor(d, and(xor(b, d), xor(c, d)))
}

/// One round of one vector. What waits for `$a`, the newest, comes last.
///
/// The part before that is written over the round's word, which is not needed again: engines move arithmetic to where
/// its result is next written to memory and leave loads where they are, so that without these they would load the words
/// of all rounds at once, and keep them on the stack.
macro_rules! one {
    ($mix:ident, $word:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        let part = add(add($e, $word), $mix($b, $c, $d));
        $word = part;
        $e = add(part, rotated::<5>($a));
        $b = rotated::<30>($b);
    };
}

/// One round of both.
macro_rules! both {
    ($mix:ident, $words:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        one!($mix, $words[0], $a[0], $b[0], $c[0], $d[0], $e[0]);
        one!($mix, $words[1], $a[1], $b[1], $c[1], $d[1], $e[1]);
    };
}

/// Five rounds: after them each variable has its old part again, so that nothing moves.
macro_rules! five {
    ($mix:ident, $words:expr, $from:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        both!($mix, $words[$from], $a, $b, $c, $d, $e);
        both!($mix, $words[$from + 1], $e, $a, $b, $c, $d);
        both!($mix, $words[$from + 2], $d, $e, $a, $b, $c);
        both!($mix, $words[$from + 3], $c, $d, $e, $a, $b);
        both!($mix, $words[$from + 4], $b, $c, $d, $e, $a);
    };
}

macro_rules! twenty {
    ($mix:ident, $words:expr, $from:expr, $a:ident, $b:ident, $c:ident, $d:ident, $e:ident) => {
        five!($mix, $words, $from, $a, $b, $c, $d, $e);
        five!($mix, $words, $from + 5, $a, $b, $c, $d, $e);
        five!($mix, $words, $from + 10, $a, $b, $c, $d, $e);
        five!($mix, $words, $from + 15, $a, $b, $c, $d, $e);
    };
}

/// The first words of eight digests, from each round's word with its constant added; those are used up.
#[inline(never)]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
#[expect(clippy::many_single_char_names, reason = "the standard's own names")]
pub(crate) fn first_words(words: &mut [[Four; 2]; ROUNDS]) -> [[u32; 4]; 2] {
    let [mut a, mut b, mut c, mut d, mut e] = IV.map(|word| [four([word; 4]); 2]);
    twenty!(choose, words, 0, a, b, c, d, e);
    twenty!(parity, words, 20, a, b, c, d, e);
    twenty!(majority, words, 40, a, b, c, d, e);
    twenty!(parity, words, 60, a, b, c, d, e);
    let ([first, ..], [state, ..]) = (IV, [a, b, c, d, e]);
    let first = four([first; 4]);
    [each(add(first, state[0])), each(add(first, state[1]))]
}

/// The words of all rounds, without constants, from those of four blocks.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
#[expect(
    clippy::indexing_slicing,
    reason = "a round is below eighty, and the compiler sees it"
)]
pub(crate) fn schedule(blocks: &[[u32; 4]; 16], words: &mut [Four; ROUNDS]) {
    for (word, given) in words.iter_mut().zip(blocks) {
        *word = four(*given);
    }
    // In eights, so that the inner loop becomes one piece: what counts the instructions is asked once for each.
    for eight in (16..ROUNDS).step_by(8) {
        for round in eight..eight + 8 {
            let before = xor(
                xor(words[round - 3], words[round - 8]),
                xor(words[round - 14], words[round - 16]),
            );
            words[round] = rotated::<1>(before);
        }
    }
}

/// Does something for each of twenty rounds from `$from` on. A loop over all eighty would stay a loop, and reckon the
/// address of each word anew; this becomes one piece, in which an address is an argument and a constant.
macro_rules! each_of_twenty {
    ($from:literal, |$round:ident| $set:expr) => {
        for $round in $from..$from + 20 {
            $set;
        }
    };
}

/// Sets each word to the sum of two without carry.
#[inline(never)]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
#[expect(
    clippy::indexing_slicing,
    reason = "a round is below eighty, and the compiler sees it"
)]
pub(crate) fn sums(to: &mut [Four; ROUNDS], left: &[Four; ROUNDS], right: &[Four; ROUNDS]) {
    each_of_twenty!(0, |round| to[round] = xor(left[round], right[round]));
    each_of_twenty!(20, |round| to[round] = xor(left[round], right[round]));
    each_of_twenty!(40, |round| to[round] = xor(left[round], right[round]));
    each_of_twenty!(60, |round| to[round] = xor(left[round], right[round]));
}

/// Sets each round's word of one side to the sum of two without carry, with the round's constant added.
#[inline(never)]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
#[expect(
    clippy::indexing_slicing,
    reason = "a round is below eighty, and the compiler sees it"
)]
pub(crate) fn keyed<const SIDE: usize>(to: &mut [[Four; 2]; ROUNDS], left: &[Four; ROUNDS], right: &[Four; ROUNDS]) {
    let [k0, k20, k40, k60] = K.map(|k| four([k; 4]));
    each_of_twenty!(0, |round| to[round][SIDE] = add(xor(left[round], right[round]), k0));
    each_of_twenty!(20, |round| to[round][SIDE] = add(xor(left[round], right[round]), k20));
    each_of_twenty!(40, |round| to[round][SIDE] = add(xor(left[round], right[round]), k40));
    each_of_twenty!(60, |round| to[round][SIDE] = add(xor(left[round], right[round]), k60));
}
