//! The words an event may use for its topic, its priority and its tier.

/// Where events go that name no topic.
pub const DEFAULT_TOPIC: &str = "telemetry.events.v1";

/// The longest name of a topic and of one of its segments, in bytes: the bus takes no longer ones.
const TOPIC_BYTES_MAX: usize = 200;
const SEGMENT_BYTES_MAX: usize = 64;

pub(super) const INFO: u8 = 1;
pub(super) const METRIC: u8 = 2;
pub(super) const WARNING: u8 = 3;

const PRIORITIES: [&str; 5] = ["DEBUG", "INFO", "METRIC", "WARNING", "CRITICAL"];

const TIERS: [[&str; 2]; 4] = [
    ["D0", "D0_bit_exact"],
    ["D1", "D1_numerically_stable"],
    ["D2", "D2_soft_deterministic"],
    ["NX", "NX_experimental"],
];

/// The highest priority, of critical events.
pub const PRIORITY_MAX: u8 = 4;

/// The name of a priority.
pub fn priority_name(number: u8) -> Option<&'static str> {
    PRIORITIES.get(usize::from(number)).copied()
}

/// The number of a priority's name, in any case.
pub fn priority(name: &str) -> Option<u8> {
    place(&PRIORITIES, |word| word.eq_ignore_ascii_case(name))
}

/// A number that is a priority's.
pub(super) fn priority_number(number: u64) -> Option<u8> {
    below(number, PRIORITIES.len())
}

/// The number of a determinism tier's name.
pub(super) fn tier(name: &str) -> Option<u8> {
    place(&TIERS, |words| words.iter().any(|word| word.eq_ignore_ascii_case(name)))
}

/// A number that is a tier's.
pub(super) fn tier_number(number: u64) -> Option<u8> {
    below(number, TIERS.len())
}

fn place<T>(words: &[T], is: impl Fn(&T) -> bool) -> Option<u8> {
    words.iter().position(is).and_then(|place| u8::try_from(place).ok())
}

fn below(number: u64, count: usize) -> Option<u8> {
    u8::try_from(number).ok().filter(|number| usize::from(*number) < count)
}

/// Whether the bus takes a topic of this name: `seg(.seg)+.vN`.
pub(crate) fn is_topic(name: &str) -> bool {
    let Some((path, version)) = name.rsplit_once('.') else {
        return false;
    };
    let number = version.strip_prefix('v').unwrap_or_default();
    let numbered =
        matches!(number.len(), 1..=9) && !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    numbered && name.len() <= TOPIC_BYTES_MAX && path.contains('.') && path.split('.').all(is_segment)
}

fn is_segment(segment: &str) -> bool {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    matches!(segment.len(), 1..=SEGMENT_BYTES_MAX) && segment.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_follow_the_grammar_of_the_bus() {
        for good in ["telemetry.events.v1", "a.b.c-d_e.9.v120", "deadletter.a.b.v1"] {
            assert!(is_topic(good), "{good}");
        }
        let long = format!("a.{}.v1", "b".repeat(65));
        for bad in [
            "", "a", "a.v1", "a.b", "a.b.v0", "a.b.v", "a.b.v1x", "a.b.1", "A.b.v1", "a..v1", ".a.v1", &long,
        ] {
            assert!(!is_topic(bad), "{bad}");
        }
    }

    #[test]
    fn priorities_and_tiers_have_names_in_any_case() {
        assert_eq!(priority("critical"), Some(4));
        assert_eq!(priority("Debug"), Some(0));
        assert_eq!(priority("loud"), None);
        assert_eq!(
            (priority_number(4), priority_number(5), priority_number(u64::MAX)),
            (Some(4), None, None)
        );
        assert_eq!(tier("D0_bit_exact"), Some(0));
        assert_eq!(tier("nx"), Some(3));
        assert_eq!(tier("D3"), None);
        assert_eq!((tier_number(3), tier_number(4)), (Some(3), None));
    }
}
