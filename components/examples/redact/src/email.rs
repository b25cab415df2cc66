//! E-mail addresses: looked for around an `@`, so that text without one costs nothing.

use crate::json::past_escape;
use crate::scan::{at, run};

/// Longest parts, as RFC 5321 has them.
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 253;

/// What addresses are made of in practice. RFC 5321 allows more, which in running text is nearly always something else:
/// `user=ann@example.com` is an assignment.
fn in_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte)
}

/// The address around the `@` at this place.
pub(crate) fn around(bytes: &[u8], place: usize) -> Option<(usize, usize)> {
    let before = bytes.get(place.saturating_sub(LOCAL_BYTES_MAX + 6)..place)?;
    let length = before.iter().rev().take_while(|byte| in_local(**byte)).count();
    let mut start = past_escape(bytes, place - length);
    // Marks that often stand in front of an address are no part of it.
    while start < place && !at(bytes, start).is_ascii_alphanumeric() && at(bytes, start) != b'_' {
        start += 1;
    }
    if start >= place || place - start > LOCAL_BYTES_MAX || at(bytes, place - 1) == b'.' {
        return None;
    }
    Some((start, domain_end(bytes, place + 1)?))
}

/// Where the domain that begins here ends: behind the last label that can be a top-level domain.
fn domain_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut best = None;
    let (mut label_at, mut labels, mut numbers) = (from, 0, 0);
    while label_at - from <= DOMAIN_BYTES_MAX {
        // No label is longer than 63 bytes; one byte more tells.
        let window = bytes.get(..bytes.len().min(label_at + 64))?;
        let end = run(window, label_at, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let label = bytes.get(label_at..end)?;
        // `com-` of `ann@example.com-based` is a label only for who reads on too far.
        let name = if label.starts_with(b"xn--") {
            label
        } else {
            label.split(|byte| *byte == b'-').next()?
        };
        let top = name.len() >= 2 && (name.iter().all(u8::is_ascii_alphabetic) || name.starts_with(b"xn--"));
        // Of `com-KEY` the key may become a mark, however long it is; then `com` ends the address.
        let cut = name.len() < label.len();
        if top && labels > 0 && label_at + name.len() - from <= DOMAIN_BYTES_MAX && (cut || label.len() < 64) {
            best = Some(label_at + name.len());
        }
        if label.is_empty() || label.len() > 63 || label.starts_with(b"-") || label.ends_with(b"-") {
            break;
        }
        numbers += usize::from(labels == numbers && label.iter().all(u8::is_ascii_digit));
        // `react@18.0.0-rc.next` is a version, while `ann@163.com` is an address.
        if numbers == 2 {
            return None;
        }
        if at(bytes, end) != b'.' {
            break;
        }
        (label_at, labels) = (end + 1, labels + 1);
    }
    best
}
