//! One pass over the text: at each place where something may begin, each detector says how far it reaches.
//!
//! Two rules keep the promises. Time is linear because a detector looks at a bounded stretch, or at a stretch that
//! nothing looks at again. A second pass finds nothing because a detector sees only what follows the last finding, as
//! it will when a mark stands there, and turns nothing down for what could itself become a mark.

use crate::json::{Number, Strings, follows_escape, json_number, past_escape};
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

/// Whether a byte joins what stands beside it into one word. Letters beyond ASCII do not: no key or number holds them,
/// and many scripts write no space between words.
pub(crate) fn joins(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// How far the bytes that satisfy `fits` reach from a place.
pub(crate) fn run(bytes: &[u8], from: usize, fits: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len())
}

/// Finds and replaces.
pub fn scrub(text: &str) -> Redaction {
    let bytes = text.as_bytes();
    let mut findings = Vec::new();
    let mut scrubbed = String::with_capacity(text.len());
    let mut strings = Strings::of(text);
    let mut tokens = token::Tokens::default();
    // Where the last finding ended, and where the scan is.
    let (mut free, mut place) = (0, 0);
    while place < bytes.len() {
        let rest = bytes.get(free..).unwrap_or_default();
        let found = look(rest, place - free, &mut tokens);
        let number = found
            .filter(|found| found.kind == Kind::PaymentCard && strings.is_bare())
            .and_then(|found| json_number(rest, found.start));
        // No card is below zero, and a quoted mark behind a minus would be no JSON.
        let found = found.filter(|_| number != Some(Number::BelowZero));
        if let Some(Finding { kind, start, end }) = found {
            let finding = Finding {
                kind,
                start: free + start,
                end: free + end,
            };
            scrubbed.push_str(text.get(free..finding.start).unwrap_or_default());
            // A number in JSON stands without quotes; its mark may not.
            let quote = if number.is_some() { "\"" } else { "" };
            scrubbed.extend([quote, kind.mark(), quote]);
            (place, free) = (finding.end, finding.end);
            findings.push(finding);
            tokens = token::Tokens::default();
        } else {
            strings.pass(rest, place - free);
            place += 1;
        }
    }
    scrubbed.push_str(text.get(free..).unwrap_or_default());
    Redaction {
        text: scrubbed,
        findings,
    }
}

/// What begins at this place, or stands around it, if anything does.
fn look(bytes: &[u8], place: usize, tokens: &mut token::Tokens) -> Option<Finding> {
    let byte = at(bytes, place);
    match byte {
        b'@' => email::around(bytes, place).map(|(start, end)| Finding {
            kind: Kind::Email,
            start,
            end,
        }),
        b'-' => pem::block(bytes, place).map(|end| Finding {
            kind: Kind::PrivateKey,
            start: place,
            end,
        }),
        _ if byte.is_ascii_alphanumeric() && starts_word(bytes, place) => {
            let found = word(bytes, place, tokens)?;
            // What reads as a number or key in front of an `@` is the first part of an address.
            let address = if at(bytes, found.end) == b'@' {
                email::around(bytes, found.end)
            } else {
                None
            };
            let address = address.filter(|(start, _)| *start <= found.start);
            Some(address.map_or(found, |(start, end)| Finding {
                kind: Kind::Email,
                start,
                end,
            }))
        }
        _ => None,
    }
}

fn starts_word(bytes: &[u8], place: usize) -> bool {
    place.checked_sub(1).is_none_or(|before| !joins(at(bytes, before))) || follows_escape(bytes, place)
}

/// What begins with this word, if anything does.
fn word(bytes: &[u8], place: usize, tokens: &mut token::Tokens) -> Option<Finding> {
    if at(bytes, place).is_ascii_digit() {
        return card::number(bytes, place).map(|end| Finding {
            kind: Kind::PaymentCard,
            start: place,
            end,
        });
    }
    if let Some((start, end)) = token::bearer(bytes, place) {
        return Some(Finding {
            kind: Kind::BearerToken,
            start,
            end,
        });
    }
    let (kind, end) = if let Some(end) = tokens.json_web_token(bytes, place) {
        (Kind::BearerToken, end)
    } else if let Some(end) = key::known(bytes, place) {
        (Kind::CloudKey, end)
    } else {
        (Kind::Iban, iban::number(bytes, place)?)
    };
    // A backslash keeps the letter that makes it an escape.
    Some(Finding {
        kind,
        start: past_escape(bytes, place),
        end,
    })
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
