//! Four words side by side: a vector where there are vectors, elsewhere the same by plain means.

#[cfg(target_arch = "wasm32")]
mod form {
    use std::arch::wasm32::{
        i32x4_add, u32x4, u32x4_extract_lane, u32x4_shl, u32x4_shr, v128, v128_and, v128_or, v128_xor,
    };

    /// Four words.
    pub(crate) type Four = v128;

    /// These four.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(crate) fn four([a, b, c, d]: [u32; 4]) -> Four {
        u32x4(a, b, c, d)
    }

    /// The four of which it is made.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(crate) fn each(words: Four) -> [u32; 4] {
        [
            u32x4_extract_lane::<0>(words),
            u32x4_extract_lane::<1>(words),
            u32x4_extract_lane::<2>(words),
            u32x4_extract_lane::<3>(words),
        ]
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(crate) fn add(left: Four, right: Four) -> Four {
        i32x4_add(left, right)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(crate) fn xor(left: Four, right: Four) -> Four {
        v128_xor(left, right)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(crate) fn and(left: Four, right: Four) -> Four {
        v128_and(left, right)
    }

    #[inline]
    #[target_feature(enable = "simd128")]
    pub(crate) fn rotated<const BITS: u32>(words: Four) -> Four {
        v128_or(u32x4_shl(words, BITS), u32x4_shr(words, u32::BITS - BITS))
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod form {
    /// Four words.
    pub(crate) type Four = [u32; 4];

    /// These four.
    #[inline]
    pub(crate) fn four(words: [u32; 4]) -> Four {
        words
    }

    /// The four of which it is made.
    #[inline]
    pub(crate) fn each(words: Four) -> [u32; 4] {
        words
    }

    #[inline]
    fn word_by_word(left: Four, right: Four, sum: impl Fn(u32, u32) -> u32) -> Four {
        let mut words = left;
        for (word, right) in words.iter_mut().zip(right) {
            *word = sum(*word, right);
        }
        words
    }

    #[inline]
    pub(crate) fn add(left: Four, right: Four) -> Four {
        word_by_word(left, right, u32::wrapping_add)
    }

    #[inline]
    pub(crate) fn xor(left: Four, right: Four) -> Four {
        word_by_word(left, right, |left, right| left ^ right)
    }

    #[inline]
    pub(crate) fn and(left: Four, right: Four) -> Four {
        word_by_word(left, right, |left, right| left & right)
    }

    #[inline]
    pub(crate) fn rotated<const BITS: u32>(words: Four) -> Four {
        words.map(|word| word.rotate_left(BITS))
    }
}

pub(crate) use form::{Four, add, and, each, four, rotated, xor};
