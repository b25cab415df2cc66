//! Payment cards: an issuer's prefix and length, and a correct Luhn digit, so that ids and timestamps pass.

use crate::scan::at;

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// Whether digits of this length with this prefix are some issuer's.
fn issued(digits: &[u8]) -> bool {
    let prefix = |count: usize| digits.iter().take(count).fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit));
    let (one, two, three, four, six) = (prefix(1), prefix(2), prefix(3), prefix(4), prefix(6));
    match digits.len() {
        13 => one == 4,
        14 => two == 36 || two == 38 || (300..=305).contains(&three),
        15 => two == 34 || two == 37,
        16 => {
            one == 4
                || (51..=55).contains(&two)
                || (2221..=2720).contains(&four)
                || four == 6011
                || (644..=649).contains(&three)
                || two == 65
                || (3528..=3589).contains(&four)
                || two == 62
        }
        17 | 18 => two == 62,
        19 => one == 4 || two == 62 || six == 601_100,
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit) * 2) {
            (0, _) => u32::from(*digit),
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum();
    sum % 10 == 0
}

/// Where the card number that begins at this digit ends. Single spaces or dashes may part its groups of three or more.
pub(crate) fn number(bytes: &[u8], place: usize) -> Option<usize> {
    // A number's tail, a fraction, or a piece of a longer id is not where a card begins.
    if place > 0 && matches!(at(bytes, place - 1), b'.' | b'-' | b'+' | b',') && place > 1 && at(bytes, place - 2).is_ascii_digit() {
        return None;
    }
    let mut digits = [0; DIGITS_MAX + 1];
    let (mut count, mut end, mut group, mut separator) = (0, place, 0, None);
    loop {
        let byte = at(bytes, end);
        if byte.is_ascii_digit() {
            let slot = digits.get_mut(count)?;
            *slot = byte - b'0';
            (count, group, end) = (count + 1, group + 1, end + 1);
        } else if matches!(byte, b' ' | b'-')
            && separator.is_none_or(|first| first == byte)
            && (3..=6).contains(&group)
            && at(bytes, end + 1).is_ascii_digit()
        {
            (separator, group, end) = (Some(byte), 0, end + 1);
        } else {
            break;
        }
    }
    let next = at(bytes, end);
    let goes_on = next.is_ascii_alphanumeric() || next == b'_' || next >= 0x80;
    let fraction = matches!(next, b'.' | b'-') && at(bytes, end + 1).is_ascii_alphanumeric();
    let digits = digits.get(..count)?;
    let fits = count >= DIGITS_MIN && !goes_on && !fraction && issued(digits) && luhn(digits);
    // Sixteen equal digits have a correct Luhn digit and belong to nobody.
    let varied = digits.iter().any(|digit| Some(digit) != digits.first());
    (fits && varied).then_some(end)
}
