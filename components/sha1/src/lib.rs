//! SHA-1 of four messages at a time, and of one: the compression function of FIPS 180-4; the blocks are the caller's.
//!
//! For names and draws, as UUIDv5 (RFC 9562) asks for it. SHA-1 signs nothing any more.

mod block;
mod rounds;
mod schedule;
mod words;

pub use block::{compress, compress4, compress4_same, compress4_scalar};
pub use schedule::Schedule;
pub use words::words4;

/// The state before the first block.
pub const IV: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

#[cfg(test)]
mod tests;
