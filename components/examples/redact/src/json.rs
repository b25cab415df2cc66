//! What JSON asks of a redaction: escapes stay whole, and a number is replaced by a string.

use crate::scan::at;

/// Whether an odd number of backslashes stands before a place, so that its byte is part of an escape.
pub(crate) fn is_escaped(bytes: &[u8], place: usize) -> bool {
    let before = bytes.get(..place).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Whether an escape (`\n`, `\u00e4`) ends right before a place. Its last letter is no part of the word that follows.
pub(crate) fn follows_escape(bytes: &[u8], place: usize) -> bool {
    let Some(before) = place.checked_sub(1) else {
        return false;
    };
    if matches!(at(bytes, before), b'b' | b'f' | b'n' | b'r' | b't') && is_escaped(bytes, before) {
        return true;
    }
    let Some(letter) = place.checked_sub(5) else {
        return false;
    };
    let digits = bytes.get(letter + 1..place).unwrap_or_default();
    at(bytes, letter) == b'u' && digits.iter().all(u8::is_ascii_hexdigit) && is_escaped(bytes, letter)
}

/// Where the text of a word goes on when its first byte may be the letter of an escape.
pub(crate) fn past_escape(bytes: &[u8], place: usize) -> usize {
    if !is_escaped(bytes, place) {
        return place;
    }
    match at(bytes, place) {
        b'b' | b'f' | b'n' | b'r' | b't' => place + 1,
        b'u' if bytes
            .get(place + 1..place + 5)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
        {
            place + 5
        }
        _ => place,
    }
}

/// A number of a JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// It has a minus sign.
    BelowZero,
    /// It has none.
    Other,
}

/// The number whose digits begin at this place outside of strings; none where JSON has no value, which is how a log line
/// that begins with a bracket (`[INFO] ...`) is told from an array.
pub(crate) fn json_number(bytes: &[u8], digits_at: usize) -> Option<Number> {
    let before = bytes.get(..digits_at).unwrap_or_default();
    let (before, number) = match before.strip_suffix(b"-") {
        Some(before) => (before, Number::BelowZero),
        None => (before, Number::Other),
    };
    let last = before.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t'));
    last.is_some_and(|last| b"[:,\r\n".contains(last)).then_some(number)
}

/// Knows, while the text is walked, whether a place is inside a string of a JSON document.
pub(crate) struct Strings {
    is_json: bool,
    inside: bool,
}

impl Strings {
    /// A text that begins as an object or an array does is taken for JSON, or for JSON lines.
    pub(crate) fn of(text: &str) -> Self {
        Self {
            is_json: text.trim_start().starts_with(['{', '[']),
            inside: false,
        }
    }

    /// Notices the byte at a place. A raw line end is in no string, so each line of JSON lines begins anew.
    pub(crate) fn pass(&mut self, bytes: &[u8], place: usize) {
        match at(bytes, place) {
            b'"' if !self.inside || !is_escaped(bytes, place) => self.inside = !self.inside,
            b'\n' => self.inside = false,
            _ => {}
        }
    }

    /// Whether what stands here may be a value of its own, whose mark would need quotes.
    pub(crate) fn is_bare(&self) -> bool {
        self.is_json && !self.inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_where_json_has_values() {
        for (text, number) in [
            ("[4", Some(Number::Other)),
            ("{\"a\": 4", Some(Number::Other)),
            ("[1,\n\t-4", Some(Number::BelowZero)),
            ("[INFO] 4", None),
            ("[INFO] id -4", None),
        ] {
            assert_eq!(json_number(text.as_bytes(), text.len() - 1), number, "{text}");
        }
    }

    #[test]
    fn escapes_are_told_from_escaped_backslashes() {
        assert!(follows_escape(br"\nX", 2) && follows_escape(br"\u00e4X", 6) && follows_escape(br"\\\nX", 4));
        assert!(!follows_escape(br"\\nX", 3) && !follows_escape(b"nX", 1) && !follows_escape(br"\\u00e4X", 7));
        assert_eq!(past_escape(br"\nX", 1), 2);
        assert_eq!(past_escape(br"\u00e4X", 1), 6);
        assert_eq!(past_escape(br"\\nX", 2), 2);
    }
}
