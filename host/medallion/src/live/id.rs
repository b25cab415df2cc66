//! The place of an event among all.

use std::fmt;
use std::str::FromStr;

use crate::MedallionError;

/// An event's batch and row, written `{offset}-{row}`. A row behind the batch's last stands for all of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The offset of its batch.
    pub offset: u64,
    /// Its row there, from 0.
    pub row: u32,
}

impl EventId {
    /// The place behind the whole batch.
    pub(super) const fn all_of(offset: u64) -> Self {
        Self { offset, row: u32::MAX }
    }

    /// The place behind everything before this batch.
    pub(super) fn before(offset: u64) -> Option<Self> {
        offset.checked_sub(1).map(Self::all_of)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.offset, self.row)
    }
}

impl FromStr for EventId {
    type Err = MedallionError;

    fn from_str(text: &str) -> Result<Self, MedallionError> {
        let read = |(offset, row): (&str, &str)| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            let id = Self {
                offset: offset.parse().ok()?,
                row: row.parse().ok()?,
            };
            (digits(offset) && digits(row)).then_some(id)
        };
        text.split_once('-')
            .and_then(read)
            .ok_or_else(|| MedallionError::BadEventId {
                text: text.chars().filter(|c| !c.is_control()).take(64).collect(),
            })
    }
}
