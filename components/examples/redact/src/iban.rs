//! IBANs: a country's length and correct mod-97 check digits (ISO 13616, ISO 7064).

use crate::scan::{at, joins};

/// Lengths, and the countries whose IBANs have them (SWIFT's registry).
const LENGTHS: &[(usize, &str)] = &[
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FK FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

/// Where the IBAN that begins at this letter ends. Single spaces may stand between its characters, as printed.
pub(crate) fn number(bytes: &[u8], place: usize) -> Option<usize> {
    // Most words are none already by their first four bytes; the table is for the rest.
    let head = bytes.get(place..place + 4)?;
    let (country, check) = head.split_at_checked(2)?;
    if !country.iter().all(u8::is_ascii_uppercase) || !check.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let country = std::str::from_utf8(country).ok()?;
    let named = |(_, countries): &&(usize, &str)| countries.split(' ').any(|name| name == country);
    let (length, _) = LENGTHS.iter().find(named)?;
    let mut compact = Vec::with_capacity(*length);
    let mut end = place;
    while compact.len() < *length {
        let byte = at(bytes, end);
        if byte.is_ascii_uppercase() || byte.is_ascii_digit() {
            compact.push(byte);
        } else if byte != b' ' || !at(bytes, end + 1).is_ascii_alphanumeric() || compact.len() < 4 {
            return None;
        }
        end += 1;
    }
    let next = at(bytes, end);
    if joins(next) {
        return None;
    }
    let (head, tail) = compact.split_at_checked(4)?;
    let remainder = tail.iter().chain(head).fold(0_u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    (remainder == 1).then_some(end)
}
