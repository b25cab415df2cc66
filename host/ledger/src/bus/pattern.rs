//! Patterns of topics: `*` stands for exactly one segment, `>` at the end for one or more.

/// The segment that stands for any one.
pub const ANY_SEGMENT: &str = "*";
/// The last segment that stands for all that follow.
pub const ALL_SEGMENTS: &str = ">";

/// Whether a topic is meant by a pattern, such as `orders.placed.v1`, `orders.*.v1`, `orders.>` or `>`.
pub fn topic_matches(pattern: &str, topic: &str) -> bool {
    let mut segments = topic.split('.');
    for part in pattern.split('.') {
        let Some(segment) = segments.next() else { return false };
        match part {
            ALL_SEGMENTS => return !segment.is_empty(),
            ANY_SEGMENT if !segment.is_empty() => {}
            exact if exact == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}
