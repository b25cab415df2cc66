//! Takes bytes as they come and hands out batches of events and of rejects.

use arrow_array::RecordBatch;

use super::framer::{Framer, Framing, Item};
use super::parse::Parser;
use super::rejects::{Reason, Rejects};
use super::rows::{ROW_BYTES, Rows};
use super::{EVENT_BYTES_MAX, REJECTS_LISTED_MAX};
use crate::MedallionError;

/// The largest batch there can be, in bytes: the offsets in a column of texts have 31 bits.
const BATCH_BYTES_LIMIT: usize = 256 << 20;

/// When a batch is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderSettings {
    /// After so many events, rejected ones too. 65,536 by default.
    pub batch_events_max: usize,
    /// Or when these take so many bytes, or a little more: the last one is taken as a whole. 16 MiB by default, at most
    /// 256 MiB.
    pub batch_bytes_max: usize,
}

impl Default for ReaderSettings {
    fn default() -> Self {
        Self {
            batch_events_max: 65_536,
            batch_bytes_max: 16 << 20,
        }
    }
}

impl ReaderSettings {
    fn check(self) -> Result<Self, MedallionError> {
        let invalid = |setting: &str, why: String| MedallionError::InvalidSetting {
            setting: setting.into(),
            why,
        };
        if self.batch_events_max == 0 {
            return Err(invalid("batch_events_max", "a batch has at least one event".into()));
        }
        if !(1..=BATCH_BYTES_LIMIT).contains(&self.batch_bytes_max) {
            let why = format!("{} is not from 1 to {BATCH_BYTES_LIMIT}", self.batch_bytes_max);
            return Err(invalid("batch_bytes_max", why));
        }
        Ok(self)
    }
}

/// What was read between two batches; one of the two may have no rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Rows of [`schema`](super::schema()), in the order they came.
    pub events: RecordBatch,
    /// Rows of [`rejects_schema`](super::rejects_schema()), in the order they came.
    pub rejects: RecordBatch,
}

/// One rejected event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rejected {
    /// Its line, from 1; in a JSON document the number of the element.
    pub line: u64,
    /// Why, a sentence.
    pub reason: String,
}

/// What a reader has read so far: `arrived` = `events` + `rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many events came; blank lines are none.
    pub arrived: u64,
    /// How many became rows.
    pub events: u64,
    /// How many were rejected.
    pub rejected: u64,
    /// The first [`REJECTS_LISTED_MAX`] of those.
    pub listed: Vec<Rejected>,
}

/// Reads one stream of events, of any length, in chunks of any size.
///
/// It holds at most one batch and one event. What it hands out does not depend on the chunks, except the times of events
/// that came without.
#[derive(Debug)]
pub struct Reader {
    settings: ReaderSettings,
    framer: Framer,
    parser: Parser,
    rows: Rows,
    rejects: Rejects,
    totals: Totals,
    batch_events: usize,
    batch_bytes: usize,
}

impl Reader {
    /// A reader at the beginning of a stream.
    ///
    /// # Errors
    /// `InvalidSetting`.
    pub fn new(framing: Framing, settings: ReaderSettings) -> Result<Self, MedallionError> {
        Ok(Self {
            settings: settings.check()?,
            framer: Framer::new(framing),
            parser: Parser::default(),
            rows: Rows::default(),
            rejects: Rejects::default(),
            totals: Totals::default(),
            batch_events: 0,
            batch_bytes: 0,
        })
    }

    /// Takes bytes off the front until a batch is full, which it returns, or until none are left. `now_unix_ns` is the time
    /// of events that have none of their own.
    ///
    /// # Errors
    /// `Encoding`.
    pub fn read(&mut self, bytes: &mut &[u8], now_unix_ns: i64) -> Result<Option<Batch>, MedallionError> {
        while let Some(item) = self.framer.next(bytes) {
            self.take_item(&item, now_unix_ns);
            if self.batch_events >= self.settings.batch_events_max || self.batch_bytes >= self.settings.batch_bytes_max
            {
                return self.flush();
            }
        }
        Ok(None)
    }

    /// Hands out what was read since the last batch, if anything. An event of which a part came stays for later.
    ///
    /// # Errors
    /// `Encoding`.
    pub fn flush(&mut self) -> Result<Option<Batch>, MedallionError> {
        if self.batch_events == 0 {
            return Ok(None);
        }
        self.batch_events = 0;
        self.batch_bytes = 0;
        Ok(Some(Batch {
            events: self.rows.take()?,
            rejects: self.rejects.take()?,
        }))
    }

    /// Ends the stream: the last line may lack its line end. Hands out what is left, if anything.
    ///
    /// # Errors
    /// `Encoding`.
    pub fn finish(&mut self, now_unix_ns: i64) -> Result<Option<Batch>, MedallionError> {
        if let Some(item) = self.framer.finish() {
            self.take_item(&item, now_unix_ns);
        }
        self.flush()
    }

    /// What was read so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    fn take_item(&mut self, item: &Item<'_>, now_unix_ns: i64) {
        self.totals.arrived += 1;
        self.batch_events += 1;
        let kept_bytes = match self.read_item(item, now_unix_ns) {
            Ok(()) => {
                self.totals.events += 1;
                item.text.len()
            }
            Err(reason) => self.reject(item, &reason),
        };
        self.batch_bytes += kept_bytes + ROW_BYTES;
    }

    fn read_item(&mut self, item: &Item<'_>, now_unix_ns: i64) -> Result<(), Reason> {
        if item.bytes > EVENT_BYTES_MAX as u64 {
            return Err(Reason::TooLong(item.bytes));
        }
        if !item.whole {
            return Err(Reason::NotEnded);
        }
        let text = std::str::from_utf8(item.text.trim_ascii()).map_err(|_| Reason::NotUtf8)?;
        let text = text.strip_prefix("data:").map_or(text, str::trim_ascii_start);
        self.parser.read(text, now_unix_ns, &mut self.rows)
    }

    fn reject(&mut self, item: &Item<'_>, reason: &Reason) -> usize {
        self.totals.rejected += 1;
        if self.totals.listed.len() < REJECTS_LISTED_MAX {
            self.totals.listed.push(Rejected {
                line: item.number,
                reason: reason.to_string(),
            });
        }
        self.rejects.append(item.number, reason, &item.text)
    }
}
