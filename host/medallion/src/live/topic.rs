//! Which topics are wanted: patterns of segments, `*` for exactly one, `>` at the end for one or more, as on the bus.

use kinetic_ledger::bus::{ALL_SEGMENTS, ANY_SEGMENT, TOPIC_NAME_BYTES_MAX, topic_matches};

use crate::MedallionError;

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
                    .take(TOPIC_NAME_BYTES_MAX)
                    .collect(),
                why: why.into(),
            }),
        }
    }

    /// Whether a topic is meant.
    pub(super) fn matches(&self, topic: &str) -> bool {
        topic_matches(&self.0, topic)
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.len() > TOPIC_NAME_BYTES_MAX {
        return Some("it is longer than any topic's name");
    }
    let name = |part: &str| {
        let byte = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        !part.is_empty() && part.bytes().all(byte)
    };
    let parts: Vec<&str> = text.split('.').collect();
    let (_, before) = parts.split_last()?;
    if before.contains(&ALL_SEGMENTS) {
        return Some("> stands for all that follows, so it comes last");
    }
    let good = parts
        .iter()
        .all(|part| [ANY_SEGMENT, ALL_SEGMENTS].contains(part) || name(part));
    (!good).then_some("a segment is neither * nor > nor of a-z, 0-9, _ and -")
}
