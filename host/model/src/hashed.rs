//! Bytes whose digest is known because it was computed over just these: nobody can say another one.

use std::fmt;
use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use sha2::Digest as _;

use crate::Digest;

/// Bytes and their SHA-256.
#[derive(Clone)]
pub struct Hashed {
    bytes: Bytes,
    digest: Digest,
}

/// Bytes that are still arriving, and the hash of those that are here.
#[derive(Default)]
pub struct Hashing {
    bytes: BytesMut,
    hash: sha2::Sha256,
}

impl Hashed {
    /// Hashes bytes.
    pub fn of(bytes: Bytes) -> Self {
        Self {
            digest: Digest::of(&bytes),
            bytes,
        }
    }

    /// Their digest.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes alone.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

impl Deref for Hashed {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.digest, self.bytes.len())
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Hashed {
    fn eq(&self, other: &T) -> bool {
        *self.bytes == *other.as_ref()
    }
}

impl Hashing {
    /// Nothing yet, with room for so many bytes.
    pub fn with_room(bytes: usize) -> Self {
        Self {
            bytes: BytesMut::with_capacity(bytes),
            hash: sha2::Sha256::default(),
        }
    }

    /// What came next.
    pub fn push(&mut self, chunk: &[u8]) {
        self.hash.update(chunk);
        self.bytes.extend_from_slice(chunk);
    }

    /// How many bytes are here.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether none is here.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets them: they come anew.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.hash = sha2::Sha256::default();
    }

    /// All are here.
    pub fn finish(self) -> Hashed {
        Hashed {
            bytes: self.bytes.freeze(),
            digest: Digest::from_bytes(self.hash.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_pieces_the_digest_is_that_of_the_whole() {
        for pieces in [
            &[&b"component"[..]][..],
            &[b"comp", b"", b"onent"],
            &[b"c", b"omponent"],
        ] {
            let mut hashing = Hashing::with_room(2);
            for piece in pieces {
                hashing.push(piece);
            }
            assert_eq!(hashing.len(), 9);
            let hashed = hashing.finish();
            assert_eq!(hashed.digest(), Digest::of(b"component"));
            assert_eq!(hashed, b"component"[..]);
        }
    }

    #[test]
    fn what_comes_anew_is_hashed_anew() {
        let mut hashing = Hashing::default();
        hashing.push(b"other");
        hashing.clear();
        assert!(hashing.is_empty());
        hashing.push(b"component");
        assert_eq!(
            hashing.finish().digest(),
            Hashed::of(Bytes::from_static(b"component")).digest()
        );
    }
}
