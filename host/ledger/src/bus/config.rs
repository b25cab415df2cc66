//! What a topic is: its name and its settings.

use std::sync::Arc;
use std::time::Duration;

use kinetic_model::{Determinism, Digest};
use serde::{Deserialize, Serialize};

use super::envelope::DATA_BYTES_MAX;
use crate::{Durability, LedgerError};

/// The most partitions of one topic.
pub const PARTITIONS_MAX: u16 = 1024;
/// The longest name of a topic, in bytes; names of dead-letter topics may be longer by their prefix.
pub const TOPIC_NAME_BYTES_MAX: usize = 200;
/// What stands before a topic's name in the name of the topic that takes its dead letters.
pub const DEAD_LETTER_PREFIX: &str = "deadletter.";
/// What topics begin with that the host alone writes, such as that of its telemetry.
pub const HOST_PREFIX: &str = "kinetic.";

const SEGMENT_BYTES_MAX: usize = 64;
const BUFFER_EVENTS_MAX: u32 = 10_000_000;
const BUFFER_BYTES_MIN: u64 = 2 * DATA_BYTES_MAX;
const BUFFER_BYTES_MAX: u64 = 16 << 30;
const MS_MAX: u64 = 24 * 3600 * 1000;

/// How often an event reaches a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Qos {
    /// Once or not at all. The topic is in memory only; who is not there misses it.
    AtMostOnce,
    /// Until it is acknowledged, so maybe more than once.
    #[default]
    AtLeastOnce,
    /// Its effect happens once: offset, writes and outputs are one commit.
    ExactlyOnce,
}

/// Which events keep their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// No promise is asked for. (Partitions keep their order anyway.)
    None,
    /// Those with the same key: they are in the same partition. Events without a key are spread.
    #[default]
    PerKey,
    /// An event comes after those it was caused by. Needs a single partition, whose order is that of the log.
    Causal,
    /// All. Needs a single partition.
    Total,
}

/// What happens when the slowest consumer does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backpressure {
    /// Publishers wait.
    Block,
    /// The oldest events are dropped, counted and recorded. For topics in memory.
    DropOldest,
    /// The newest events are dropped, counted and recorded. For topics in memory.
    DropNewest,
    /// Publishers wait while the slowest consumer makes progress; when it does not, as `drop_oldest` for topics in
    /// memory and as `spill` for the others.
    Adaptive,
    /// The slow consumer reads on from the log, and nobody waits. For topics in the log.
    Spill,
}

/// Which schemas may follow a topic's present one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    /// Any.
    None,
    /// Those that accept all that the present one accepts: new consumers read old events.
    #[default]
    Backward,
    /// Those that accept nothing that the present one refuses: old consumers read new events.
    Forward,
    /// Both.
    Full,
}

impl Compatibility {
    /// The word used in settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Full => "full",
        }
    }
}

/// The settings of a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicConfig {
    /// How many partitions it has, 1 to 1024; default 1. It never changes: keys would move.
    pub partitions: u16,
    /// How often an event reaches a consumer; default `at_least_once`.
    pub qos: Qos,
    /// Which events keep their order; default `per_key`.
    pub ordering: Ordering,
    /// Whether events are checked against the schema when they are published; default no. Needs a schema.
    pub critical: bool,
    /// The schema of the events' data; default none.
    pub schema: Option<Digest>,
    /// Which schemas may follow that one; default `backward`.
    pub compatibility: Compatibility,
    /// How repeatable its consumers are; default no promise. D0 and D1 topics are in the log and lose nothing.
    pub determinism: Option<Determinism>,
    /// After what a publication is acknowledged; default `memory` for at-most-once topics, else `synced`.
    pub durability: Option<Durability>,
    /// What happens when the slowest consumer does not keep up; default `drop_oldest` for topics in memory, else `spill`.
    pub backpressure: Option<Backpressure>,
    /// How many events the slowest consumer may be behind, 1 to 10 million; default 10,000.
    pub buffer_events: u32,
    /// How many bytes of events a topic in memory holds, 8 MiB to 16 GiB; default 64 MiB.
    pub buffer_bytes: u64,
    /// From this part of the buffer on publishers are held back; default 0.8.
    pub watermark_high: f64,
    /// Down to this part of the buffer they still are; default 0.5.
    pub watermark_low: f64,
    /// How long a publisher waits, in milliseconds; default 5,000.
    pub publish_timeout_ms: u64,
    /// How often an event is delivered to a group before it becomes a dead letter; 0 means without end; default 5.
    pub max_deliveries: u32,
    /// How long a group has for acknowledging an event before it is delivered again, in milliseconds; default 30,000.
    pub ack_timeout_ms: u64,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 1,
            qos: Qos::default(),
            ordering: Ordering::default(),
            critical: false,
            schema: None,
            compatibility: Compatibility::default(),
            determinism: None,
            durability: None,
            backpressure: None,
            buffer_events: 10_000,
            buffer_bytes: 64 << 20,
            watermark_high: 0.8,
            watermark_low: 0.5,
            publish_timeout_ms: 5_000,
            max_deliveries: 5,
            ack_timeout_ms: 30_000,
        }
    }
}

