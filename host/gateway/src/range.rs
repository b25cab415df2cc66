//! Parts of a component: which one a request wants, as RFC 9110 (14) has it. Whoever asks for anything else gets all of it.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};
use kinetic_registry::RegistryError;

/// The first and the last byte of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Part {
    /// The part that a request wants of something of that size and name; none when it wants all of it, wants it of other
    /// content, or wants what there is not: a server may leave a range aside.
    pub(crate) fn of(headers: &HeaderMap, size_bytes: u64, tag: &str) -> Option<Self> {
        let mut ranges = headers.get_all(RANGE).iter();
        let (range, None) = (ranges.next()?, ranges.next()) else {
            return None;
        };
        // Only the same strong tag means the same bytes; a date never does.
        let same = headers
            .get(IF_RANGE)
            .is_none_or(|value| value.as_bytes() == tag.as_bytes());
        let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
        let end = size_bytes.checked_sub(1)?;
        let part = if first.is_empty() {
            let bytes = number(last)?.min(size_bytes);
            Self {
                first: size_bytes - bytes,
                last: end,
            }
        } else {
            let last = if last.is_empty() { end } else { number(last)?.min(end) };
            Self {
                first: number(first)?,
                last,
            }
        };
        (same && part.first <= part.last).then_some(part)
    }

    /// How many bytes it has.
    pub(crate) const fn bytes(self) -> u64 {
        self.last - self.first + 1
    }
}

/// Digits and nothing else: no sign, no second range.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// The first so many bytes of a stream.
pub(crate) fn first_bytes<S>(bytes: S, count: u64) -> impl Stream<Item = Result<Bytes, RegistryError>> + Send
where
    S: Stream<Item = Result<Bytes, RegistryError>> + Send + Unpin,
{
    stream::unfold((bytes, count), |(mut bytes, left)| async move {
        if left == 0 {
            return None;
        }
        let next = bytes.next().await?;
        let next = next.map(|mut chunk| {
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            chunk
        });
        let taken = next.as_ref().map_or(left, |chunk| chunk.len() as u64);
        Some((next, (bytes, left - taken)))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TAG: &str = "\"sha256:one\"";

    fn of(range: &str, if_range: Option<&str>) -> Option<(u64, u64)> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(tag) = if_range {
            headers.insert(IF_RANGE, HeaderValue::from_str(tag).unwrap());
        }
        Part::of(&headers, 10, TAG).map(|part| (part.first, part.last))
    }

    #[test]
    fn a_part_begins_where_it_is_wanted_and_ends_with_the_component() {
        assert_eq!(of("bytes=4-", None), Some((4, 9)));
        assert_eq!(of("bytes=0-0", None), Some((0, 0)));
        assert_eq!(of("bytes=4-99", Some(TAG)), Some((4, 9)));
        assert_eq!(of("bytes=-3", None), Some((7, 9)));
        assert_eq!(of("bytes=-99", None), Some((0, 9)));
    }

    #[test]
    fn whoever_wants_what_there_is_not_gets_all_of_it() {
        for odd in [
            "bytes=10-",
            "bytes=5-4",
            "bytes=-0",
            "bytes=-",
            "bytes=+1-",
            "bytes=1-2,4-5",
            "items=1-",
            "bytes",
            "bytes=a-",
        ] {
            assert_eq!(of(odd, None), None, "{odd}");
        }
        assert_eq!(Part::of(&HeaderMap::new(), 10, TAG), None);
        for other in ["\"sha256:two\"", "W/\"sha256:one\"", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            assert_eq!(of("bytes=4-", Some(other)), None, "{other}");
        }
        let mut empty = HeaderMap::new();
        empty.insert(RANGE, HeaderValue::from_static("bytes=0-"));
        assert_eq!(Part::of(&empty, 0, TAG), None);
        empty.append(RANGE, HeaderValue::from_static("bytes=1-"));
        assert_eq!(Part::of(&empty, 10, TAG), None);
    }

    #[tokio::test]
    async fn a_stream_ends_after_so_many_bytes_wherever_its_pieces_end() {
        for count in 0..=6_u64 {
            let pieces = ["ab", "", "cd", "ef"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
            let taken: Vec<_> = first_bytes(stream::iter(pieces), count).collect().await;
            let taken: Vec<u8> = taken.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
            assert_eq!(taken, b"abcdef"[..usize::try_from(count).unwrap()]);
        }
    }
}
