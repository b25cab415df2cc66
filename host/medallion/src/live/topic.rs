//! Which topics are wanted: patterns of segments, `*` for exactly one, `>` at the end for one or more, as on the bus.

use crate::MedallionError;

const ONE: &str = "*";
const REST: &str = ">";
/// The longest pattern, in bytes: no topic's name is longer.
const PATTERN_BYTES_MAX: usize = 200;

/// One pattern: `telemetry.events.v1`, `telemetry.*.v1`, `telemetry.>`, `>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicPattern(String);

impl TopicPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`MedallionError::BadFilter`] for what is none.
    pub(super) fn parse(text: &str) -> Result<Self, MedallionError> {
        match fault(text) {
            None => Ok(Self(text.into())),
            Some(why) => Err(MedallionError::BadFilter {
                what: text
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(PATTERN_BYTES_MAX)
                    .collect(),
                why: why.into(),
            }),
        }
    }

    /// Whether a topic is meant.
    pub(super) fn matches(&self, topic: &str) -> bool {
        let mut segments = topic.split('.');
        for part in self.0.split('.') {
            let Some(segment) = segments.next() else { return false };
            match part {
                REST => return !segment.is_empty(),
                ONE if !segment.is_empty() => {}
                exact if exact == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.len() > PATTERN_BYTES_MAX {
        return Some("it is longer than any topic's name");
    }
    let name = |part: &str| {
        let byte = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        !part.is_empty() && part.bytes().all(byte)
    };
    let parts: Vec<&str> = text.split('.').collect();
    let (_, before) = parts.split_last()?;
    if before.contains(&REST) {
        return Some("> stands for all that follows, so it comes last");
    }
    let good = parts.iter().all(|part| [ONE, REST].contains(part) || name(part));
    (!good).then_some("a segment is neither * nor > nor of a-z, 0-9, _ and -")
}
