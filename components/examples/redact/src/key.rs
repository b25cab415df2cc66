//! Keys of cloud and API providers, known by a prefix and the length and alphabet of what follows.

use crate::scan::{at, joins, run};

/// What may follow a prefix.
#[derive(Clone, Copy)]
enum Alphabet {
    /// A to Z and digits.
    Upper,
    /// Letters and digits.
    Alphanumeric,
    /// Letters, digits, `_` and `-`.
    Url,
    /// The same and `.`, for keys of several parts.
    Parts,
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
            Self::Parts => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'),
        }
    }
}

/// A prefix, what follows it, and how many bytes of that there are at least.
type Key = (&'static [u8], Alphabet, usize);

/// There is no greatest length: a longer run is taken whole, so that no tail of a key stays behind.
const KEYS: &[Key] = &[
    // Amazon Web Services: exactly sixteen, see `known`.
    (b"AKIA", Alphabet::Upper, 16),
    (b"ASIA", Alphabet::Upper, 16),
    // Google.
    (b"AIza", Alphabet::Url, 35),
    (b"ya29.", Alphabet::Parts, 20),
    (b"GOCSPX-", Alphabet::Url, 28),
    // GitHub and GitLab.
    (b"ghp_", Alphabet::Alphanumeric, 36),
    (b"gho_", Alphabet::Alphanumeric, 36),
    (b"ghu_", Alphabet::Alphanumeric, 36),
    (b"ghs_", Alphabet::Alphanumeric, 36),
    (b"ghr_", Alphabet::Alphanumeric, 36),
    (b"github_pat_", Alphabet::Url, 22),
    (b"glpat-", Alphabet::Url, 20),
    // Slack.
    (b"xoxa-", Alphabet::Url, 10),
    (b"xoxb-", Alphabet::Url, 10),
    (b"xoxc-", Alphabet::Url, 10),
    (b"xoxd-", Alphabet::Url, 10),
    (b"xoxe-", Alphabet::Url, 10),
    (b"xoxo-", Alphabet::Url, 10),
    (b"xoxp-", Alphabet::Url, 10),
    (b"xoxr-", Alphabet::Url, 10),
    (b"xoxs-", Alphabet::Url, 10),
    (b"xapp-", Alphabet::Url, 20),
    // Stripe.
    (b"sk_live_", Alphabet::Alphanumeric, 16),
    (b"rk_live_", Alphabet::Alphanumeric, 16),
    (b"sk_test_", Alphabet::Alphanumeric, 16),
    (b"rk_test_", Alphabet::Alphanumeric, 16),
    // Anthropic, OpenAI, OpenRouter.
    (b"sk-ant-", Alphabet::Url, 20),
    (b"sk-proj-", Alphabet::Url, 20),
    (b"sk-svcacct-", Alphabet::Url, 20),
    (b"sk-admin-", Alphabet::Url, 20),
    (b"sk-or-v1-", Alphabet::Alphanumeric, 32),
    (b"sk-", Alphabet::Alphanumeric, 32),
    // Hugging Face, npm, DigitalOcean, SendGrid.
    (b"hf_", Alphabet::Alphanumeric, 30),
    (b"npm_", Alphabet::Alphanumeric, 36),
    (b"dop_v1_", Alphabet::Alphanumeric, 64),
    (b"SG.", Alphabet::Parts, 40),
];

/// The bytes that prefixes begin with, one bit each: most words are no key already by their first.
const FIRST_BYTES: u128 = first_bytes(KEYS);

const fn first_bytes(mut keys: &[Key]) -> u128 {
    let mut set = 0;
    while let [(prefix, ..), rest @ ..] = keys {
        if let [byte, ..] = prefix {
            set |= 1 << *byte;
        }
        keys = rest;
    }
    set
}

/// Where the key that begins at this letter ends.
pub(crate) fn known(bytes: &[u8], place: usize) -> Option<usize> {
    let rest = bytes.get(place..)?;
    if (FIRST_BYTES >> (at(bytes, place) & 0x7f)) & 1 == 0 {
        return None;
    }
    KEYS.iter().find_map(|(prefix, alphabet, least)| {
        rest.starts_with(prefix).then_some(())?;
        let from = place + prefix.len();
        let mut end = run(bytes, from, |byte| alphabet.has(byte));
        // The point that ends a sentence is no part of the key.
        while end > from && at(bytes, end - 1) == b'.' {
            end -= 1;
        }
        // Amazon's identifiers have one length; a longer word in capitals is something else.
        let fits = match alphabet {
            Alphabet::Upper => end - from == *least && !joins(at(bytes, end)),
            _ => end - from >= *least,
        };
        fits.then_some(end)
    })
}
