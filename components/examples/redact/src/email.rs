//! E-mail addresses: looked for around an `@`, so that text without one costs nothing.

use crate::scan::{at, run};

/// Longest parts, as RFC 5321 has them.
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 253;

/// What addresses are made of in practice. RFC 5321 allows more, which in running text is nearly always something else:
/// `user=ann@example.com` is an assignment.
fn in_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._%+-".contains(&byte)
}

/// The address around the `@` at this place; nothing before `free` belongs to it.
pub(crate) fn around(bytes: &[u8], free: usize, place: usize) -> Option<(usize, usize)> {
    let before = bytes.get(free.max(place.saturating_sub(LOCAL_BYTES_MAX + 1))..place)?;
    let length = before.iter().rev().take_while(|byte| in_local(**byte)).count();
    let mut start = place - length;
    // A JSON escape in front (`\n`) ends in a letter that is no part of the address.
    if start > 0 && at(bytes, start - 1) == b'\\' && matches!(at(bytes, start), b'n' | b'r' | b't' | b'b' | b'f') {
        start += 1;
    }
    // Marks that often stand in front of an address are no part of it either.
    while start < place && !at(bytes, start).is_ascii_alphanumeric() && at(bytes, start) != b'_' {
        start += 1;
    }
    if start == place || place - start > LOCAL_BYTES_MAX || at(bytes, place - 1) == b'.' {
        return None;
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let domain = bytes.get(place + 1..)?;
    let reach = domain.len().min(DOMAIN_BYTES_MAX + 1);
    let mut end = run(bytes.get(..place + 1 + reach)?, place + 1, fits);
    while end > place + 1 && matches!(at(bytes, end - 1), b'.' | b'-') {
        end -= 1;
    }
    let domain = bytes.get(place + 1..end)?;
    let mut labels = domain.rsplit(|byte| *byte == b'.');
    let top = labels.next()?;
    let whole = top.len() >= 2
        && top.iter().all(u8::is_ascii_alphabetic)
        && labels.clone().next().is_some()
        && labels.all(|label| !label.is_empty() && !label.starts_with(b"-") && !label.ends_with(b"-"));
    (whole && domain.len() <= DOMAIN_BYTES_MAX).then_some((start, end))
}
