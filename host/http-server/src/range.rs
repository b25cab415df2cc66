//! The part of a file that a request asks for (RFC 9110, section 14): one range, so that a broken download goes on.

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue};

/// What of a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of it: no part is named, or what names it is no single range of bytes, or it is one of other content.
    Whole,
    /// One part.
    Part(Part),
    /// A part beyond the end.
    Beyond,
}

/// The first and the last byte of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first byte.
    pub first: u64,
    /// The last byte, which is in the file and not before the first.
    pub last: u64,
}

/// What a request asks for of a file of that size and strong tag. What cannot be made sense of is passed over, as the RFC has
/// it.
pub fn asked(headers: &HeaderMap, size_bytes: u64, tag: &str) -> Asked {
    part(headers, size_bytes, tag).unwrap_or(Asked::Whole)
}

impl Part {
    /// How many bytes it has.
    pub const fn bytes(self) -> u64 {
        self.last - self.first + 1
    }

    /// As the `Content-Range` of an answer says it.
    pub fn content_range(self, size_bytes: u64) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("bytes {}-{}/{size_bytes}", self.first, self.last)).ok()
    }
}

fn part(headers: &HeaderMap, size_bytes: u64, tag: &str) -> Option<Asked> {
    let mut ranges = headers.get_all(RANGE).iter();
    let (range, None) = (ranges.next()?, ranges.next()) else {
        return None;
    };
    // Only the same strong tag means the same bytes; a date never does.
    let tags = headers.get(IF_RANGE);
    if tags.is_some_and(|given| given.as_bytes() != tag.as_bytes()) {
        return None;
    }
    let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = if first.is_empty() {
        (size_bytes - number(last)?.min(size_bytes), u64::MAX)
    } else {
        (number(first)?, if last.is_empty() { u64::MAX } else { number(last)? })
    };
    if last < first {
        return None;
    }
    let part = |end| {
        Asked::Part(Part {
            first,
            last: last.min(end),
        })
    };
    let end = size_bytes.checked_sub(1).filter(|end| first <= *end);
    Some(end.map_or(Asked::Beyond, part))
}

/// Digits and nothing else: no sign, no second range.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"sha256:one\"";

    fn of(range: &str, if_range: Option<&str>) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(tag) = if_range {
            headers.insert(IF_RANGE, HeaderValue::from_str(tag).unwrap());
        }
        asked(&headers, 10, TAG)
    }

    fn part_of(first: u64, last: u64) -> Asked {
        Asked::Part(Part { first, last })
    }

    #[test]
    fn a_part_begins_where_it_is_wanted_and_ends_with_the_file() {
        assert_eq!(of("bytes=4-", None), part_of(4, 9));
        assert_eq!(of("bytes=0-0", None), part_of(0, 0));
        assert_eq!(of("bytes=4-99", Some(TAG)), part_of(4, 9));
        assert_eq!(of("bytes=-3", None), part_of(7, 9));
        assert_eq!(of("bytes=-99", None), part_of(0, 9));
        let part = Part { first: 4, last: 9 };
        assert_eq!(
            (part.bytes(), part.content_range(10).unwrap().as_bytes()),
            (6, &b"bytes 4-9/10"[..])
        );
    }

    #[test]
    fn what_names_no_single_range_of_this_content_means_all_of_it() {
        for odd in [
            "bytes=5-4",
            "bytes=15-14",
            "bytes=-",
            "bytes=",
            "bytes=+1-",
            "bytes=1-2,4-5",
            "items=1-",
            "bytes",
            "bytes=a-",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of(odd, None), Asked::Whole, "{odd}");
        }
        assert_eq!(asked(&HeaderMap::new(), 10, TAG), Asked::Whole);
        for other in ["\"sha256:two\"", "W/\"sha256:one\"", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(of("bytes=4-", Some(other)), Asked::Whole, "{other}");
        }
        let mut twice = HeaderMap::new();
        twice.insert(RANGE, HeaderValue::from_static("bytes=0-"));
        twice.append(RANGE, HeaderValue::from_static("bytes=1-"));
        assert_eq!(asked(&twice, 10, TAG), Asked::Whole);
    }

    #[test]
    fn what_there_is_not_is_told_apart_from_nonsense() {
        for beyond in ["bytes=10-", "bytes=20-30", "bytes=-0"] {
            assert_eq!(of(beyond, None), Asked::Beyond, "{beyond}");
        }
        let mut first = HeaderMap::new();
        first.insert(RANGE, HeaderValue::from_static("bytes=0-"));
        assert_eq!(asked(&first, 0, TAG), Asked::Beyond);
    }
}
