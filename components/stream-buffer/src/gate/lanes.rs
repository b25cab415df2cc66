//! Four events hashed side by side.

use kinetic_sha1::{IV, compress4};

use super::value;
use crate::decimal::Decimal;
use crate::digest::MESSAGE_BYTES_ONE_BLOCK;

/// Room for the longest message, the digits written behind the longest salt, and the zeros written behind the longest
/// token: copies of a fixed size need no call, so each writes more than it has.
const MESSAGE_ROOM_BYTES: usize = 80;
/// The word of a block that holds the message's length.
const LENGTH_WORD: usize = 15;
/// The longest token that fits into a word between ':' and the bit that ends a message.
const END_TOKEN_BYTES_MAX: usize = 6;

/// Events hashed together.
pub(crate) const LANES: usize = 4;

/// What an event's value is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Message<'a> {
    pub(crate) salt: &'a [u8],
    pub(crate) index: u64,
    pub(crate) token: &'a [u8],
}

/// Where one event's message is written.
#[derive(Clone, Copy, Debug)]
struct Lane {
    /// Salt, number, ':', token, the bit that ends a message; zeros up to the room of the longest message.
    bytes: [u8; MESSAGE_ROOM_BYTES],
    /// Without that bit.
    length: usize,
}

impl Lane {
    /// Writes the message; false if it does not fit into one block.
    #[inline]
    fn write(&mut self, decimal: &Decimal, message: &Message<'_>) -> bool {
        let length = message.salt.len() + decimal.length() + 1 + message.token.len();
        if length > MESSAGE_BYTES_ONE_BLOCK {
            return false;
        }
        if length < self.length {
            self.bytes = [0; MESSAGE_ROOM_BYTES];
        }
        self.length = length;
        match decimal.word() {
            Some(digits) if message.salt.is_empty() && message.token.len() <= END_TOKEN_BYTES_MAX => {
                self.write_short(digits, decimal.length(), message.token).is_some()
            }
            _ => self.write_long(decimal, message).is_some(),
        }
    }

    /// A message of two words at most, made without a detour over memory.
    #[inline]
    fn write_short(&mut self, digits: u64, digits_used: usize, token: &[u8]) -> Option<()> {
        let end = end_of_message(token) << 8 | u64::from(b':');
        // One digit at least, so the second shift is never by all bits; with eight, all of the end is behind them.
        let beside = if digits_used < 8 { end << (8 * digits_used) } else { 0 };
        let start = digits | beside;
        let behind = end >> (64 - 8 * digits_used);
        let words = u128::from(start) | u128::from(behind) << 64;
        *self.bytes.first_chunk_mut()? = words.to_le_bytes();
        Some(())
    }

    fn write_long(&mut self, decimal: &Decimal, message: &Message<'_>) -> Option<()> {
        let (start, rest) = self.bytes.split_at_mut_checked(message.salt.len())?;
        start.copy_from_slice(message.salt);
        decimal.write(rest)?;
        let (colon, mut rest) = rest.get_mut(decimal.length()..)?.split_first_mut()?;
        *colon = b':';
        let (chunks, tail) = message.token.as_chunks::<8>();
        for chunk in chunks {
            let (to, behind) = rest.split_first_chunk_mut()?;
            *to = *chunk;
            rest = behind;
        }
        let (to, behind) = rest.split_first_chunk_mut()?;
        *to = end_of_message(tail).to_le_bytes();
        // Digits were written as far as here.
        *behind.first_chunk_mut()? = [0; 16];
        Some(())
    }
}

/// The last bytes of a message, fewer than eight, and the bit that ends every message, as a word whose lowest byte is
/// the first.
#[inline]
fn end_of_message(bytes: &[u8]) -> u64 {
    let (end, bits) = bytes
        .iter()
        .fold((0, 0), |(end, bits), byte| (end | u64::from(*byte) << bits, bits + 8));
    end | 0x80 << bits
}

/// Room for four messages.
#[derive(Debug)]
pub(crate) struct Lanes {
    places: [Lane; LANES],
    /// The last number written: the next is mostly little more.
    decimal: Decimal,
    blocks: [[u32; LANES]; 16],
    /// Words that are not zero in any of the blocks, but for the length.
    words_used: usize,
}

impl Default for Lanes {
    fn default() -> Self {
        let lane = Lane {
            bytes: [0; MESSAGE_ROOM_BYTES],
            length: 0,
        };
        Self {
            places: [lane; LANES],
            decimal: Decimal::default(),
            blocks: [[0; LANES]; 16],
            words_used: 0,
        }
    }
}

impl Lanes {
    /// The values of four events.
    #[inline]
    pub(crate) fn values(&mut self, messages: &[Message<'_>; LANES]) -> [u32; LANES] {
        let mut fits = [true; LANES];
        for ((message, lane), fits) in messages.iter().zip(&mut self.places).zip(&mut fits) {
            self.decimal.set(message.index);
            *fits = lane.write(&self.decimal, message);
        }
        self.fill_blocks();
        let mut states = IV.map(|word| [word; LANES]);
        compress4(&mut states, &self.blocks);
        let [mut values, ..] = states;
        if fits != [true; LANES] {
            for ((message, fits), hashed) in messages.iter().zip(fits).zip(&mut values) {
                if !fits {
                    *hashed = value(message.salt, message.index, message.token);
                }
            }
        }
        values
    }

    /// Lays the four messages side by side. With vectors, the bytes of four words change places at once.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    #[expect(clippy::cast_possible_truncation, reason = "a message has 55 bytes at most")]
    fn fill_blocks(&mut self) {
        let [first, second, third, fourth] = &self.places;
        let lengths = [first.length, second.length, third.length, fourth.length];
        let words_used = lengths.into_iter().max().unwrap_or(0) / 4 + 1;
        let (first, second) = (first.bytes.as_chunks().0, second.bytes.as_chunks().0);
        let (third, fourth) = (third.bytes.as_chunks().0, fourth.bytes.as_chunks().0);
        let words = first.iter().zip(second).zip(third.iter().zip(fourth));
        let words = words.take(words_used.max(self.words_used));
        for (block, ((first, second), (third, fourth))) in self.blocks.iter_mut().zip(words) {
            *block = [*first, *second, *third, *fourth].map(u32::from_be_bytes);
        }
        self.words_used = words_used;
        self.blocks[LENGTH_WORD] = lengths.map(|length| length as u32 * 8);
    }
}
