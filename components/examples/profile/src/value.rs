//! What one cell is, told from its text.

/// One cell. Text that looks like a number counts as one only in CSV, where nothing else says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'t> {
    Null,
    Boolean(&'t str),
    Integer(&'t str, f64),
    Float(&'t str, f64),
    Timestamp(&'t str),
    Text(&'t str),
    Array(&'t str),
}

impl<'t> Cell<'t> {
    /// A CSV field.
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
        if is_timestamp(text.trim()) { Self::Timestamp(text.trim()) } else { Self::Text(text) }
    }

    /// A number as written, in JSON or CSV.
    pub(crate) fn number(text: &'t str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        // `inf`, `nan` and `1e5e` parse as or fail as floats; a leading zero is a code, not a number.
        if !digits.bytes().next()?.is_ascii_digit() && !digits.starts_with('.') {
            return None;
        }
        let code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.") && !digits.starts_with("0e");
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && !code)?;
        let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
        Some(if whole { Self::Integer(text, value) } else { Self::Float(text, value) })
    }
}

/// `2026-11-21`, `2026-11-21T07:55`, with seconds, fractions, a zone or a blank in the middle (ISO 8601, RFC 3339).
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let pattern = |from: usize, pattern: &[u8]| {
        bytes.get(from..from + pattern.len()).is_some_and(|part| {
            part.iter().zip(pattern).all(|(byte, wanted)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted })
        })
    };
    let two = |from: usize| text.get(from..from + 2).and_then(|digits| digits.parse::<u8>().ok());
    if !pattern(0, b"0000-00-00") || !matches!((two(5), two(8)), (Some(1..=12), Some(1..=31))) {
        return false;
    }
    match bytes.get(10) {
        None => true,
        Some(b'T' | b't' | b' ') => {
            let clock = pattern(11, b"00:00") && two(11).is_some_and(|hour| hour < 25);
            let rest = text.get(16..).unwrap_or_default();
            clock && rest.len() <= 24 && rest.bytes().all(|byte| byte.is_ascii_digit() || b":.,+-Zz".contains(&byte))
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_by_their_text() {
        assert_eq!(Cell::of_field("  "), Cell::Null);
        assert_eq!(Cell::of_field("TRUE"), Cell::Boolean("TRUE"));
        assert_eq!(Cell::of_field("-12"), Cell::Integer("-12", -12.0));
        assert_eq!(Cell::of_field("1.5e3"), Cell::Float("1.5e3", 1500.0));
        for text in ["007", "1e5e", "nan", "inf", "1,000", "12a", "+", "-", "1e999"] {
            assert_eq!(Cell::of_field(text), Cell::Text(text), "{text}");
        }
    }

    #[test]
    fn timestamps_have_a_calendar_and_a_clock() {
        for text in ["2026-11-21", "2026-11-21T07:55:47Z", "2026-11-21 07:55", "2026-11-21T07:55:47.123+01:00"] {
            assert_eq!(Cell::of_text(text), Cell::Timestamp(text));
        }
        for text in ["2026-13-01", "2026-11-21T7:55", "2026-11-21x", "20261121", "2026-11-2", "2026-11-21T99:00"] {
            assert_eq!(Cell::of_text(text), Cell::Text(text), "{text}");
        }
    }
}
