//! Proofs that a record is in the tree (inclusion) and that one tree is a beginning of another (consistency).

use super::{Hash, empty_root, node_hash};
use crate::LedgerError;

/// Complete subtrees of this many leaves are kept ready made.
pub(crate) const BLOCK_LEAVES: u64 = 256;

/// Where the hashes of leaves, and of complete blocks of [`BLOCK_LEAVES`], are read.
pub(crate) trait Leaves {
    /// Hashes of the leaves `from..to`.
    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError>;
    /// Roots of the blocks `from..to`.
    fn blocks(&self, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError>;
}

/// The largest power of two below `n`, for n of 2 and more.
const fn split_point(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The root over the leaves `from..to`, as section 2.1 defines it.
pub(crate) fn range_root(tree: &dyn Leaves, from: u64, to: u64) -> Result<Hash, LedgerError> {
    let count = to.saturating_sub(from);
    if count == 0 {
        return Ok(empty_root());
    }
    if count.is_power_of_two() && from.is_multiple_of(count) && count >= BLOCK_LEAVES {
        return Ok(fold(tree.blocks(from / BLOCK_LEAVES, to / BLOCK_LEAVES)?));
    }
    if count <= BLOCK_LEAVES {
        return Ok(fold(tree.leaves(from, to)?));
    }
    let middle = from + split_point(count);
    Ok(node_hash(
        &range_root(tree, from, middle)?,
        &range_root(tree, middle, to)?,
    ))
}

/// The root over hashes that lie beside each other. An odd last one is carried up, which is what section 2.1 gives.
fn fold(mut hashes: Vec<Hash>) -> Hash {
    while hashes.len() > 1 {
        hashes = hashes
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                [one, ..] => *one,
                [] => empty_root(),
            })
            .collect();
    }
    hashes.first().copied().unwrap_or_else(empty_root)
}

/// The audit path of leaf `index` in the tree of `size` leaves, nearest sibling first.
pub(crate) fn inclusion(tree: &dyn Leaves, index: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split_point(to - from);
        if index < middle {
            path.push(range_root(tree, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(tree, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is a beginning of the one of `new`.
pub(crate) fn consistency(tree: &dyn Leaves, old: u64, new: u64) -> Result<Vec<Hash>, LedgerError> {
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    let (mut from, mut to) = (0, new);
    // Whether the old tree's part seen so far is one complete subtree that the verifier knows as the old root.
    let mut known = true;
    while old != to {
        let middle = from + split_point(to - from);
        if old <= middle {
            path.push(range_root(tree, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(tree, from, middle)?);
            from = middle;
            known = false;
        }
    }
    if !known {
        path.push(range_root(tree, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `path` proves that `leaf` is at `index` in the tree of `size` leaves with this root (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `path` proves that the tree of `old` leaves is a beginning of the one of `new` (RFC 9162, 2.1.4.2).
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return path.is_empty() && *old_root == empty_root();
    }
    let mut path = path.iter();
    let (mut node, mut last) = (old - 1, new - 1);
    while node % 2 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        path.next()
    };
    let Some(&first) = first else {
        return false;
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Frontier, leaf_hash};
    use super::*;

    struct Memory(Vec<Hash>);

    impl Memory {
        fn of(count: u64) -> Self {
            Self((0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect())
        }
    }

    fn place(number: u64) -> usize {
        usize::try_from(number).unwrap()
    }

    impl Leaves for Memory {
        fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError> {
            Ok(self.0[place(from)..place(to)].to_vec())
        }
        fn blocks(&self, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError> {
            let block = |i: u64| fold(self.0[place(i * BLOCK_LEAVES)..place((i + 1) * BLOCK_LEAVES)].to_vec());
            Ok((from..to).map(block).collect())
        }
    }

    #[test]
    fn the_roots_of_the_certificate_transparency_test_data_come_out() {
        // The reference data of the first CT implementations: eight leaves and the roots after each.
        let leaves: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[
                0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
            ],
        ];
        let mut frontier = Frontier::default();
        assert_eq!(
            hex(&frontier.root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for leaf in leaves {
            frontier.push(leaf_hash(leaf));
        }
        assert_eq!(
            hex(&frontier.root()),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    fn hex(hash: &Hash) -> String {
        kinetic_model::Digest::from_bytes(*hash).hex()
    }

    proptest! {
        #[test]
        fn frontier_and_definition_agree_and_every_leaf_proves_itself(size in 1_u64..1500, pick: u64) {
            let tree = Memory::of(size);
            let mut frontier = Frontier::default();
            tree.0.iter().for_each(|leaf| frontier.push(*leaf));
            let root = range_root(&tree, 0, size).unwrap();
            prop_assert_eq!(frontier.root(), root);
            let index = pick % size;
            let path = inclusion(&tree, index, size).unwrap();
            let leaf = tree.0[place(index)];
            prop_assert!(verify_inclusion(&leaf, index, size, &path, &root));
            let mut changed = leaf;
            changed[3] ^= 1;
            prop_assert!(!verify_inclusion(&changed, index, size, &path, &root));
            if size > 1 {
                prop_assert!(!verify_inclusion(&leaf, (index + 1) % size, size, &path, &root));
            }
        }

        #[test]
        fn a_tree_is_consistent_with_its_beginnings_only(new in 1_u64..1500, pick: u64) {
            let old = pick % (new + 1);
            let tree = Memory::of(new);
            let (old_root, new_root) = (range_root(&tree, 0, old).unwrap(), range_root(&tree, 0, new).unwrap());
            let path = consistency(&tree, old, new).unwrap();
            prop_assert!(verify_consistency(old, &old_root, new, &new_root, &path));
            if old > 0 {
                let mut changed = old_root;
                changed[0] ^= 1;
                prop_assert!(!verify_consistency(old, &changed, new, &new_root, &path));
            }
        }
    }
}
