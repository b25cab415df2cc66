//! Keys of cloud and API providers, known by a prefix and the length and alphabet of what follows.

use crate::scan::{at, run};

/// What may follow a prefix.
#[derive(Clone, Copy)]
enum Alphabet {
    /// A to Z and digits.
    Upper,
    /// Letters and digits.
    Alphanumeric,
    /// Letters, digits, `_` and `-`.
    Url,
}

impl Alphabet {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alphanumeric => byte.is_ascii_alphanumeric(),
            Self::Url => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
        }
    }
}

/// A prefix, what follows it, and how many bytes of that there are at least and at most.
const KEYS: &[(&[u8], Alphabet, usize, usize)] = &[
    (b"AKIA", Alphabet::Upper, 16, 16),
    (b"ASIA", Alphabet::Upper, 16, 16),
    (b"AIza", Alphabet::Url, 35, 35),
    (b"ya29.", Alphabet::Url, 20, 2048),
    (b"ghp_", Alphabet::Alphanumeric, 36, 255),
    (b"gho_", Alphabet::Alphanumeric, 36, 255),
    (b"ghu_", Alphabet::Alphanumeric, 36, 255),
    (b"ghs_", Alphabet::Alphanumeric, 36, 255),
    (b"ghr_", Alphabet::Alphanumeric, 36, 255),
    (b"github_pat_", Alphabet::Url, 40, 255),
    (b"glpat-", Alphabet::Url, 20, 255),
    (b"xoxb-", Alphabet::Url, 20, 255),
    (b"xoxa-", Alphabet::Url, 20, 255),
    (b"xoxp-", Alphabet::Url, 20, 255),
    (b"xoxr-", Alphabet::Url, 20, 255),
    (b"xoxs-", Alphabet::Url, 20, 255),
    (b"sk_live_", Alphabet::Alphanumeric, 16, 255),
    (b"rk_live_", Alphabet::Alphanumeric, 16, 255),
    (b"sk_test_", Alphabet::Alphanumeric, 16, 255),
    (b"sk-ant-", Alphabet::Url, 20, 255),
    (b"sk-proj-", Alphabet::Url, 20, 255),
    (b"sk-", Alphabet::Alphanumeric, 32, 255),
    (b"hf_", Alphabet::Alphanumeric, 30, 64),
    (b"npm_", Alphabet::Alphanumeric, 36, 36),
    (b"dop_v1_", Alphabet::Alphanumeric, 64, 64),
    (b"SG.", Alphabet::Url, 20, 255),
];

/// Where the key that begins at this letter ends.
pub(crate) fn known(bytes: &[u8], place: usize) -> Option<usize> {
    let rest = bytes.get(place..)?;
    KEYS.iter().find_map(|(prefix, alphabet, least, most)| {
        rest.starts_with(prefix).then_some(())?;
        let from = place + prefix.len();
        // Looks no further than the longest key and one byte, so that a hostile run of letters is not walked twice.
        let window = bytes.get(..bytes.len().min(from + most + 1))?;
        let end = run(window, from, |byte| alphabet.has(byte));
        let goes_on = at(bytes, end).is_ascii_alphanumeric();
        ((*least..=*most).contains(&(end - from)) && !goes_on).then_some(end)
    })
}
