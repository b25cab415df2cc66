//! PEM private keys (RFC 7468) and PGP's (RFC 9580), with line ends as they are or escaped inside JSON.

use crate::scan::run;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// The longest label and the longest block looked for, in bytes.
const LABEL_BYTES_MAX: usize = 64;
const BLOCK_BYTES_MAX: usize = 32_768;

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Whether a byte may stand between the two lines: base64, white space, and the backslash of an escape.
fn in_body(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=\\:,-".contains(&byte)
}

/// The same and what headers hold (`Version: GnuPG v2.2 (Linux)`). No quote: a block never leaves its JSON string.
fn in_block(byte: u8) -> bool {
    in_body(byte) || b"().@<>_;".contains(&byte)
}

/// Where the private key block that begins at this dash ends. One that is cut off ends where its base64 ends.
pub(crate) fn block(bytes: &[u8], place: usize) -> Option<usize> {
    let rest = bytes.get(place..)?;
    let label_on = rest.strip_prefix(BEGIN)?;
    let label_length = find(label_on.get(..label_on.len().min(LABEL_BYTES_MAX))?, DASHES)?;
    let label = label_on.get(..label_length)?;
    if !(label.ends_with(b"PRIVATE KEY") || label == b"PGP PRIVATE KEY BLOCK") {
        return None;
    }
    let body_at = place + BEGIN.len() + label_length + DASHES.len();
    let body = bytes.get(body_at..bytes.len().min(body_at + BLOCK_BYTES_MAX))?;
    // Another block's beginning ends this one, which keeps the time linear where many begin and none ends.
    let ends = |(offset, byte): (usize, &u8)| {
        !in_block(*byte) || (*byte == b'-' && body.get(offset..).is_some_and(|rest| rest.starts_with(BEGIN)))
    };
    let reach = body.iter().enumerate().position(ends).unwrap_or(body.len());
    let body = body.get(..reach)?;
    let last = [END, label, DASHES].concat();
    if let Some(end) = find(body, &last) {
        return Some(body_at + end + last.len());
    }
    // What leaked of a key is as secret as the whole.
    let body = body.get(..run(body, 0, in_body))?;
    let kept = body
        .iter()
        .rposition(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))?
        + 1;
    Some(body_at + kept)
}
