//! Names: the canonical JSON array of a row's keys, written where SHA-1 wants it.

use crate::scheme::NAMESPACE_BYTES;
use crate::token::Tokens;

/// The longest name of an id, in bytes. A row with a longer one is rejected.
pub const ID_NAME_BYTES_MAX: usize = 1 << 20;
/// The bytes of a block of SHA-1.
pub(crate) const BLOCK_BYTES: usize = 64;
/// The bytes of the length at a message's end.
pub(crate) const LENGTH_BYTES: usize = size_of::<u64>();
/// The most blocks of a message that is hashed beside three others. Longer ones go alone.
pub(crate) const LANE_BLOCKS_MAX: usize = 8;
/// How much is copied at once, in bytes: a copy of a fixed size is two instructions, one of any size is a call. What a step
/// writes too much is overwritten by what follows.
const STEP_BYTES: usize = 32;
/// Punctuation and the first step of the token behind it.
const START_BYTES: usize = size_of::<[u8; 4]>() + STEP_BYTES;
/// A lane's blocks, and room for what is written too much.
const LANE_BYTES: usize = LANE_BLOCKS_MAX * BLOCK_BYTES + START_BYTES;

/// The names of a batch's rows.
pub(crate) struct Names<'a> {
    parts: Vec<Part<'a>>,
    /// What stands behind the last token.
    end: Punctuation,
}

/// A token and what stands before it.
#[derive(Clone, Copy)]
struct Part<'a> {
    before: Punctuation,
    offsets: &'a [i32],
    bytes: &'a [u8],
}

/// Up to three bytes between tokens, followed by zeros.
#[derive(Clone, Copy)]
struct Punctuation {
    bytes: [u8; 4],
    length: usize,
}

impl Punctuation {
    fn of(text: &[&str]) -> Self {
        let mut bytes = [0; 4];
        let text = text.concat();
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self {
            bytes,
            length: text.len(),
        }
    }
}

impl<'a> Names<'a> {
    /// The names made of these keys, in this order.
    pub(crate) fn of(keys: &[&'a Tokens<'a>]) -> Self {
        let quote = |tokens: Option<&&Tokens<'_>>| {
            if tokens.is_some_and(|tokens| tokens.quoted) {
                "\""
            } else {
                ""
            }
        };
        let mut parts = Vec::with_capacity(keys.len());
        let mut last = None;
        for tokens in keys {
            let open = if last.is_some() { "," } else { "[" };
            parts.push(Part {
                before: Punctuation::of(&[quote(last), open, quote(Some(tokens))]),
                offsets: &tokens.offsets,
                bytes: &tokens.bytes,
            });
            last = Some(tokens);
        }
        Self {
            parts,
            end: Punctuation::of(&[quote(last), "]"]),
        }
    }

    /// A row's name; none if it is too long.
    pub(crate) fn whole(&self, row: usize) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        for part in &self.parts {
            name.extend(part.before.bytes.iter().take(part.before.length));
            if let Some([start, end]) = part.offsets.get(row..row + 2) {
                name.extend(part.bytes.get(place(*start)..place(*end)).unwrap_or_default());
            }
            if name.len() > ID_NAME_BYTES_MAX {
                return None;
            }
        }
        name.extend(self.end.bytes.iter().take(self.end.length));
        (name.len() <= ID_NAME_BYTES_MAX).then_some(name)
    }

    /// Writes four rows' messages as far as their ends: behind the namespace, which is there already, the names. How long
    /// each is, in bytes; one that is longer than a lane is not there whole.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    pub(crate) fn write(&self, row: usize, lanes: &mut [Lane; 4]) -> [usize; 4] {
        let [a, b, c, d] = lanes;
        let mut ends = [NAMESPACE_BYTES.len(); 4];
        // A copy of a part stays in registers; the part itself would be read again after each write.
        for part in self.parts.iter().copied() {
            // A batch has one offset more than rows.
            let Some(offsets) = part.offsets.get(row..).and_then(|offsets| offsets.first_chunk()) else {
                continue;
            };
            let [from, to_b, to_c, to_d, to] = offsets.map(place);
            let [end_a, end_b, end_c, end_d] = ends;
            ends = [
                a.part(end_a, part, from, to_b),
                b.part(end_b, part, to_b, to_c),
                c.part(end_c, part, to_c, to_d),
                d.part(end_d, part, to_d, to),
            ];
        }
        let [end_a, end_b, end_c, end_d] = ends;
        [
            a.end(end_a, self.end),
            b.end(end_b, self.end),
            c.end(end_c, self.end),
            d.end(end_d, self.end),
        ]
    }
}

