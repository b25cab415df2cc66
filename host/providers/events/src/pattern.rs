//! Which topics a capsule reaches: patterns of segments, `*` for exactly one, `>` at the end for one or more.

use kinetic_ledger::bus::{
    ALL_SEGMENTS, ANY_SEGMENT, DEAD_LETTER_PREFIX, HOST_PREFIX, TOPIC_NAME_BYTES_MAX, topic_matches,
};

use crate::EventsError;

/// The fewest segments of a topic's name: two and a version.
const SEGMENTS_MIN: usize = 3;

/// One pattern: `orders.placed.v1`, `orders.*.v1`, `orders.>`, `>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// Reads a pattern. One that no topic's name can match is refused: its author meant something else.
    pub(crate) fn parse(text: &str) -> Result<Self, EventsError> {
        match fault(text) {
            None => Ok(Self(text.into())),
            Some(why) => Err(EventsError::BadPattern {
                text: text.chars().take(200).collect(),
                why: why.into(),
            }),
        }
    }

    pub(crate) fn matches(&self, topic: &str) -> bool {
        topic_matches(&self.0, topic)
    }

    /// Whether what matches may be published to. Dead letters are made by the bus: a capsule writes among them only where
    /// its manifest names the very topic. What the host alone writes nobody else does.
    pub(crate) fn publishes(&self, topic: &str) -> bool {
        if topic.starts_with(HOST_PREFIX) {
            false
        } else if topic.starts_with(DEAD_LETTER_PREFIX) {
            self.0 == topic
        } else {
            self.matches(topic)
        }
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.len() > TOPIC_NAME_BYTES_MAX + DEAD_LETTER_PREFIX.len() {
        return Some("it is longer than any topic's name");
    }
    let parts: Vec<&str> = text.split('.').collect();
    let (last, before) = parts.split_last()?;
    let name = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if parts.iter().any(|part| part.is_empty()) {
        return Some("a segment is empty");
    }
    if before.contains(&ALL_SEGMENTS) {
        return Some("> stands for all that follows, so it comes last");
    }
    if parts
        .iter()
        .any(|part| ![ANY_SEGMENT, ALL_SEGMENTS].contains(part) && !part.bytes().all(name))
    {
        return Some("a segment is neither * nor > nor of a-z, 0-9, _ and -");
    }
    if *last == ALL_SEGMENTS {
        return None;
    }
    if parts.len() < SEGMENTS_MIN {
        return Some("a topic's name has at least two segments and a version");
    }
    let number = last
        .strip_prefix('v')
        .filter(|number| !number.is_empty() && !number.starts_with('0'));
    let version = number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
    (*last != ANY_SEGMENT && !version).then_some("a topic's name ends in .v and a number from 1 on")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(topic)
    }

    #[test]
    fn a_name_means_itself_and_nothing_else() {
        assert!(matches("orders.placed.v1", "orders.placed.v1"));
        for other in [
            "orders.placed.v10",
            "orders.placed.v2",
            "orders.placed",
            "x.orders.placed.v1",
            "orders.placed.v1.v1",
        ] {
            assert!(!matches("orders.placed.v1", other), "{other}");
        }
    }

    #[test]
    fn a_star_is_exactly_one_segment() {
        assert!(matches("orders.*.v1", "orders.placed.v1") && matches("*.*.*", "a.b.v1"));
        for other in ["orders.v1", "orders.placed.late.v1", "orders..v1", "orders.placed.v2"] {
            assert!(!matches("orders.*.v1", other), "{other}");
        }
    }

    #[test]
    fn an_arrow_at_the_end_is_one_segment_or_more() {
        assert!(matches("orders.>", "orders.placed.v1") && matches("orders.placed.>", "orders.placed.v1"));
        assert!(matches(">", "a.b.v1") && matches("*.placed.>", "orders.placed.late.v1"));
        for other in ["orders", "orders.", "ordersplaced.a.v1", "x.orders.placed.v1"] {
            assert!(!matches("orders.>", other), "{other}");
        }
    }

    #[test]
    fn dead_letters_are_published_to_by_their_name_only() {
        let publishes = |pattern: &str| Pattern::parse(pattern).unwrap().publishes("deadletter.a.b.v1");
        assert!(publishes("deadletter.a.b.v1"));
        for wide in [">", "deadletter.>", "*.a.b.v1", "deadletter.a.b.*"] {
            assert!(!publishes(wide), "{wide}");
            assert!(matches(wide, "deadletter.a.b.v1"), "{wide} can be read");
        }
    }

    #[test]
    fn nonsense_and_what_no_topic_matches_is_refused() {
        let long = format!("{}.v1", "a.".repeat(120));
        for bad in [
            "", ".", "a", "*", "a.b", "a.>.v1", "a..v1", "a.b.v0", "a.b.v01", "a.b.v", "a.b.c", "a.B.v1", "a.b*.v1",
            "a.b.>>", "a b.c.v1", &long,
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }
}
