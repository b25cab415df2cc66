//! Keys of versions: what they are of, then the record that wrote them.

const VERSION_BYTES: usize = 8;

/// The key of a version in the table of the state: the inverted number puts the newest first.
pub(crate) fn version_key(placed: &[u8], seq: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(placed.len() + VERSION_BYTES);
    put_version(&mut key, placed, seq);
    key
}

/// Appends such a key.
pub(crate) fn put_version(out: &mut Vec<u8>, placed: &[u8], seq: u64) {
    out.extend_from_slice(placed);
    out.extend_from_slice(&(!seq).to_be_bytes());
}

/// The smallest key behind all versions of a key.
pub(crate) fn behind_versions(placed: &[u8]) -> Vec<u8> {
    let mut key = version_key(placed, 0);
    key.push(0);
    key
}

/// Splits the key of a version into the key it is of, and the record's number.
pub(crate) fn split_version(key: &[u8]) -> (&[u8], u64) {
    match key.split_last_chunk::<VERSION_BYTES>() {
        Some((placed, inverted)) => (placed, !u64::from_be_bytes(*inverted)),
        None => (key, 0),
    }
}

pub(super) fn version_seq(key: &[u8]) -> u64 {
    split_version(key).1
}
