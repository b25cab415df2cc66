//! Events that cannot be taken: why, and what arrived of them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::{StringBuilder, UInt64Builder};
use serde::de::IgnoredAny;

use super::{DEPTH_MAX, EVENT_BYTES_MAX, ID_BYTES_MAX, REJECT_DATA_BYTES_MAX, schema};
use crate::MedallionError;

/// Why an event was rejected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reason {
    TooLong(u64),
    NotUtf8,
    NotJson(String),
    NoObject,
    NotEnded,
    TooDeep,
    Topic,
    IdTooLong(&'static str),
}

impl Reason {
    /// Why this text, which does not begin like an object, is none.
    pub(super) fn of_no_object(text: &str) -> Self {
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Self::NoObject,
            Err(error) => Self::NotJson(error.to_string()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(f, "it is {bytes} bytes long, more than {EVENT_BYTES_MAX}"),
            Self::NotUtf8 => f.write_str("it is not UTF-8"),
            Self::NotJson(why) => write!(f, "it is not JSON: {why}"),
            Self::NoObject => f.write_str("it is not a JSON object"),
            Self::NotEnded => f.write_str("the document ends before its end"),
            Self::TooDeep => write!(f, "its objects and arrays lie in each other more than {DEPTH_MAX} deep"),
            Self::Topic => f.write_str("its topic is not of the form segment.segment.v1 in a-z, 0-9, _ and -"),
            Self::IdTooLong(name) => write!(f, "its {name} is longer than {ID_BYTES_MAX} bytes"),
        }
    }
}

/// Rejected events, until they are a batch.
#[derive(Debug, Default)]
pub(super) struct Rejects {
    line: UInt64Builder,
    reason: StringBuilder,
    data: StringBuilder,
}

impl Rejects {
    /// Appends one; how many bytes of it are kept.
    pub(super) fn append(&mut self, line: u64, reason: &Reason, data: &[u8]) -> usize {
        let kept = beginning(data);
        self.line.append_value(line);
        self.reason.append_value(reason.to_string());
        self.data.append_value(&kept);
        kept.len()
    }

    /// Hands out what was appended.
    pub(super) fn take(&mut self) -> Result<RecordBatch, MedallionError> {
        RecordBatch::try_new(
            schema::rejects_schema(),
            vec![
                Arc::new(self.line.finish()),
                Arc::new(self.reason.finish()),
                Arc::new(self.data.finish()),
            ],
        )
        .map_err(|error| MedallionError::Encoding {
            what: "make a batch of rejected events".into(),
            why: error.to_string(),
        })
    }
}

/// What is kept of rejected bytes: where they are cut, no character is.
fn beginning(data: &[u8]) -> Cow<'_, str> {
    let Some(cut) = data.get(..REJECT_DATA_BYTES_MAX) else {
        return String::from_utf8_lossy(data);
    };
    let end = match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => cut.len(),
    };
    String::from_utf8_lossy(cut.get(..end).unwrap_or(cut))
}
