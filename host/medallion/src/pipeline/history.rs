//! The telemetry in the log, for who watches it live and fell behind.

use arrow_array::RecordBatch;
use kinetic_ledger::{Ledger, LedgerError};

use super::topic::{self, Logged};
use crate::live::History;
use crate::{MedallionError, event};

/// Reads kept events back by their offset in the topic.
#[derive(Clone, Debug)]
pub struct LogHistory(Ledger);

impl LogHistory {
    /// Over a ledger.
    pub const fn new(ledger: Ledger) -> Self {
        Self(ledger)
    }

    /// The offset after the last one.
    pub fn next_offset(&self) -> u64 {
        topic::bounds(&self.0).map_or(0, |(_, next)| next)
    }
}

impl History for LogHistory {
    fn oldest(&self) -> u64 {
        topic::bounds(&self.0).map_or(0, |(first, _)| first)
    }

    fn batch(&self, offset: u64) -> Result<Option<RecordBatch>, MedallionError> {
        let events = match self.0.bus().read_events(topic::TOPIC, 0, offset, (1, 1)) {
            Ok(events) => events,
            Err(LedgerError::OffsetGone { offset, first, .. }) => {
                return Err(MedallionError::Removed { offset, oldest: first });
            }
            Err(error) => return Err(topic::fault(error)),
        };
        let Some(event) = events.first() else { return Ok(None) };
        match topic::decode(event) {
            Logged::Events(decided) => decided.kept_events().map(Some),
            _ => Ok(Some(RecordBatch::new_empty(event::schema()))),
        }
    }
}