impl TopicConfig {
    /// Whether the topic is kept in memory only.
    pub fn in_memory(&self) -> bool {
        self.qos == Qos::AtMostOnce
    }

    /// After what a publication is acknowledged.
    pub fn effective_durability(&self) -> Durability {
        let default = if self.in_memory() {
            Durability::Memory
        } else {
            Durability::Synced
        };
        self.durability.unwrap_or(default)
    }

    /// What happens when the slowest consumer does not keep up.
    pub fn effective_backpressure(&self) -> Backpressure {
        let default = if self.in_memory() {
            Backpressure::DropOldest
        } else {
            Backpressure::Spill
        };
        self.backpressure.unwrap_or(default)
    }

    pub(super) fn publish_timeout(&self) -> Duration {
        Duration::from_millis(self.publish_timeout_ms)
    }

    pub(super) fn ack_timeout(&self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms)
    }

    /// The settings of the topic that takes the dead letters of one with these settings.
    pub(super) fn of_dead_letters(&self) -> Self {
        Self {
            durability: self.durability,
            max_deliveries: 0,
            ..Self::default()
        }
    }

    /// Whether the settings of a topic by that name fit together.
    pub(super) fn check(&self, topic: &str) -> Result<(), LedgerError> {
        self.contradiction(topic).map_or(Ok(()), |why| {
            Err(LedgerError::InvalidTopicConfig {
                topic: topic.into(),
                why: why.into(),
            })
        })
    }

    fn contradiction(&self, topic: &str) -> Option<&'static str> {
        let memory = self.in_memory();
        let exact = matches!(
            self.determinism,
            Some(Determinism::D0BitExact | Determinism::D1NumericallyStable)
        );
        let backpressure = self.effective_backpressure();
        let drops = matches!(backpressure, Backpressure::DropOldest | Backpressure::DropNewest);
        let single = matches!(self.ordering, Ordering::Causal | Ordering::Total);
        let (low, high) = (self.watermark_low, self.watermark_high);
        let rules = [
            (
                !(1..=PARTITIONS_MAX).contains(&self.partitions),
                "partitions is not from 1 to 1024",
            ),
            (
                single && self.partitions != 1,
                "causal and total ordering need partitions = 1",
            ),
            (
                memory != (self.effective_durability() == Durability::Memory),
                "durability memory and qos at_most_once belong together",
            ),
            (
                exact && memory,
                "D0 and D1 topics must be replayable, so qos at_most_once is not for them",
            ),
            (
                exact && !matches!(backpressure, Backpressure::Block | Backpressure::Spill),
                "D0 and D1 topics only block or spill",
            ),
            (
                drops && !memory,
                "topics in the log drop nothing: use block, spill or adaptive",
            ),
            (
                backpressure == Backpressure::Spill && memory,
                "topics in memory have no log to spill to",
            ),
            (
                self.critical && self.schema.is_none(),
                "a critical topic needs a schema",
            ),
            (
                !(1..=BUFFER_EVENTS_MAX).contains(&self.buffer_events),
                "buffer_events is not from 1 to 10,000,000",
            ),
            (
                !(BUFFER_BYTES_MIN..=BUFFER_BYTES_MAX).contains(&self.buffer_bytes),
                "buffer_bytes is not from 8 MiB to 16 GiB",
            ),
            (
                !(low > 0.0 && low < high && high <= 1.0),
                "the watermarks are not 0 < watermark_low < watermark_high <= 1",
            ),
            (
                self.publish_timeout_ms > MS_MAX,
                "publish_timeout_ms is more than a day",
            ),
            (
                !(1..=MS_MAX).contains(&self.ack_timeout_ms),
                "ack_timeout_ms is not from 1 ms to a day",
            ),
            (
                topic.starts_with(DEAD_LETTER_PREFIX) && (memory || self.max_deliveries != 0),
                "a dead-letter topic is in the log, and has no dead letters of its own: max_deliveries = 0",
            ),
        ];
        rules.into_iter().find_map(|(broken, why)| broken.then_some(why))
    }

    /// Whether these settings may replace those ones. Schemas are compared elsewhere.
    pub(super) fn check_successor(&self, topic: &str, next: &Self) -> Result<(), LedgerError> {
        let why = if self.partitions != next.partitions {
            "its number of partitions decides where keys go"
        } else if self.in_memory() != next.in_memory() {
            "it is kept in memory only, or in the log, from its beginning on"
        } else {
            return Ok(());
        };
        Err(LedgerError::TopicFixed {
            topic: topic.into(),
            why: why.into(),
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // A plain struct of numbers and words always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        serde_json::from_slice(bytes).map_err(|error| crate::wire::malformed(&format!("a topic's settings: {error}")))
    }
}

/// Whether a text can be a topic's name: `seg(.seg)+.vN`.
///
/// # Errors
/// `InvalidTopicName`, with what is wrong.
pub fn check_name(name: &str) -> Result<(), LedgerError> {
    name_fault(name).map_or(Ok(()), |why| {
        Err(LedgerError::InvalidTopicName {
            name: name.chars().take(60).collect(),
            why: why.into(),
        })
    })
}

fn name_fault(name: &str) -> Option<&'static str> {
    if name.strip_prefix(DEAD_LETTER_PREFIX).unwrap_or(name).len() > TOPIC_NAME_BYTES_MAX {
        return Some("it is longer than 200 bytes");
    }
    let Some((path, version)) = name.rsplit_once('.') else {
        return Some("it has no dots");
    };
    let number = version.strip_prefix('v').unwrap_or_default();
    if number.is_empty() || number.starts_with('0') || number.len() > 9 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Some("it does not end in .v and a number from 1 on");
    }
    if !path.contains('.') {
        return Some("it has a single segment before its version");
    }
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    path.split('.').find_map(|segment| {
        if segment.is_empty() {
            Some("a segment is empty")
        } else if segment.len() > SEGMENT_BYTES_MAX {
            Some("a segment is longer than 64 bytes")
        } else if !segment.bytes().all(good) {
            Some("a segment has something else than a-z, 0-9, _ and -")
        } else {
            None
        }
    })
}

