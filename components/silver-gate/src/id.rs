//! An id: sixteen bytes, and the text that everybody sees.

/// The characters of an id's text.
pub(crate) const TEXT_BYTES: usize = 36;

/// An id, as four big-endian words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Id(pub(crate) [u32; 4]);

impl Id {
    /// The id in a digest's first 16 bytes: RFC 9562's version 5 and its variant in the place of six of the bits.
    pub(crate) fn version_five([first, second, third, fourth]: [u32; 4]) -> Self {
        Self([
            first,
            (second & 0xffff_0fff) | 0x0000_5000,
            (third & 0x3fff_ffff) | 0x8000_0000,
            fourth,
        ])
    }

    /// Writes the text, in lower case with hyphens. Every copy has a fixed size: one of any size would be a call.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    pub(crate) fn write(self, text: &mut [u8; TEXT_BYTES]) {
        let digits = self.digits();
        text[..8].copy_from_slice(&digits[..8]);
        text[8] = b'-';
        text[9..13].copy_from_slice(&digits[8..12]);
        text[13] = b'-';
        text[14..18].copy_from_slice(&digits[12..16]);
        text[18] = b'-';
        text[19..23].copy_from_slice(&digits[16..20]);
        text[23] = b'-';
        text[24..].copy_from_slice(&digits[20..]);
    }

    /// The digits, two for each byte.
    #[cfg(target_arch = "wasm32")]
    #[target_feature(enable = "simd128")]
    fn digits(self) -> [u8; 32] {
        // Compilers turn the plain form into hundreds of instructions, one digit after the other.
        use std::arch::wasm32::{
            i8x16_shuffle, i8x16_swizzle, u8x16, u8x16_shr, u8x16_splat, u32x4, u64x2_extract_lane, v128_and,
        };
        let Self([first, second, third, fourth]) = self;
        let words = u32x4(first, second, third, fourth);
        let bytes = i8x16_shuffle::<3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12>(words, words);
        let table = u8x16(
            b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', b'9', b'a', b'b', b'c', b'd', b'e', b'f',
        );
        let high = i8x16_swizzle(table, u8x16_shr(bytes, 4));
        let low = i8x16_swizzle(table, v128_and(bytes, u8x16_splat(15)));
        let start = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(high, low);
        let end = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(high, low);
        let mut digits = [0; 32];
        let eights = [
            u64x2_extract_lane::<0>(start),
            u64x2_extract_lane::<1>(start),
            u64x2_extract_lane::<0>(end),
            u64x2_extract_lane::<1>(end),
        ];
        for (place, eight) in digits.as_chunks_mut().0.iter_mut().zip(eights) {
            *place = eight.to_le_bytes();
        }
        digits
    }

    /// The digits, two for each byte.
    #[cfg(not(target_arch = "wasm32"))]
    fn digits(self) -> [u8; 32] {
        let digit = |value: u8| value + b'0' + u8::from(value > 9) * (b'a' - b'0' - 10);
        let bytes = self.0.map(u32::to_be_bytes);
        let mut digits = [0; 32];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes.as_flattened()) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        digits
    }
}
