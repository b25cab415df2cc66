//! What an operator may set, with the defaults and the bounds.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::StateError;

/// The most events a buffer may be set to hold.
const EVENTS_MAX: u64 = 1 << 31;
/// The most bytes a buffer may be set to hold: a component's memory ends at four GiB, and a batch on its way needs room.
const BYTES_MAX: u64 = 3 << 30;
/// The most streams a buffer may be set to keep numbers of.
const STREAMS_MAX: u64 = 10_000_000;
/// The most tokens that may be named as those to drop.
const SHED_TOKENS_MAX: usize = 4_096;
/// The priority of what is never dropped.
pub(crate) const CRITICAL: u8 = 4;

/// What stands in front of the number in what the gate hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Salt {
    /// Nothing: streams with the same tokens lose the same of them.
    #[default]
    None,
    /// The stream's name and '/'.
    Stream,
}

/// How the buffer behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `buffer-events`: the most events held. 100,000 unless set.
    pub events_max: u64,
    /// `buffer-bytes`: the most bytes of events held. 64 MiB unless set.
    pub size_bytes_max: u64,
    /// `watermark-low`: up to here nothing is dropped, in percent of what is held at most. 50 unless set.
    pub watermark_low_percent: u64,
    /// `watermark-high`: from here on everything that may be is dropped, in percent. 90 unless set.
    pub watermark_high_percent: u64,
    /// `shed-priority-max`: the highest priority that may be dropped, 0 to 3. 1, `INFO`, unless set.
    pub shed_priority_max: u8,
    /// `shed-tokens`, between commas: only these may be dropped; when empty, as it is unless set, any.
    pub shed_tokens: BTreeSet<Box<[u8]>>,
    /// `salt`, `none` or `stream`. `none` unless set.
    pub salt: Salt,
    /// `streams-max`: of how many streams numbers are kept. 100,000 unless set.
    pub streams_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            events_max: 100_000,
            size_bytes_max: 64 << 20,
            watermark_low_percent: 50,
            watermark_high_percent: 90,
            shed_priority_max: 1,
            shed_tokens: BTreeSet::new(),
            salt: Salt::None,
            streams_max: 100_000,
        }
    }
}

impl Settings {
    /// Reads settings as the host gives them, each key at most once. What is not among them keeps its default.
    pub fn parse<'a>(config: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, StateError> {
        let mut settings = Self::default();
        let mut seen = BTreeMap::new();
        for (key, value) in config {
            if seen.insert(key, value).is_some() {
                return Err(StateError::BadSetting(format!("{key} is set twice; set it once")));
            }
            settings.set(key, value).map_err(StateError::BadSetting)?;
        }
        let (low, high) = (settings.watermark_low_percent, settings.watermark_high_percent);
        if low >= high {
            return Err(StateError::BadSetting(format!(
                "watermark-low is {low} and watermark-high {high}; the low one must be below the high one"
            )));
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "buffer-events" => self.events_max = number(key, value, 1, EVENTS_MAX)?,
            "buffer-bytes" => self.size_bytes_max = number(key, value, 1, BYTES_MAX)?,
            "watermark-low" => self.watermark_low_percent = number(key, value, 0, 99)?,
            "watermark-high" => self.watermark_high_percent = number(key, value, 1, 100)?,
            "shed-priority-max" => {
                let priority = number(key, value, 0, u64::from(CRITICAL) - 1)?;
                self.shed_priority_max = u8::try_from(priority).unwrap_or(0);
            }
            "shed-tokens" => self.shed_tokens = tokens(value)?,
            "salt" => {
                self.salt = match value {
                    "none" => Salt::None,
                    "stream" => Salt::Stream,
                    _ => return Err(format!("salt is {value:?}; right are none and stream")),
                };
            }
            "streams-max" => self.streams_max = number(key, value, 1, STREAMS_MAX)?,
            _ => {
                return Err(format!(
                    "{key} is no setting; those are buffer-events, buffer-bytes, watermark-low, watermark-high, \
                     shed-priority-max, shed-tokens, salt and streams-max"
                ));
            }
        }
        Ok(())
    }
}

fn number(key: &str, value: &str, least: u64, most: u64) -> Result<u64, String> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{key} is {value:?}; right is a whole number from {least} to {most}"))
}

fn tokens(value: &str) -> Result<BTreeSet<Box<[u8]>>, String> {
    if value.is_empty() {
        return Ok(BTreeSet::new());
    }
    let tokens: BTreeSet<Box<[u8]>> = value.split(',').map(|token| token.as_bytes().into()).collect();
    if tokens.iter().any(|token| token.is_empty()) {
        return Err("shed-tokens names an empty token; right are tokens with one comma between two".to_owned());
    }
    if tokens.len() > SHED_TOKENS_MAX {
        let count = tokens.len();
        return Err(format!(
            "shed-tokens names {count} tokens; {SHED_TOKENS_MAX} are the most"
        ));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_read() {
        let settings = Settings::parse([
            ("buffer-events", "10"),
            ("buffer-bytes", "2000"),
            ("watermark-low", "0"),
            ("watermark-high", "100"),
            ("shed-priority-max", "3"),
            ("shed-tokens", "um,so"),
            ("salt", "stream"),
            ("streams-max", "7"),
        ]);
        let expected = Settings {
            events_max: 10,
            size_bytes_max: 2000,
            watermark_low_percent: 0,
            watermark_high_percent: 100,
            shed_priority_max: 3,
            shed_tokens: BTreeSet::from([b"um".as_slice().into(), b"so".as_slice().into()]),
            salt: Salt::Stream,
            streams_max: 7,
        };
        assert_eq!(settings, Ok(expected));
    }

    #[test]
    fn what_has_no_meaning_is_refused_with_what_would_be_right() {
        for (key, value, right) in [
            ("buffer-events", "0", "from 1 to"),
            ("buffer-events", "many", "whole number"),
            ("buffer-bytes", "-1", "whole number"),
            ("buffer-bytes", "99999999999999", "from 1 to"),
            ("watermark-low", "90", "must be below"),
            ("watermark-high", "101", "from 1 to 100"),
            ("shed-priority-max", "4", "from 0 to 3"),
            ("shed-tokens", "um,,so", "one comma"),
            ("salt", "pepper", "none and stream"),
            ("streams-max", "", "whole number"),
            ("buffer-size", "1", "buffer-bytes"),
        ] {
            let Err(StateError::BadSetting(text)) = Settings::parse([(key, value)]) else {
                panic!("{key} = {value} was taken");
            };
            assert!(text.contains(right), "{text}");
        }
        assert!(Settings::parse([("salt", "none"), ("salt", "none")]).is_err());
    }
}