/// An offset as a place; those of a valid array are never below zero.
fn place(offset: i32) -> usize {
    offset.cast_unsigned() as usize
}

/// A message in blocks, padded.
#[derive(Clone)]
pub(crate) struct Lane([u8; LANE_BYTES]);

impl Lane {
    /// A lane that begins with the namespace, as all messages do.
    pub(crate) const fn new() -> Self {
        let mut bytes = [0; LANE_BYTES];
        if let Some(start) = bytes.first_chunk_mut() {
            *start = NAMESPACE_BYTES;
        }
        Self(bytes)
    }

    /// Its first block.
    pub(crate) fn first_block(&self) -> &[u8; BLOCK_BYTES] {
        // A lane is longer than a block, which the compiler sees.
        self.0.first_chunk().unwrap_or(&[0; BLOCK_BYTES])
    }

    /// Its blocks.
    pub(crate) fn blocks(&self) -> &[[u8; BLOCK_BYTES]] {
        self.0.as_chunks().0
    }

    fn at<const BYTES: usize>(&mut self, place: usize) -> Option<&mut [u8; BYTES]> {
        self.0.get_mut(place..)?.first_chunk_mut()
    }

    /// Writes a row's token and what stands before it at `end`; the new end. Past the lane nothing is written.
    #[inline]
    fn part(&mut self, end: usize, part: Part<'_>, from: usize, to: usize) -> usize {
        let length = to.wrapping_sub(from);
        let skip = part.before.length & 3;
        if let Some(start) = self.at::<START_BYTES>(end) {
            if let Some(before) = start.first_chunk_mut() {
                *before = part.before.bytes;
            }
            let token = start
                .get_mut(skip..)
                .and_then(|start| start.first_chunk_mut::<STEP_BYTES>());
            let bytes = part.bytes.get(from..).and_then(|bytes| bytes.first_chunk());
            match (token, bytes) {
                (Some(token), Some(bytes)) if length <= STEP_BYTES => *token = *bytes,
                // A longer one, or one at the very end of the column's bytes.
                _ => self.long(end + skip, part.bytes, from, length),
            }
        }
        // Sixteen tokens of two gigabytes would begin again at zero.
        end + skip + length.min(ID_NAME_BYTES_MAX + 1)
    }

    #[inline(never)]
    fn long(&mut self, end: usize, bytes: &[u8], from: usize, length: usize) {
        let mut done = 0;
        while done < length {
            let rest = bytes.get(from + done..).unwrap_or_default();
            if let (Some(to), Some(step)) = (self.at::<STEP_BYTES>(end + done), rest.first_chunk()) {
                *to = *step;
            } else if let Some(rest) = rest.get(..length - done) {
                if let Some(to) = self.0.get_mut(end + done..end + length) {
                    to.copy_from_slice(rest);
                }
                return;
            }
            done += STEP_BYTES;
        }
    }

    /// Writes what stands behind the last token; the message's bytes.
    #[inline]
    fn end(&mut self, end: usize, after: Punctuation) -> usize {
        if let Some(to) = self.at(end) {
            *to = after.bytes;
        }
        end + after.length
    }

    /// Ends a message whose padding but for the first eight bytes lies in a block that need not be written.
    #[inline]
    pub(crate) fn pad_first_block(&mut self, message_bytes: usize) {
        if let Some(to) = self.at(message_bytes) {
            *to = [0x80, 0, 0, 0, 0, 0, 0, 0];
        }
    }

    /// Ends a message: a one bit, zeros, and the length in bits. One that is too long for a lane stays as it is.
    pub(crate) fn pad(&mut self, message_bytes: usize) {
        let padded = blocks_of(message_bytes) * BLOCK_BYTES;
        if padded > LANE_BLOCKS_MAX * BLOCK_BYTES {
            return;
        }
        let mut zeros = message_bytes;
        while zeros < padded {
            if let Some(to) = self.at(zeros) {
                *to = [0; STEP_BYTES];
            }
            zeros += STEP_BYTES;
        }
        if let Some([one]) = self.at(message_bytes) {
            *one = 0x80;
        }
        if let Some(to) = self.at(padded - LENGTH_BYTES) {
            *to = (message_bytes as u64 * 8).to_be_bytes();
        }
    }
}

/// How many blocks a message takes, with its padding.
pub(crate) fn blocks_of(message_bytes: usize) -> usize {
    (message_bytes + LENGTH_BYTES) / BLOCK_BYTES + 1
}
