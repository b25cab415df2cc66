//! Dates and times as ISO 8601 and RFC 3339 write them, put in the order in which they happened.

/// Seconds since 1970 in UTC, and nanoseconds: instants compare as they happened, whatever zone they are written in.
pub(crate) type Instant = (i64, u32);

/// `2026-11-21`, `2026-11-21T07:55`, with seconds, a fraction, a zone, or a blank in the middle; without a zone, UTC.
pub(crate) fn instant(text: &str) -> Option<Instant> {
    let mut rest = text.as_bytes();
    let year = number(&mut rest, 4)?;
    mark(&mut rest, b"-")?;
    let month = number(&mut rest, 2)?;
    mark(&mut rest, b"-")?;
    let day = number(&mut rest, 2)?;
    if day == 0 || day > days_of(year, month)? {
        return None;
    }
    let midnight = days_since_1970(year, month, day) * 86_400;
    if rest.is_empty() {
        return Some((midnight, 0));
    }
    mark(&mut rest, b"Tt ")?;
    let hour = number(&mut rest, 2)?;
    mark(&mut rest, b":")?;
    let minute = number(&mut rest, 2)?;
    let second = match mark(&mut rest, b":") {
        Some(_) => number(&mut rest, 2)?,
        None => 0,
    };
    // 60 is a leap second.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let nanoseconds = fraction(&mut rest)?;
    let offset = offset(&mut rest)?;
    rest.is_empty()
        .then_some((midnight + hour * 3_600 + minute * 60 + second - offset, nanoseconds))
}

/// So many digits.
fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(digits)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    *rest = tail;
    Some(head.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// One of these characters.
fn mark(rest: &mut &[u8], any_of: &[u8]) -> Option<u8> {
    let (first, tail) = rest.split_first()?;
    if !any_of.contains(first) {
        return None;
    }
    *rest = tail;
    Some(*first)
}

/// Nanoseconds; digits beyond the ninth are too fine to tell.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    if mark(rest, b".,").is_none() {
        return Some(0);
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, tail) = rest.split_at_checked(digits)?;
    *rest = tail;
    let padded = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    (digits > 0).then(|| padded.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

/// Seconds ahead of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    let sign = match mark(rest, b"Zz+-") {
        None | Some(b'Z' | b'z') => return Some(0),
        Some(b'-') => -1,
        Some(_) => 1,
    };
    let hours = number(rest, 2)?;
    let minutes = if rest.is_empty() {
        0
    } else {
        mark(rest, b":");
        number(rest, 2)?
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day
        - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_instant_is_the_same_however_it_is_written() {
        for text in [
            "2026-11-21T07:55:47Z",
            "2026-11-21 07:55:47",
            "2026-11-21t08:55:47+01:00",
            "2026-11-21T02:25:47-0530",
            "2026-11-21T08:55:47.000+01",
        ] {
            assert_eq!(instant(text), Some((1_795_247_747, 0)), "{text}");
        }
        assert_eq!(instant("1970-01-01"), Some((0, 0)));
        assert_eq!(instant("2000-02-29T23:59:60Z"), Some((951_868_800, 0)));
        assert_eq!(instant("1969-12-31T23:59:59,25Z"), Some((-1, 250_000_000)));
        assert_eq!(
            instant("2026-11-21T07:55:47.1234567891Z"),
            Some((1_795_247_747, 123_456_789))
        );
    }

    #[test]
    fn what_no_calendar_or_clock_shows_is_no_timestamp() {
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-11-2",
            "20261121",
            "2026-11-21x",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-11-00",
            "2026-11-31",
            "2026-11-21T",
            "2026-11-21T7:55",
            "2026-11-21T24:00",
            "2026-11-21T07:60",
            "2026-11-21T07:55:61",
            "2026-11-21T07:55:47.",
            "2026-11-21T07:55+1",
            "2026-11-21T07:55+24:00",
            "2026-11-21T07:55Z ",
            "２０２６-11-21",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_follow_one_another(day in -700_000_i64..2_900_000) {
            // Walks the calendar by its own rules, next to the formula.
            let year = 1970 + day.div_euclid(366);
            for month in 1..=12 {
                let last = days_of(year, month).unwrap();
                let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                prop_assert_eq!(days_since_1970(year, month, last) + 1, days_since_1970(next_year, next_month, 1));
            }
        }

        #[test]
        fn no_text_is_too_strange_to_be_refused(text in "[0-9TZ:.+ -]{0,40}|\\PC{0,20}") {
            let _ = instant(&text);
        }
    }
}
