//! Four blocks of bytes as the words that are compressed side by side.

/// The words of four blocks, `[word][lane]`, from their big-endian bytes.
#[cfg(target_arch = "wasm32")]
#[inline(never)]
#[target_feature(enable = "simd128")]
#[must_use]
pub fn words4(blocks: [&[u8; 64]; 4]) -> [[u32; 4]; 16] {
    // Compilers turn the plain form into sixty-four loads and as many reversals of bytes, which wasm has no instruction for.
    use std::arch::wasm32::{i8x16_shuffle, i32x4_shuffle, i64x2_shuffle, u32x4_extract_lane, u64x2, v128};

    #[target_feature(enable = "simd128")]
    fn load([low, high]: [[u8; 8]; 2]) -> v128 {
        u64x2(u64::from_le_bytes(low), u64::from_le_bytes(high))
    }

    #[target_feature(enable = "simd128")]
    fn reversed(value: v128) -> [u32; 4] {
        let value = i8x16_shuffle::<3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12>(value, value);
        [
            u32x4_extract_lane::<0>(value),
            u32x4_extract_lane::<1>(value),
            u32x4_extract_lane::<2>(value),
            u32x4_extract_lane::<3>(value),
        ]
    }

    let [a, b, c, d] = blocks.map(|block| block.as_chunks::<8>().0.as_chunks::<2>().0);
    let mut words = [[0; 4]; 16];
    let quarters = words.as_chunks_mut::<4>().0.iter_mut();
    for ((((words, a), b), c), d) in quarters.zip(a).zip(b).zip(c).zip(d) {
        let (a, b, c, d) = (load(*a), load(*b), load(*c), load(*d));
        let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
        let (ab_high, cd_high) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        *words = [
            reversed(i64x2_shuffle::<0, 2>(ab, cd)),
            reversed(i64x2_shuffle::<1, 3>(ab, cd)),
            reversed(i64x2_shuffle::<0, 2>(ab_high, cd_high)),
            reversed(i64x2_shuffle::<1, 3>(ab_high, cd_high)),
        ];
    }
    words
}

/// The words of four blocks, `[word][lane]`, from their big-endian bytes.
#[cfg(not(target_arch = "wasm32"))]
#[must_use]
pub fn words4(blocks: [&[u8; 64]; 4]) -> [[u32; 4]; 16] {
    let [a, b, c, d] = blocks.map(|block| block.as_chunks::<4>().0);
    let mut words = [[0; 4]; 16];
    for ((((words, a), b), c), d) in words.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *words = [*a, *b, *c, *d].map(u32::from_be_bytes);
    }
    words
}
