//! BM25 in integers: the same points on every machine.

/// One bit of rarity.
const BIT: u64 = 1 << FRACTION_BITS;
/// Bits behind the point of a logarithm.
const FRACTION_BITS: u32 = 10;
/// BM25's k1, in thousandths: how soon more of the same word stops counting.
const K1_MILLI: u64 = 1_200;
/// BM25's b, in thousandths: how much a long text counts less.
const B_MILLI: u64 = 750;
/// A word that is there exactly as it was asked for.
pub(super) const SAME_MILLI: u64 = 1_000;

/// How much text of a field there is in all documents together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSize {
    /// Words.
    pub(super) words: u64,
    /// Documents that have the field at all.
    pub(super) documents: u64,
}

/// How much it says that a word is there, in 1/1024 bits: BM25's inverse document frequency, to the base of 2.
///
/// `log2(1 + (documents - having + 1/2) / (having + 1/2))`, never negative.
pub(super) fn rarity(documents: u64, having: u64) -> u64 {
    log2(2 * documents + 2, 2 * having + 1)
}

/// The logarithm of a fraction of at least 1, in 1/1024, rounded down. Squares the mantissa once for each bit.
fn log2(numerator: u64, denominator: u64) -> u64 {
    let ratio = (u128::from(numerator) << 32) / u128::from(denominator.max(1));
    let whole = ratio.max(1).ilog2().saturating_sub(32);
    // Between 1 and 2, with 32 bits behind the point.
    let mut mantissa = ratio >> whole;
    let mut result = u64::from(whole);
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 32;
        result <<= 1;
        if mantissa >> 33 != 0 {
            mantissa >>= 1;
            result |= 1;
        }
    }
    result
}

/// How much it counts that a word stands `count` times in a text of `words` words, in thousandths; at most 2,200.
pub(super) fn frequency(count: u64, words: u64, field: FieldSize) -> u64 {
    // The length of the text as a multiple of the mean is words * documents / all words.
    let longer = K1_MILLI * B_MILLI * words * field.documents / (1_000 * field.words.max(1));
    let damped = count * 1_000 + K1_MILLI * (1_000 - B_MILLI) / 1_000 + longer;
    count * (K1_MILLI + 1_000) * 1_000 / damped
}

/// What a word adds to the score of a document, in thousandths; at least 1, because it is there.
pub(super) fn points(weight: u64, rarity: u64, frequency: u64, similarity_milli: u64) -> u64 {
    (weight * rarity * frequency * similarity_milli / (BIT * 1_000)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_a_calculator_to_a_thousandth() {
        for (numerator, denominator, expected) in [
            (1, 1, 0),
            (2, 1, 1_024),
            (3, 2, 599),
            (10, 1, 3_401),
            (32_770, 3, 13_737),
        ] {
            assert_eq!(log2(numerator, denominator), expected, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn a_rare_word_counts_more_than_a_common_one_and_no_word_counts_less_than_nothing() {
        let rarities: Vec<u64> = (0..=1_000).map(|having| rarity(1_000, having)).collect();
        assert!(rarities.is_sorted_by(|rarer, commoner| rarer >= commoner));
        assert!(rarities.first() > rarities.last());
    }

    #[test]
    fn more_of_a_word_counts_more_a_longer_text_less_and_neither_without_bound() {
        let field = FieldSize {
            words: 100,
            documents: 10,
        };
        assert!(frequency(2, 10, field) > frequency(1, 10, field));
        assert!(frequency(1, 5, field) > frequency(1, 50, field));
        assert!(frequency(256, 256, field) <= 2_200);
        assert_eq!(frequency(1, 10, field), 1_000, "once in a text of mean length");
    }
}
