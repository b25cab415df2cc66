//! The part of a component that a request asks for (RFC 9110, section 14): one range, so that a broken download goes on.

use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName};

use crate::ServerError;

/// From which byte, and to before which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What is asked for of so many bytes with that tag: none means all. What is no single range of bytes is passed over, as the
/// RFC has it.
pub(crate) fn asked(headers: &HeaderMap, size_bytes: u64, tag: &str) -> Result<Option<Part>, ServerError> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(range) = text(RANGE).and_then(|range| range.strip_prefix("bytes=")) else {
        return Ok(None);
    };
    // Another component than the one that was begun.
    if text(IF_RANGE).is_some_and(|given| given != tag) {
        return Ok(None);
    }
    let Some((from, to)) = range.trim().split_once('-') else {
        return Ok(None);
    };
    let nothing = ServerError::NoSuchRange { size_bytes };
    if from.is_empty() {
        let Ok(last) = to.parse::<u64>() else { return Ok(None) };
        let from = size_bytes.saturating_sub(last);
        return part(from, size_bytes).map_or(Err(nothing), |part| Ok(Some(part)));
    }
    let Ok(from) = from.parse::<u64>() else { return Ok(None) };
    let to = match to {
        "" => size_bytes,
        to => match to.parse::<u64>() {
            Ok(to) if to >= from => to.saturating_add(1).min(size_bytes),
            _ => return Ok(None),
        },
    };
    part(from, to).map_or(Err(nothing), |part| Ok(Some(part)))
}

fn part(from: u64, to: u64) -> Option<Part> {
    (from < to).then_some(Part { from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str, if_range: Option<&str>) -> Result<Option<Part>, ServerError> {
        let mut headers = HeaderMap::from_iter([(RANGE, range.parse().unwrap())]);
        if let Some(tag) = if_range {
            headers.insert(IF_RANGE, tag.parse().unwrap());
        }
        asked(&headers, 100, "\"tag\"")
    }

    #[test]
    fn one_range_is_given_and_what_is_none_means_all() {
        let is = |from, to| Ok(Some(Part { from, to }));
        assert_eq!(of("bytes=10-", None), is(10, 100));
        assert_eq!(of("bytes=0-0", None), is(0, 1));
        assert_eq!(of("bytes=90-500", None), is(90, 100));
        assert_eq!(of("bytes=-30", None), is(70, 100));
        assert_eq!(of("bytes=10-", Some("\"tag\"")), is(10, 100));
        assert_eq!(of("bytes=10-", Some("\"other\"")), Ok(None));
        for all in [
            "bytes=5-4",
            "bytes=a-b",
            "items=1-2",
            "bytes=1-2,4-5",
            "bytes=",
            "bytes=-",
        ] {
            assert_eq!(of(all, None), Ok(None), "{all}");
        }
        for beyond in ["bytes=100-", "bytes=200-300", "bytes=-0"] {
            assert_eq!(
                of(beyond, None),
                Err(ServerError::NoSuchRange { size_bytes: 100 }),
                "{beyond}"
            );
        }
    }
}
