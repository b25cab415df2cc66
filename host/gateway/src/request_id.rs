//! The id of a request: the client's own when it is harmless, else a UUID of version 7 made without a system call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header an id comes and goes in.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id taken from a client, in bytes.
const CLIENT_ID_BYTES_MAX: usize = 128;

/// The id of one request. Plain visible ASCII, at most 128 bytes.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// Makes ids: the time, and numbers that no other request of this process has. They need not be hard to guess.
pub(crate) struct RequestIds {
    seed: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> Self {
        Self {
            seed: uuid::Uuid::now_v7().as_u64_pair().1,
            count: AtomicU64::new(0),
        }
    }

    /// The client's id, or a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        match headers.get(HEADER) {
            Some(value) if is_harmless(value.as_bytes()) => RequestId(value.clone()),
            _ => self.make(),
        }
    }

    fn make(&self) -> RequestId {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (high, low) = (mix(self.seed ^ count), mix(self.seed.wrapping_add(count)));
        let mut random = [0; 10];
        let (first, rest) = random.split_at_mut(8);
        first.copy_from_slice(&low.to_be_bytes());
        rest.copy_from_slice(&high.to_be_bytes()[..2]);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = id.hyphenated().encode_lower(&mut text);
        // A UUID is always a valid header.
        RequestId(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-")))
    }
}

/// The finaliser of SplitMix64: neighbours become unlike each other, and no two become alike.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn is_harmless(id: &[u8]) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !id.is_empty() && id.len() <= CLIENT_ID_BYTES_MAX && id.iter().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn made_ids_are_uuids_of_version_7_and_none_comes_twice() {
        let ids = RequestIds::new();
        let made: HashSet<_> = (0..10_000)
            .map(|_| ids.of(&HeaderMap::new()).as_str().to_string())
            .collect();
        assert_eq!(made.len(), 10_000);
        let id: uuid::Uuid = made.iter().next().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
    }

    #[test]
    fn a_clients_id_is_kept_when_it_is_harmless() {
        let ids = RequestIds::new();
        let of = |text: &str| {
            let headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_str(text).unwrap())]);
            ids.of(&headers).as_str() == text
        };
        assert!(of("trace-1.a_B"));
        assert!(!of("") && !of("a b") && !of("<script>") && !of(&"x".repeat(129)));
    }
}