/// The name of the topic that takes a topic's dead letters.
pub(super) fn dead_letter_name(topic: &str) -> Arc<str> {
    format!("{DEAD_LETTER_PREFIX}{topic}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in [
            "telemetry.metrics.v1",
            "consensus.vote.v2",
            "a.b.c-d_e.9.v120",
            "deadletter.a.b.v1",
        ] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = format!("{}.v1", vec!["segment"; 30].join("."));
        let wide = format!("a.{}.v1", "b".repeat(65));
        for bad in [
            "",
            "v1",
            "a.v1",
            "a.b",
            "a.b.v0",
            "a.b.v01",
            "a.b.v",
            "a.b.vx",
            "a..v1",
            ".a.v1",
            "a.B.v1",
            "a.b c.v1",
            "a.b.v1.",
            "a.b.V1",
            "a.ä.v1",
            "a.b.v1234567890",
            &long,
            &wide,
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_defaults_fit_together_for_every_quality_of_service() {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let config = TopicConfig {
                qos,
                ..TopicConfig::default()
            };
            assert_eq!(config.check("a.b.v1"), Ok(()));
            assert_eq!(TopicConfig::decode(&config.encode()), Ok(config));
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let memory = || TopicConfig {
            qos: Qos::AtMostOnce,
            ..TopicConfig::default()
        };
        let log = TopicConfig::default;
        let bad = [
            TopicConfig { partitions: 0, ..log() },
            TopicConfig {
                partitions: 1025,
                ..log()
            },
            TopicConfig {
                partitions: 2,
                ordering: Ordering::Total,
                ..log()
            },
            TopicConfig {
                partitions: 2,
                ordering: Ordering::Causal,
                ..log()
            },
            TopicConfig {
                durability: Some(Durability::Memory),
                ..log()
            },
            TopicConfig {
                durability: Some(Durability::Synced),
                ..memory()
            },
            TopicConfig {
                determinism: Some(Determinism::D0BitExact),
                ..memory()
            },
            TopicConfig {
                determinism: Some(Determinism::D1NumericallyStable),
                backpressure: Some(Backpressure::Adaptive),
                ..log()
            },
            TopicConfig {
                backpressure: Some(Backpressure::DropOldest),
                ..log()
            },
            TopicConfig {
                backpressure: Some(Backpressure::DropNewest),
                ..log()
            },
            TopicConfig {
                backpressure: Some(Backpressure::Spill),
                ..memory()
            },
            TopicConfig {
                critical: true,
                ..log()
            },
            TopicConfig {
                buffer_events: 0,
                ..log()
            },
            TopicConfig {
                buffer_bytes: 1,
                ..log()
            },
            TopicConfig {
                watermark_low: 0.9,
                ..log()
            },
            TopicConfig {
                watermark_high: f64::NAN,
                ..log()
            },
            TopicConfig {
                ack_timeout_ms: 0,
                ..log()
            },
        ];
        for config in bad {
            assert!(config.check("a.b.v1").is_err(), "{config:?}");
        }
        assert!(log().check("deadletter.a.b.v1").is_err());
        assert!(log().of_dead_letters().check("deadletter.a.b.v1").is_ok());
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(TopicConfig::decode(br#"{"partitions": 2, "retries": 1}"#).is_err());
        assert!(TopicConfig::decode(br#"{"partitions": 2, "qos": "exactly_once"}"#).is_ok());
    }
}
