//! What one cell is, told from its text.

use std::cmp::Ordering;

use crate::timestamp::{Instant, instant};

/// One cell, with its text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'t> {
    Null,
    Boolean(&'t str),
    Integer(&'t str, f64),
    Float(&'t str, f64),
    Timestamp(&'t str, Instant),
    Text(&'t str),
    Array(&'t str),
    Object(&'t str),
}

impl<'t> Cell<'t> {
    /// A CSV field: nothing but its text says what it is.
    pub(crate) fn of_field(text: &'t str) -> Self {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Self::Null;
        }
        if matches!(trimmed, "true" | "false" | "TRUE" | "FALSE" | "True" | "False") {
            return Self::Boolean(trimmed);
        }
        Self::number(trimmed).unwrap_or_else(|| Self::of_text(text))
    }

    /// Text that is text: a timestamp at most.
    pub(crate) fn of_text(text: &'t str) -> Self {
        let trimmed = text.trim();
        instant(trimmed).map_or(Self::Text(text), |instant| Self::Timestamp(trimmed, instant))
    }

    /// A number as JSON or CSV writes it.
    pub(crate) fn number(text: &'t str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text).as_bytes();
        match digits {
            // A leading zero is a code (a postcode, an article number), not a number.
            [b'0', b'0'..=b'9', ..] => return None,
            // Names like `inf` would parse as floats.
            [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => {}
            _ => return None,
        }
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
        let whole = digits.iter().all(u8::is_ascii_digit);
        Some(if whole {
            Self::Integer(text, value)
        } else {
            Self::Float(text, value)
        })
    }
}

/// The order of two numbers with their text. Large integers that are one float differ by their digits.
pub(crate) fn by_number((a, a_text): (f64, &str), (b, b_text): (f64, &str)) -> Ordering {
    a.total_cmp(&b).then_with(|| {
        // Asked for each value of a column where all are the same.
        if a_text == b_text {
            return Ordering::Equal;
        }
        integer(a_text)
            .zip(integer(b_text))
            .map_or(Ordering::Equal, |(a, b)| a.cmp(&b))
    })
}

/// Fits every integer that two of one float could be mistaken for in practice; longer ones stay equal.
fn integer(text: &str) -> Option<i128> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_told_apart_by_their_text() {
        assert_eq!(Cell::of_field("  "), Cell::Null);
        assert_eq!(Cell::of_field("TRUE"), Cell::Boolean("TRUE"));
        assert_eq!(Cell::of_field(" -12 "), Cell::Integer("-12", -12.0));
        assert_eq!(Cell::of_field("0"), Cell::Integer("0", 0.0));
        assert_eq!(Cell::of_field("1.5e3"), Cell::Float("1.5e3", 1500.0));
        assert_eq!(Cell::of_field("-.5"), Cell::Float("-.5", -0.5));
        assert_eq!(Cell::of_field("0E1"), Cell::Float("0E1", 0.0));
        assert_eq!(
            Cell::of_field(" 1970-01-02 "),
            Cell::Timestamp("1970-01-02", (86_400, 0))
        );
        for text in [
            "007", "-01", "1e5e", "nan", "inf", "1,000", "12a", "+", "-", ".", "1e999", "0x10",
        ] {
            assert_eq!(Cell::of_field(text), Cell::Text(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn integers_are_ordered_exactly(a in any::<i64>(), near in -3_i64..=3) {
            let b = a.saturating_add(near);
            let (a_text, b_text) = (a.to_string(), b.to_string());
            #[allow(clippy::cast_precision_loss)]
            let order = by_number((a as f64, &a_text), (b as f64, &b_text));
            prop_assert_eq!(order, a.cmp(&b));
        }
    }
}
