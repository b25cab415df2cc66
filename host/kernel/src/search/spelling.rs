//! How a word is spelled, as a vector: words that look alike point the same way.
//!
//! A word's pieces of one to three characters, its ends marked, are hashed into the dimensions of a short vector, each with
//! a sign, so that pieces which share a dimension cancel out on average (feature hashing: Weinberger et al., "Feature
//! Hashing for Large Scale Multitask Learning", 2009). The cosine of two vectors then is about the share of common pieces.

/// Numbers of a vector: enough that a word's pieces, about thirty, seldom share one.
const DIMENSIONS: usize = 128;
/// The longest piece, in characters.
const PIECE_CHARS_MAX: usize = 3;
/// Stand for the ends of a word; no word has them.
const ENDS: (char, char) = ('\u{2}', '\u{3}');

/// The spelling of one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    vector: [i8; DIMENSIONS],
    /// The square of the vector's length.
    square: u64,
    /// The word's length, in characters.
    chars: usize,
}

impl Spelling {
    pub(super) fn of(word: &str) -> Self {
        let marked: Vec<char> = std::iter::once(ENDS.0)
            .chain(word.chars())
            .chain(std::iter::once(ENDS.1))
            .collect();
        let mut vector = [0_i8; DIMENSIONS];
        for length in 1..=PIECE_CHARS_MAX {
            for piece in marked.windows(length) {
                let hash = hash(piece);
                let place = usize::try_from(hash >> 1).unwrap_or_default() % DIMENSIONS;
                if let Some(number) = vector.get_mut(place) {
                    *number = number.saturating_add(if hash & 1 == 0 { 1 } else { -1 });
                }
            }
        }
        let square = u64::try_from(dot(&vector, &vector)).unwrap_or_default();
        Self {
            vector,
            square,
            chars: marked.len() - 2,
        }
    }

    /// The word's length, in characters.
    pub(super) fn chars(&self) -> usize {
        self.chars
    }

    /// The cosine of two words' vectors in thousandths, rounded down; 0 when they point apart.
    pub(super) fn similarity_milli(&self, other: &Self) -> u64 {
        let along = u64::try_from(dot(&self.vector, &other.vector)).unwrap_or_default();
        let squares = (self.square * other.square).max(1);
        // At most 128 * 127^2 each, so the product of the squares and a million still fits.
        (along * along).saturating_mul(1_000_000).div_euclid(squares).isqrt()
    }
}

/// A plain loop over a fixed length, which the compiler turns into vector instructions. Wrapping because a check after each
/// addition would keep it from doing so; 128 products of two `i8` cannot wrap.
fn dot(one: &[i8; DIMENSIONS], other: &[i8; DIMENSIONS]) -> i32 {
    one.iter().zip(other).fold(0_i32, |sum, (a, b)| {
        sum.wrapping_add(i32::from(*a).wrapping_mul(i32::from(*b)))
    })
}

/// FNV-1a over the characters, mixed so that all of its bits are good. Part of the order of results: it never changes.
fn hash(piece: &[char]) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    for byte in piece.iter().flat_map(|c| u32::from(*c).to_le_bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x7feb_352d);
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0x846c_a68b);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(one: &str, other: &str) -> u64 {
        Spelling::of(one).similarity_milli(&Spelling::of(other))
    }

    #[test]
    fn a_word_is_like_itself_and_likeness_goes_both_ways() {
        for word in ["redact", "a", "überprüfen", "中文", "x".repeat(64).as_str()] {
            assert_eq!(similarity(word, word), 1_000, "{word}");
        }
        assert_eq!(similarity("redact", "redcat"), similarity("redcat", "redact"));
    }

    #[test]
    fn the_longest_and_most_monotonous_words_do_not_overflow() {
        let long = "a".repeat(64);
        assert!(similarity(&long, &"ab".repeat(32)) < 1_000);
        assert!(similarity(&long, "") <= 1_000);
    }
}
