//! The forms of CloudEvents attributes: text, URI, timestamp, media type, name.

/// Whether a text has only what CloudEvents allows in strings: no control characters, no code points that are not
/// characters.
pub(super) fn is_text(text: &str) -> bool {
    let forbidden = |c: char| {
        let code = u32::from(c);
        c.is_control() || code & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&code)
    };
    if text.is_ascii() {
        text.bytes().all(|b| (0x20..0x7f).contains(&b))
    } else {
        !text.chars().any(forbidden)
    }
}

/// Whether a text can be a URI reference (RFC 3986): no white space and none of the characters it rules out.
pub(super) fn is_uri_reference(text: &str) -> bool {
    let forbidden = |b: u8| b <= b' ' || b == 0x7f || br#"<>"{}|\^`"#.contains(&b);
    !text.is_empty() && is_text(text) && !text.bytes().any(forbidden)
}

/// Whether a text can be a URI: a reference that begins with a scheme.
pub(super) fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme.as_bytes());
    let good = |scheme: &[u8]| {
        scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
    };
    is_uri_reference(text) && scheme.is_some_and(good)
}

/// Whether a text can be a media type (RFC 2046): two tokens, then anything printable.
pub(super) fn is_media_type(text: &str) -> bool {
    let essence = essence(text);
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let parts = essence.split_once('/');
    text.is_ascii() && is_text(text) && parts.is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

/// Whether data of this media type is JSON; none means that it is.
pub(super) fn is_json(media_type: Option<&str>) -> bool {
    let Some(media_type) = media_type else { return true };
    let essence = essence(media_type).to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn essence(media_type: &str) -> &str {
    media_type
        .split_once(';')
        .map_or(media_type, |(essence, _)| essence)
        .trim_end()
}

/// Whether a text can be the name of an attribute: lower-case letters and digits.
pub(super) fn is_name(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Whether a text is a timestamp of RFC 3339.
pub(super) fn is_timestamp(text: &str) -> bool {
    timestamp(text.as_bytes()).is_some()
}

fn timestamp(text: &[u8]) -> Option<()> {
    let (date, rest) = text.split_at_checked(10)?;
    let (year, date) = date.split_at_checked(4)?;
    let [b'-', m1, m2, b'-', d1, d2] = date else {
        return None;
    };
    let (clock, rest) = rest.split_at_checked(9)?;
    let [b'T' | b't', h1, h2, b':', n1, n2, b':', s1, s2] = clock else {
        return None;
    };
    let year = number(year)?;
    let month = number(&[*m1, *m2])?;
    let day = number(&[*d1, *d2])?;
    let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*n1, *n2])?, number(&[*s1, *s2])?);
    let good = (1..=days(year, month)).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let rest = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if !(1..=18).contains(&digits) {
                return None;
            }
            fraction.get(digits..)?
        }
    };
    let zone = match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => number(&[*h1, *h2])? < 24 && number(&[*m1, *m2])? < 60,
        _ => false,
    };
    (good && zone).then_some(())
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

const fn days(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_those_of_rfc_3339() {
        for good in [
            "1985-04-12T23:20:50.52Z",
            "1996-12-19T16:39:57-08:00",
            "1990-12-31T23:59:60Z",
            "2024-02-29T00:00:00+00:00",
            "2000-02-29t00:00:00z",
            "0000-01-01T00:00:00Z",
        ] {
            assert!(is_timestamp(good), "{good}");
        }
        for bad in [
            "",
            "2024",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-32T00:00:00Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:61Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+0000",
            "2024-00-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:00ZZ",
            "2024-01-01T00:00:00ä",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
    }

    #[test]
    fn uris_media_types_and_names_are_told_from_other_text() {
        assert!(is_uri_reference("/sensors/1") && is_uri_reference("urn:a:b") && is_uri_reference("https://a.b/c?d#e"));
        assert!(!is_uri_reference("") && !is_uri_reference("a b") && !is_uri_reference("<a>"));
        assert!(is_uri("urn:a") && !is_uri("/a") && !is_uri("1a:b") && !is_uri(":b"));
        assert!(is_media_type("text/plain; charset=utf-8") && is_media_type("application/cloudevents+json"));
        assert!(!is_media_type("text") && !is_media_type("/a") && !is_media_type("a/b/c") && !is_media_type("text/ä"));
        assert!(is_json(None) && is_json(Some("Application/JSON; x=y")) && is_json(Some("a/b+json")));
        assert!(!is_json(Some("text/plain")) && !is_json(Some("application/jsonlines")));
        assert!(
            is_name("traceparent") && !is_name("") && !is_name("A") && !is_name("a_b") && !is_name(&"a".repeat(21))
        );
        assert!(
            is_text("Grüße 😀")
                && !is_text("a\u{0}")
                && !is_text("\u{85}")
                && !is_text("\u{fffe}")
                && !is_text("\u{7f}")
        );
    }
}
