//! What a page is by its media type, and its bytes as text.

use std::borrow::Cow;

/// What is done with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// It is made readable.
    Html,
    /// It is handed on as it is.
    Text,
    /// It is not read.
    Other,
    /// The server does not say; the bytes do.
    Unknown,
}

impl Media {
    /// Told from a Content-Type header.
    pub fn of(content_type: &str) -> Self {
        let media = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match media.as_str() {
            "" => Self::Unknown,
            "text/html" | "application/xhtml+xml" => Self::Html,
            "application/json"
            | "application/x-ndjson"
            | "application/xml"
            | "application/javascript"
            | "application/yaml"
            | "application/toml" => Self::Text,
            other if other.starts_with("text/") || other.ends_with("+json") || other.ends_with("+xml") => Self::Text,
            _ => Self::Other,
        }
    }

    /// Told from the bytes where the header left it open: binary data has zeros in it, HTML begins with a tag.
    #[must_use]
    pub fn or_of_bytes(self, bytes: &[u8]) -> Self {
        match self {
            Self::Unknown if bytes.contains(&0) => Self::Other,
            Self::Unknown if bytes.trim_ascii_start().starts_with(b"<") => Self::Html,
            Self::Unknown => Self::Text,
            known => known,
        }
    }
}

/// The bytes as UTF-8, what is none replaced; a character that the cut went through is left out.
pub fn utf8(mut bytes: &[u8], truncated: bool) -> Cow<'_, str> {
    if truncated {
        // A character is one leading byte and at most three that continue it.
        let continued = bytes
            .iter()
            .rev()
            .take(3)
            .take_while(|byte| matches!(byte, 0x80..=0xbf))
            .count();
        let (head, tail) = bytes
            .split_at_checked(bytes.len().saturating_sub(continued + 1))
            .unwrap_or((bytes, b""));
        if std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none()) {
            bytes = head;
        }
    }
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn media_types_say_what_is_text() {
        for (content_type, media) in [
            ("Text/HTML; charset=utf-8", Media::Html),
            ("application/xhtml+xml", Media::Html),
            ("text/plain", Media::Text),
            ("application/ld+json", Media::Text),
            ("image/svg+xml", Media::Text),
            ("image/png", Media::Other),
            ("application/octet-stream", Media::Other),
            (" ; x", Media::Unknown),
        ] {
            assert_eq!(Media::of(content_type), media, "{content_type}");
        }
    }

    #[test]
    fn bytes_say_it_where_the_server_does_not() {
        assert_eq!(Media::Unknown.or_of_bytes(b"\n <!doctype html>"), Media::Html);
        assert_eq!(Media::Unknown.or_of_bytes(b"hello"), Media::Text);
        assert_eq!(Media::Unknown.or_of_bytes(b"\x89PNG\0"), Media::Other);
        assert_eq!(Media::Text.or_of_bytes(b"<p>"), Media::Text);
    }

    #[test]
    fn what_is_no_utf_8_is_replaced() {
        assert_eq!(utf8(b"\xef\xbb\xbfa\xffb\xc3", false), "a\u{fffd}b\u{fffd}");
    }

    proptest! {
        #[test]
        fn a_cut_text_is_the_beginning_of_the_whole(text in "(\\PC|[aüд€😀]){0,20}", at in 0_usize..80) {
            let text = text.trim_start_matches('\u{feff}');
            let at = at.min(text.len());
            let cut = utf8(&text.as_bytes()[..at], true);
            prop_assert!(text.starts_with(&*cut) && cut.len() + 3 >= at);
        }

        #[test]
        fn any_bytes_are_some_text(bytes in proptest::collection::vec(any::<u8>(), 0..50), truncated: bool) {
            let _ = utf8(&bytes, truncated);
        }
    }
}
