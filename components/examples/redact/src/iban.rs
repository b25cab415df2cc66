//! IBANs: a country's length and correct mod-97 check digits (ISO 13616, ISO 7064).

use crate::scan::at;

/// Countries and the length of their IBANs.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16), (b"BG", 22),
    (b"BH", 22), (b"BR", 29), (b"BY", 28), (b"CH", 21), (b"CR", 22), (b"CY", 28), (b"CZ", 24), (b"DE", 22),
    (b"DK", 18), (b"DO", 28), (b"EE", 20), (b"EG", 29), (b"ES", 24), (b"FI", 18), (b"FO", 18), (b"FR", 27),
    (b"GB", 22), (b"GE", 22), (b"GI", 23), (b"GL", 18), (b"GR", 27), (b"GT", 28), (b"HR", 21), (b"HU", 28),
    (b"IE", 22), (b"IL", 23), (b"IQ", 23), (b"IS", 26), (b"IT", 27), (b"JO", 30), (b"KW", 30), (b"KZ", 20),
    (b"LB", 28), (b"LC", 32), (b"LI", 21), (b"LT", 20), (b"LU", 20), (b"LV", 21), (b"LY", 25), (b"MC", 27),
    (b"MD", 24), (b"ME", 22), (b"MK", 19), (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NL", 18), (b"NO", 15),
    (b"PK", 24), (b"PL", 28), (b"PS", 29), (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22), (b"SA", 24),
    (b"SC", 31), (b"SE", 24), (b"SI", 19), (b"SK", 24), (b"SM", 27), (b"ST", 25), (b"SV", 28), (b"TL", 23),
    (b"TN", 24), (b"TR", 26), (b"UA", 29), (b"VA", 22), (b"VG", 24), (b"XK", 20),
];

/// Where the IBAN that begins at this letter ends. Single spaces may stand between its characters, as printed.
pub(crate) fn number(bytes: &[u8], place: usize) -> Option<usize> {
    let country = bytes.get(place..place + 2)?;
    let (_, length) = LENGTHS.iter().find(|(name, _)| *name == country)?;
    let mut compact = Vec::with_capacity(*length);
    let mut end = place;
    while compact.len() < *length {
        let byte = at(bytes, end);
        if byte.is_ascii_uppercase() || byte.is_ascii_digit() {
            compact.push(byte);
        } else if byte != b' ' || at(bytes, end + 1) == b' ' || compact.len() < 4 {
            return None;
        }
        end += 1;
    }
    let next = at(bytes, end);
    if next.is_ascii_alphanumeric() || next == b'_' || next >= 0x80 {
        return None;
    }
    let (head, tail) = compact.split_at_checked(4)?;
    if !head.get(2..).is_some_and(|check| check.iter().all(u8::is_ascii_digit)) {
        return None;
    }
    let remainder = tail.iter().chain(head).fold(0_u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    (remainder == 1).then_some(end)
}
