//! Which partition a key belongs to: the same one on every host, in every version, for ever.

use sha2::{Digest as _, Sha256};

/// The partition of a key: the first eight bytes of its SHA-256, read as a big-endian number, modulo the partitions.
/// Anyone can compute it, and no change of a library can move a key.
pub fn partition_of(key: &[u8], partitions: u16) -> u16 {
    let hash = Sha256::digest(key);
    let number = hash
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    // The remainder is below a number of 16 bits.
    u16::try_from(number % u64::from(partitions.max(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_a_key_is_what_it_was_when_the_format_was_made() {
        // printf %s KEY | sha256sum | cut -c1-16, then modulo.
        let golden: [(&[u8], u16, u16); 8] = [
            (b"", 16, 4),
            (b"abc", 1, 0),
            (b"abc", 16, 10),
            (b"abc", 1024, 1002),
            (b"user-1", 7, 5),
            (b"user-2", 7, 4),
            ("Schlüssel".as_bytes(), 100, 56),
            (&[0, 255, 0], 13, 2),
        ];
        let found = golden.map(|(key, partitions, _)| (key, partitions, partition_of(key, partitions)));
        assert_eq!(found, golden);
    }

    #[test]
    fn keys_spread_evenly() {
        let mut counts = [0_u32; 16];
        for number in 0..16_000 {
            counts[usize::from(partition_of(format!("key-{number}").as_bytes(), 16))] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
