//! Bearer tokens (RFC 6750) and JSON Web Tokens (RFC 7519).

use crate::scan::{at, run};

/// The shortest token after the word `Bearer`: shorter words are prose ("bearer of news").
const TOKEN_BYTES_MIN: usize = 16;
const JWT_PART_BYTES_MIN: usize = 8;

fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}

fn in_jwt(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The token after the word `Bearer` at this place; the word itself stays.
pub(crate) fn bearer(bytes: &[u8], place: usize) -> Option<(usize, usize)> {
    let word = bytes.get(place..place + 6)?;
    if !word.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    let start = run(bytes, place + 6, |byte| byte == b' ');
    if start == place + 6 || start > place + 10 {
        return None;
    }
    let mut end = run(bytes, start, in_token);
    while at(bytes, end) == b'=' {
        end += 1;
    }
    let token = bytes.get(start..end)?;
    // A word of prose has no digit; a token of this length without one does not occur.
    (token.len() >= TOKEN_BYTES_MIN && token.iter().any(u8::is_ascii_digit)).then_some((start, end))
}

/// Remembers how far a failed look has been, so that many starts in one run do not walk it again and again.
#[derive(Default)]
pub(crate) struct Words {
    seen_to: usize,
}

impl Words {
    /// Where the JSON Web Token that begins at this place ends: three parts, the first two base64url of a JSON object.
    pub(crate) fn json_web_token(&mut self, bytes: &[u8], place: usize) -> Option<usize> {
        if place < self.seen_to || !bytes.get(place..)?.starts_with(b"eyJ") {
            return None;
        }
        let found = token_end(bytes, place);
        self.seen_to = match found {
            Ok(_) => 0,
            Err(seen_to) => seen_to,
        };
        found.ok()
    }
}

/// The end, or how far a run of token bytes that is no token reaches.
fn token_end(bytes: &[u8], place: usize) -> Result<usize, usize> {
    let first = run(bytes, place, in_jwt);
    if first - place < JWT_PART_BYTES_MIN || at(bytes, first) != b'.' || bytes.get(first + 1..first + 4) != Some(b"eyJ".as_slice()) {
        return Err(first);
    }
    let second = run(bytes, first + 1, in_jwt);
    if second - first <= JWT_PART_BYTES_MIN || at(bytes, second) != b'.' {
        return Err(second);
    }
    let third = run(bytes, second + 1, in_jwt);
    // An unsecured token has an empty third part.
    Ok(third)
}
