//! Payment cards: an issuer's prefix and length, and a correct Luhn digit, so that ids and timestamps pass.

use crate::scan::{at, joins};

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// Whether digits of this length with this prefix are some issuer's.
fn issued(digits: &[u8]) -> bool {
    let prefix = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit))
    };
    let (one, two, three, four) = (prefix(1), prefix(2), prefix(3), prefix(4));
    let discover = four == 6011 || (644..=649).contains(&three) || two == 65;
    match digits.len() {
        13 => one == 4,
        14 => matches!(two, 36 | 38 | 39) || (300..=305).contains(&three),
        15 => two == 34 || two == 37,
        16 => {
            one == 4
                || (51..=55).contains(&two)
                || (2221..=2720).contains(&four)
                || discover
                || (3528..=3589).contains(&four)
                || two == 62
        }
        17 | 18 => two == 62,
        19 => one == 4 || two == 62 || discover,
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
    sum.is_multiple_of(10)
}

fn is_card(digits: &[u8]) -> bool {
    // Sixteen equal digits may have a correct Luhn digit and belong to nobody.
    let varied = digits.iter().any(|digit| Some(digit) != digits.first());
    digits.len() >= DIGITS_MIN && varied && issued(digits) && luhn(digits)
}

/// Where the card number that begins at this digit ends. Single spaces or dashes may part its groups of three to six;
/// a security code or another number after it is no part of it.
pub(crate) fn number(bytes: &[u8], place: usize) -> Option<usize> {
    // The fraction of a number or the later part of an id is not where a card begins.
    let before = |back: usize| place.checked_sub(back).map_or(0, |place| at(bytes, place));
    if matches!(before(1), b'.' | b'-') && before(2).is_ascii_digit() {
        return None;
    }
    // Nor is an exponent: `1e-4111111111111111`.
    if matches!(before(1), b'+' | b'-') && matches!(before(2), b'e' | b'E') && before(3).is_ascii_digit() {
        return None;
    }
    let mut digits = [0; DIGITS_MAX];
    let (mut count, mut end, mut separator, mut best) = (0, place, None, None);
    loop {
        let group_at = end;
        while at(bytes, end).is_ascii_digit() {
            let Some(slot) = digits.get_mut(count) else { return best };
            *slot = at(bytes, end) - b'0';
            (count, end) = (count + 1, end + 1);
        }
        let next = at(bytes, end);
        let goes_on = at(bytes, end + 1).is_ascii_digit();
        // A fraction or a part of an id does not end here; a separator of its own groups does not make it one.
        let whole = !joins(next) && !(goes_on && (next == b'.' || (next == b'-' && separator != Some(b'-'))));
        if whole && is_card(digits.get(..count)?) {
            best = Some(end);
        }
        let grouped = (3..=6).contains(&(end - group_at)) && separator.is_none_or(|first| first == next);
        if !grouped || !goes_on || !matches!(next, b' ' | b'-') {
            return best;
        }
        (separator, end) = (Some(next), end + 1);
    }
}
