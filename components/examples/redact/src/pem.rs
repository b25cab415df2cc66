//! PEM private keys (RFC 7468), with line ends as they are or escaped inside JSON.

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// The longest label and the longest block looked for, in bytes.
const LABEL_BYTES_MAX: usize = 64;
const BLOCK_BYTES_MAX: usize = 32_768;

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Whether a byte may stand between the two lines: base64, its headers, white space, and the backslash of an escape.
fn inside(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=\\:,-".contains(&byte)
}

/// Where the private key block that begins at this dash ends. One that is cut off ends where its base64 ends.
pub(crate) fn block(bytes: &[u8], place: usize) -> Option<usize> {
    let rest = bytes.get(place..)?;
    let label_on = rest.strip_prefix(BEGIN)?;
    let label_length = find(label_on.get(..label_on.len().min(LABEL_BYTES_MAX))?, DASHES)?;
    let label = label_on.get(..label_length)?;
    if !label.ends_with(b"PRIVATE KEY") {
        return None;
    }
    let body_at = place + BEGIN.len() + label_length + DASHES.len();
    let body = bytes.get(body_at..bytes.len().min(body_at + BLOCK_BYTES_MAX))?;
    let reach = body.iter().position(|byte| !inside(*byte)).unwrap_or(body.len());
    let body = body.get(..reach)?;
    let last = [END, label, DASHES].concat();
    if let Some(end) = find(body, &last) {
        return Some(body_at + end + last.len());
    }
    // What leaked of a key is as secret as the whole.
    let kept = body.iter().rposition(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))? + 1;
    Some(body_at + kept)
}
