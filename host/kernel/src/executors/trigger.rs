//! A trigger, as a manifest writes it: one member says when, `function` says what is called.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schedule;

/// The shortest time between calls, in milliseconds.
pub(super) const EVERY_MS_MIN: u64 = 100;
/// The longest, in milliseconds: a year.
const EVERY_MS_MAX: u64 = 366 * 86_400_000;
/// The longest cron pattern, in bytes.
const CRON_BYTES_MAX: usize = 128;

/// When the host calls a function by itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "WrittenTrigger", into = "WrittenTrigger")]
pub struct Trigger {
    /// When.
    pub when: When,
    /// The function that is called.
    pub function: String,
}

/// What makes the host call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// An event of this topic.
    Topic(String),
    /// So many milliseconds have passed.
    EveryMs(u64),
    /// The time of a cron pattern of five fields, in UTC.
    Cron(String),
}

/// A trigger with all members it may have; exactly one of the first three stands.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenTrigger {
    /// Calls it with the data of each event of this topic, one after the other. `imports` must grant the topic: name it, or
    /// a pattern that it matches, under `subscribe` of `kinetic:events/bus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// Calls it each time so many milliseconds have passed, 100 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
    /// Calls it at the times of this cron pattern: minute, hour, day of month, month, day of week, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    /// The function that is called.
    function: String,
}

impl TryFrom<WrittenTrigger> for Trigger {
    type Error = String;

    fn try_from(written: WrittenTrigger) -> Result<Self, String> {
        let when = match (written.topic, written.every_ms, written.cron) {
            (Some(topic), None, None) => When::Topic(topic),
            (None, Some(ms), None) if (EVERY_MS_MIN..=EVERY_MS_MAX).contains(&ms) => When::EveryMs(ms),
            (None, Some(_), None) => {
                return Err(format!("every_ms is not between {EVERY_MS_MIN} and {EVERY_MS_MAX}"));
            }
            (None, None, Some(pattern)) if pattern.len() > CRON_BYTES_MAX => {
                return Err(format!("the cron pattern is longer than {CRON_BYTES_MAX} bytes"));
            }
            (None, None, Some(pattern)) => {
                schedule::check(&pattern)?;
                When::Cron(pattern)
            }
            _ => return Err("a trigger has exactly one of topic, every_ms and cron".into()),
        };
        Ok(Self {
            when,
            function: written.function,
        })
    }
}

impl From<Trigger> for WrittenTrigger {
    fn from(trigger: Trigger) -> Self {
        let mut written = Self {
            topic: None,
            every_ms: None,
            cron: None,
            function: trigger.function,
        };
        match trigger.when {
            When::Topic(topic) => written.topic = Some(topic),
            When::EveryMs(ms) => written.every_ms = Some(ms),
            When::Cron(pattern) => written.cron = Some(pattern),
        }
        written
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => write!(f, "topic {topic}"),
            Self::EveryMs(ms) if ms.is_multiple_of(1_000) => write!(f, "every {} s", ms / 1_000),
            Self::EveryMs(ms) => write!(f, "every {ms} ms"),
            Self::Cron(pattern) => write!(f, "cron {pattern}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(trigger: Value) -> Result<Trigger, String> {
        serde_json::from_value(trigger).map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_is_written_as_it_was_read() {
        for (trigger, shown) in [
            (
                json!({ "topic": "orders.placed.v1", "function": "f" }),
                "topic orders.placed.v1",
            ),
            (json!({ "every_ms": 60_000, "function": "f" }), "every 60 s"),
            (json!({ "every_ms": 150, "function": "f" }), "every 150 ms"),
            (json!({ "cron": "*/5 * * * *", "function": "f" }), "cron */5 * * * *"),
        ] {
            let parsed = read(trigger.clone()).unwrap();
            assert_eq!(parsed.when.to_string(), shown);
            assert_eq!(serde_json::to_value(parsed).unwrap(), trigger);
        }
    }

    #[test]
    fn none_or_two_whens_too_short_a_time_and_unknown_members_are_refused() {
        for (trigger, word) in [
            (json!({ "function": "f" }), "exactly one"),
            (
                json!({ "topic": "a.b.v1", "every_ms": 100, "function": "f" }),
                "exactly one",
            ),
            (json!({ "every_ms": 99, "function": "f" }), "between 100"),
            (json!({ "every_ms": u64::MAX, "function": "f" }), "between 100"),
            (json!({ "cron": "61 * * * *", "function": "f" }), "61 * * * *"),
            (json!({ "cron": "* * * * * *", "function": "f" }), "5 fields"),
            (json!({ "cron": "* ".repeat(100), "function": "f" }), "longer"),
            (json!({ "every_ms": 100, "function": "f", "at": 1 }), "at"),
            (json!({ "every_ms": 100 }), "function"),
        ] {
            let why = read(trigger.clone()).unwrap_err();
            assert!(why.contains(word), "{trigger}: {why}");
        }
    }
}
