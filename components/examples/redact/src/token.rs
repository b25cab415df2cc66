//! Bearer tokens (RFC 6750), JSON Web Tokens (RFC 7519) and their encrypted form (RFC 7516).

use crate::scan::{at, run};

/// The shortest token after the word `Bearer` in running text, where shorter words are prose ("bearer of news").
const TOKEN_BYTES_MIN: usize = 12;
/// The shortest header of a web token, `{"alg":""}` in base64url, and the shortest payload.
const HEADER_BYTES_MIN: usize = 12;
const PAYLOAD_BYTES_MIN: usize = 4;
/// The header field whose value begins with the word; the bytes looked back for it.
const FIELD: &[u8] = b"authorization";
const FIELD_BYTES_BACK: usize = 24;

fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
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
    if start == place + 6 {
        return None;
    }
    let mut end = run(bytes, start, in_token);
    // JSON may write a slash as `\/`.
    while at(bytes, end) == b'\\' && at(bytes, end + 1) == b'/' {
        end = run(bytes, end + 1, in_token);
    }
    let token = bytes.get(start..end)?;
    let sentence = token.iter().rev().take_while(|byte| **byte == b'.').count();
    let token = token.get(..token.len() - sentence)?;
    // A word of prose has no digit; behind the header field anything is a token.
    let random = token.len() >= TOKEN_BYTES_MIN && token.iter().any(u8::is_ascii_digit);
    let is_token = random || (!token.is_empty() && follows_field(bytes, place));
    is_token.then_some((start, start + token.len()))
}

/// Whether `authorization` stands before this place, in a header or as a member of JSON.
fn follows_field(bytes: &[u8], place: usize) -> bool {
    let before = bytes
        .get(place.saturating_sub(FIELD_BYTES_BACK)..place)
        .unwrap_or_default();
    let between = before
        .iter()
        .rev()
        .take_while(|byte| b" :=\"'\\".contains(byte))
        .count();
    let (before, between) = before.split_at_checked(before.len() - between).unwrap_or_default();
    let named = before
        .last_chunk::<{ FIELD.len() }>()
        .is_some_and(|end| end.eq_ignore_ascii_case(FIELD));
    named && between.iter().any(|byte| matches!(byte, b':' | b'='))
}

/// Remembers how far the first part of a failed look reached, so that many starts in one part do not walk it again.
#[derive(Default)]
pub(crate) struct Tokens {
    seen_to: usize,
}

impl Tokens {
    /// Where the web token that begins at this place ends.
    pub(crate) fn json_web_token(&mut self, bytes: &[u8], place: usize) -> Option<usize> {
        if place < self.seen_to || !bytes.get(place..)?.starts_with(b"eyJ") {
            return None;
        }
        let header = run(bytes, place, in_jwt);
        let end = rest_of_token(bytes, place, header);
        self.seen_to = header;
        end
    }
}

/// Signed: three parts, the first two base64url of JSON objects, the last possibly empty. Encrypted: five parts.
fn rest_of_token(bytes: &[u8], place: usize, header: usize) -> Option<usize> {
    if header - place < HEADER_BYTES_MIN || at(bytes, header) != b'.' {
        return None;
    }
    let second = run(bytes, header + 1, in_jwt);
    if at(bytes, second) != b'.' {
        return None;
    }
    let third = run(bytes, second + 1, in_jwt);
    let payload = bytes.get(header + 1..second)?;
    if at(bytes, third) == b'.' {
        let fourth = run(bytes, third + 1, in_jwt);
        let fifth = run(bytes, fourth + 1, in_jwt);
        if at(bytes, fourth) == b'.' && third > second + 1 && fourth > third + 1 && fifth > fourth + 1 {
            return Some(fifth);
        }
    }
    (payload.starts_with(b"eyJ") && payload.len() >= PAYLOAD_BYTES_MIN).then_some(third)
}
