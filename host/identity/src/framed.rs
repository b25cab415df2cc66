//! One digest over several files, in which no byte can move from one to the next, or from a name into a content.

use kinetic_model::Digest;
use sha2::{Digest as _, Sha256};

/// SHA-256 over named contents: the domain, the number of files, then name and content of each in the bytewise order of
/// the names.
///
/// Each of these stands behind its length in bytes, and lengths and number have 8 bytes, the most significant first.
/// `domain` says what the digest is of, so that one of a capsule never passes for one of something else. None when a name
/// is there twice: then it is no set of files.
pub fn framed_digest(domain: &str, files: &[(&str, &[u8])]) -> Option<Digest> {
    let mut sorted: Vec<_> = files.to_vec();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    if !sorted.is_sorted_by(|(a, _), (b, _)| a < b) {
        return None;
    }
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(domain.as_bytes());
    part(&(sorted.len() as u64).to_be_bytes());
    for (name, content) in sorted {
        part(name.as_bytes());
        part(content);
    }
    Some(Digest::from_bytes(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_digest_is_that_of_the_parts_behind_their_lengths() {
        let mut bytes = Vec::new();
        for part in [&b"d"[..], &[0, 0, 0, 0, 0, 0, 0, 2], b"a", b"", b"b/c", b"xyz"] {
            bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, u8::try_from(part.len()).unwrap()]);
            bytes.extend_from_slice(part);
        }
        let expected = Some(Digest::of(&bytes));
        assert_eq!(framed_digest("d", &[("a", b""), ("b/c", b"xyz")]), expected);
        assert_eq!(framed_digest("d", &[("b/c", b"xyz"), ("a", b"")]), expected);
        assert_eq!(framed_digest("d", &[("a", b""), ("a", b"")]), None);
    }

    #[test]
    fn no_byte_moves_between_parts_unnoticed() {
        let all = [
            framed_digest("d", &[]),
            framed_digest("e", &[]),
            framed_digest("d", &[("", b"")]),
            framed_digest("d", &[("ab", b"c")]),
            framed_digest("d", &[("a", b"bc")]),
            framed_digest("da", &[("b", b"c")]),
            framed_digest("d", &[("a", b"b"), ("c", b"")]),
            framed_digest("d", &[("a", b""), ("b", b"c")]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| other != one), "{at}");
        }
    }

    proptest! {
        #[test]
        fn the_order_in_which_files_are_named_changes_nothing(
            files in prop::collection::btree_map(".{0,8}", prop::collection::vec(any::<u8>(), 0..8), 0..6),
            rotate in 0..6usize,
        ) {
            let named: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
            let mut turned = named.clone();
            turned.rotate_left(rotate.min(named.len()));
            prop_assert_eq!(framed_digest("d", &turned), framed_digest("d", &named));
        }

        #[test]
        fn a_changed_content_changes_the_digest(
            content in prop::collection::vec(any::<u8>(), 1..32),
            at in any::<prop::sample::Index>(),
        ) {
            let mut other = content.clone();
            let index = at.index(other.len());
            other[index] ^= 1;
            let digest = |content: &[u8]| framed_digest("d", &[("a", content)]);
            prop_assert_ne!(digest(&content), digest(&other));
        }
    }
}
