//! SHA-1 of bytes of any length: of messages too long for one block, and over a snapshot.

use kinetic_sha1::{IV, compress};

/// Bytes in a block.
pub(crate) const BLOCK_BYTES: usize = 64;
/// The longest message that one block holds beside its padding, in bytes.
pub(crate) const MESSAGE_BYTES_ONE_BLOCK: usize = 55;

/// A hash under way.
#[derive(Clone, Debug)]
pub(crate) struct Sha1 {
    state: [u32; 5],
    block: [u8; BLOCK_BYTES],
    filled: usize,
    length_bytes: u64,
}

impl Default for Sha1 {
    fn default() -> Self {
        Self {
            state: IV,
            block: [0; BLOCK_BYTES],
            filled: 0,
            length_bytes: 0,
        }
    }
}

impl Sha1 {
    /// Takes these bytes in.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.length_bytes = self.length_bytes.wrapping_add(bytes.len() as u64);
        let mut rest = bytes;
        if self.filled > 0 {
            rest = self.fill(rest);
            if self.filled < BLOCK_BYTES {
                return;
            }
            take(&mut self.state, &self.block);
            self.filled = 0;
        }
        let (blocks, rest) = rest.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            take(&mut self.state, block);
        }
        self.fill(rest);
    }

    /// Copies what fits into the block; what did not is returned.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = self.block.get_mut(self.filled..).unwrap_or_default();
        let (fits, rest) = bytes.split_at(bytes.len().min(room.len()));
        for (to, from) in room.iter_mut().zip(fits) {
            *to = *from;
        }
        self.filled += fits.len();
        rest
    }

    /// The digest, as five big-endian words.
    pub(crate) fn finish(mut self) -> [u32; 5] {
        let length_bits = self.length_bytes.wrapping_mul(8);
        // 0x80, then zeros up to the last eight bytes of a block.
        let zeros = (2 * BLOCK_BYTES - 9 - self.filled) % BLOCK_BYTES;
        let mut padding = [0; BLOCK_BYTES];
        padding[0] = 0x80;
        self.update(padding.get(..=zeros).unwrap_or_default());
        self.update(&length_bits.to_be_bytes());
        self.state
    }

    /// The digest's twenty bytes.
    pub(crate) fn finish_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        let (words, _) = bytes.as_chunks_mut::<4>();
        for (to, word) in words.iter_mut().zip(self.finish()) {
            *to = word.to_be_bytes();
        }
        bytes
    }
}

fn take(state: &mut [u32; 5], block: &[u8; BLOCK_BYTES]) {
    let mut words = [0; 16];
    let (chunks, _) = block.as_chunks::<4>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_be_bytes(*chunk);
    }
    compress(state, &words);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's own examples.
    #[test]
    fn the_standard_examples_come_out() {
        for (message, digest) in [
            ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            ),
        ] {
            let mut hash = Sha1::default();
            hash.update(message.as_bytes());
            assert_eq!(hex::encode(hash.finish_bytes()), digest);
        }
    }

    #[test]
    fn the_parts_of_a_message_do_not_matter() {
        let message: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for length in 0..200 {
            let mut whole = Sha1::default();
            whole.update(&message[..length]);
            let whole = whole.finish_bytes();
            for part in [1, 3, 63, 64, 65] {
                let mut parts = Sha1::default();
                message[..length].chunks(part).for_each(|part| parts.update(part));
                assert_eq!(parts.finish_bytes(), whole, "{length} bytes in parts of {part}");
            }
        }
    }
}
