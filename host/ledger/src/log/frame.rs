//! One record on disk: a header of 64 bytes and the body. And the hashes that tie it to all records before it.
//!
//! | bytes | what | covered by |
//! |---|---|---|
//! | 0..4 | CRC-32C over all that follows | |
//! | 4..8 | length of the body | CRC |
//! | 8..16 | sequence number | CRC, leaf |
//! | 16..24 | wall time, nanoseconds since 1970: an annotation | CRC |
//! | 24..32 | every record below this number was on disk when this one was written | CRC |
//! | 32..64 | chain hash up to and with this record | CRC, and it is the hash |
//! | 64.. | body | CRC, leaf |
//!
//! Numbers are little-endian. Leaf data (RFC 6962) are the sequence number (big-endian) and the SHA-256 of the body's
//! receipt, call and parts; the chain hash is SHA-256 of a two byte, the chain hash before, and the leaf's hash.

use kinetic_model::Digest;
use sha2::Digest as _;

use crate::commit::Sections;
use crate::merkle::{Hash, leaf_hash};
use crate::{LedgerError, RECORD_BYTES_MAX};

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 64;

/// The digests a leaf is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) receipt: Digest,
    pub(crate) call: Digest,
    pub(crate) parts: Digest,
}

impl Leaf {
    /// From the sections of a body.
    pub(crate) fn of(sections: &Sections<'_>) -> Self {
        let digest = |section: Option<&[u8]>| Digest::of(section.unwrap_or_default());
        Self {
            receipt: digest(sections.receipt),
            call: digest(sections.call),
            parts: Digest::of(sections.parts),
        }
    }

    /// From a whole body.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, LedgerError> {
        Ok(Self::of(&Sections::of(body)?))
    }

    /// What the tree hashes: 104 bytes.
    pub(crate) fn data(&self, seq: u64) -> [u8; 104] {
        let mut data = [0; 104];
        let (number, rest) = data.split_at_mut(8);
        number.copy_from_slice(&seq.to_be_bytes());
        for (place, digest) in rest.chunks_exact_mut(32).zip([self.receipt, self.call, self.parts]) {
            place.copy_from_slice(digest.as_bytes());
        }
        data
    }

    /// The leaf's hash in the tree.
    pub(crate) fn hash(&self, seq: u64) -> Hash {
        leaf_hash(&self.data(seq))
    }
}

/// The chain hash after a record.
pub(crate) fn chain_hash(before: &Hash, leaf: &Hash) -> Hash {
    let mut bytes = [2; 65];
    let (first, second) = bytes[1..].split_at_mut(32);
    first.copy_from_slice(before);
    second.copy_from_slice(leaf);
    sha2::Sha256::digest(bytes).into()
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) crc: u32,
    pub(crate) body_bytes: u32,
    pub(crate) seq: u64,
    pub(crate) unix_ns: u64,
    pub(crate) durable: u64,
    pub(crate) chain: Hash,
}

impl Header {
    /// Fills the header's place in front of a body. `frame` is both.
    pub(crate) fn write(&self, frame: &mut [u8]) {
        let Some((head, body)) = frame.split_at_mut_checked(HEADER_BYTES) else {
            return;
        };
        let mut put = |from: usize, bytes: &[u8]| {
            if let Some(place) = head.get_mut(from..from + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(4, &self.body_bytes.to_le_bytes());
        put(8, &self.seq.to_le_bytes());
        put(16, &self.unix_ns.to_le_bytes());
        put(24, &self.durable.to_le_bytes());
        put(32, &self.chain);
        let crc = crc32c::crc32c_append(crc32c::crc32c(head.get(4..).unwrap_or_default()), body);
        if let Some(place) = head.get_mut(..4) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
    }

    /// Reads a header; whether it is one shows only the checksum over header and body.
    pub(crate) fn read(bytes: &[u8; HEADER_BYTES]) -> Self {
        let four = |from: usize| {
            let field = bytes.get(from..from + 4).and_then(|field| field.try_into().ok());
            u32::from_le_bytes(field.unwrap_or_default())
        };
        let eight = |from: usize| {
            let field = bytes.get(from..from + 8).and_then(|field| field.try_into().ok());
            u64::from_le_bytes(field.unwrap_or_default())
        };
        let chain = bytes.get(32..).and_then(|field| field.try_into().ok());
        Self {
            crc: four(0),
            body_bytes: four(4),
            seq: eight(8),
            unix_ns: eight(16),
            durable: eight(24),
            chain: chain.unwrap_or_default(),
        }
    }

    /// Whether the length can be true.
    pub(crate) const fn is_plausible(&self) -> bool {
        self.body_bytes as u64 <= RECORD_BYTES_MAX + 16
    }

    /// Whether header and body are what was written.
    pub(crate) fn fits(&self, head: &[u8; HEADER_BYTES], body: &[u8]) -> bool {
        let crc = crc32c::crc32c_append(crc32c::crc32c(head.get(4..).unwrap_or_default()), body);
        crc == self.crc
    }
}
