//! The Merkle tree over the records (RFC 6962, section 2.1): hashing, the growing edge, and proofs.

mod checkpoint;
mod files;
mod proof;

pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::{CheckpointFile, Signer};
pub(crate) use files::TreeFiles;
pub(crate) use proof::{Leaves, consistency, inclusion, range_root};
pub use proof::{verify_consistency, verify_inclusion};

use sha2::Digest as _;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The hash of a leaf: SHA-256 of a zero byte and the data.
pub(crate) fn leaf_hash(data: &[u8]) -> Hash {
    let mut hasher = sha2::Sha256::new();
    hasher.update([0]);
    hasher.update(data);
    hasher.finalize().into()
}

/// The hash of an inner node: SHA-256 of a one byte and both children.
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    let (first, second) = bytes[1..].split_at_mut(32);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    sha2::Sha256::digest(bytes).into()
}

/// The root of a tree without leaves.
pub(crate) fn empty_root() -> Hash {
    sha2::Sha256::digest([]).into()
}

/// The growing edge of a tree: the roots of its complete subtrees, largest first. Enough to append and to tell the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// The frontier a tree of `size` leaves has, from the roots of its complete subtrees, largest first.
    pub(crate) fn from_roots(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    pub(crate) fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(&last) = roots.next() else {
            return empty_root();
        };
        roots.fold(last, |right, left| node_hash(left, &right))
    }
}
