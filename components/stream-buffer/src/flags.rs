//! Flags of many rows at once, one byte each.

use arrow_buffer::{BooleanBuffer, Buffer};

/// Rows counted before a byte could overflow.
const COUNTED_MAX: usize = u8::MAX as usize;

/// How many are set.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(crate) fn count(flags: &[bool]) -> usize {
    let count = |flags: &[bool]| {
        flags
            .iter()
            .fold(0_u8, |count, flag| count.wrapping_add(u8::from(*flag)))
    };
    flags.chunks(COUNTED_MAX).map(|flags| usize::from(count(flags))).sum()
}

/// Which of those that are set are of rows with this value.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(crate) fn only(flags: &[bool], values: &[u8], value: u8) -> Vec<bool> {
    let rows = flags.iter().zip(values);
    rows.map(|(flag, of_row)| (*of_row == value) & flag).collect()
}

/// The bits of those that are not set.
pub(crate) fn not_set(flags: &[bool]) -> BooleanBuffer {
    // Of eight bytes the lowest bits come to lie side by side in the highest byte of the product: none meets another.
    let bits = |flags: [u8; 8]| {
        let [.., bits] = u64::from_le_bytes(flags)
            .wrapping_mul(0x0102_0408_1020_4080)
            .to_le_bytes();
        !bits
    };
    let (eights, rest) = flags.as_chunks::<8>();
    let mut last = [0; 8];
    for (last, flag) in last.iter_mut().zip(rest) {
        *last = u8::from(*flag);
    }
    let eights = eights.iter().map(|eight| bits(eight.map(u8::from)));
    let bytes: Vec<u8> = eights.chain([bits(last)]).collect();
    BooleanBuffer::new(Buffer::from_vec(bytes), 0, flags.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn many_flags_count_as_one_by_one(flags in prop::collection::vec((any::<bool>(), 0_u8..3), 0..700)) {
            let (flags, values): (Vec<bool>, Vec<u8>) = flags.into_iter().unzip();
            prop_assert_eq!(count(&flags), flags.iter().filter(|flag| **flag).count());
            let expected: Vec<bool> = flags.iter().map(|flag| !flag).collect();
            prop_assert_eq!(not_set(&flags).iter().collect::<Vec<_>>(), expected);
            let expected: Vec<bool> = flags.iter().zip(&values).map(|(flag, value)| *flag && *value == 1).collect();
            prop_assert_eq!(only(&flags, &values, 1), expected);
        }
    }
}
