//! One pass over the text: at each place where something may begin, each detector says how far it reaches.
//!
//! Every detector looks at a bounded stretch, or at a stretch that is skipped when it fails, so that the time is linear
//! in the text whatever the text is.

use crate::{card, email, iban, key, pem, token};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A payment card number.
    PaymentCard,
    /// An international bank account number.
    Iban,
    /// A key of a cloud or API provider.
    CloudKey,
    /// A PEM private key block.
    PrivateKey,
    /// A bearer token or JSON Web Token.
    BearerToken,
}

impl Kind {
    /// What stands in its place. No mark is itself a finding, and none needs escaping in JSON.
    fn mark(self) -> &'static str {
        match self {
            Self::Email => "[email]",
            Self::PaymentCard => "[payment-card]",
            Self::Iban => "[iban]",
            Self::CloudKey => "[cloud-key]",
            Self::PrivateKey => "[private-key]",
            Self::BearerToken => "[bearer-token]",
        }
    }
}

/// One finding: half-open, in bytes of the original text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// The text without what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// The text with marks.
    pub text: String,
    /// What was found, in order.
    pub findings: Vec<Finding>,
}

/// The byte at a place; zero past the end, which is part of nothing that is looked for.
pub(crate) fn at(bytes: &[u8], place: usize) -> u8 {
    bytes.get(place).copied().unwrap_or(0)
}

/// Whether a byte may be inside a word. An `n`, `r` or `t` after a backslash is a JSON escape, not a letter of the word.
pub(crate) fn starts_word(bytes: &[u8], place: usize) -> bool {
    let Some(before) = place.checked_sub(1) else { return true };
    let byte = at(bytes, before);
    let escape = matches!(byte, b'n' | b'r' | b't' | b'b' | b'f') && before > 0 && at(bytes, before - 1) == b'\\';
    !(byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80) || escape
}

/// How far the bytes that satisfy `fits` reach from a place.
pub(crate) fn run(bytes: &[u8], from: usize, fits: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len())
}

/// Finds and replaces.
pub fn scrub(text: &str) -> Redaction {
    let bytes = text.as_bytes();
    let mut findings: Vec<Finding> = Vec::new();
    let mut place = 0;
    // No address starts before the end of the finding before it, or before what was already looked at.
    let mut free = 0;
    let mut words = token::Words::default();
    while place < bytes.len() {
        let byte = at(bytes, place);
        let found = match byte {
            b'@' => email::around(bytes, free, place).map(|(start, end)| (Kind::Email, start, end)),
            b'-' => pem::block(bytes, place).map(|end| (Kind::PrivateKey, place, end)),
            _ if byte.is_ascii_alphanumeric() && starts_word(bytes, place) => word(bytes, place, &mut words),
            _ => None,
        };
        if let Some((kind, start, end)) = found {
            findings.push(Finding { kind, start, end });
            (place, free) = (end, end);
        } else {
            place += 1;
        }
    }
    let mut scrubbed = String::with_capacity(text.len());
    let mut copied = 0;
    for finding in &findings {
        scrubbed.push_str(text.get(copied..finding.start).unwrap_or_default());
        scrubbed.push_str(finding.kind.mark());
        copied = finding.end;
    }
    scrubbed.push_str(text.get(copied..).unwrap_or_default());
    Redaction { text: scrubbed, findings }
}

/// What begins with this word, if anything does.
fn word(bytes: &[u8], place: usize, words: &mut token::Words) -> Option<(Kind, usize, usize)> {
    let byte = at(bytes, place);
    if byte.is_ascii_digit() {
        return card::number(bytes, place).map(|end| (Kind::PaymentCard, place, end));
    }
    if let Some((start, end)) = token::bearer(bytes, place) {
        return Some((Kind::BearerToken, start, end));
    }
    if let Some(end) = words.json_web_token(bytes, place) {
        return Some((Kind::BearerToken, place, end));
    }
    if let Some(end) = key::known(bytes, place) {
        return Some((Kind::CloudKey, place, end));
    }
    iban::number(bytes, place).map(|end| (Kind::Iban, place, end))
}

#[cfg(test)]
mod tests;
