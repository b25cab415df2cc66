//! The events that are held, in the order they came, each at a position that is its own for ever.

use std::collections::VecDeque;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;

use crate::error::Error;
use crate::ipc;
use crate::pressure::Amount;
use crate::size::Sizes;

/// Different schemas held at once. Each may have 64 KiB of names and metadata.
const SCHEMAS_MAX: usize = 64;
/// Columns held at once, over all batches: a column takes some 200 bytes even for one event.
const COLUMNS_MAX: usize = 1 << 18;
/// Batches that come in small pieces are joined up to so many events and bytes.
const JOINED_EVENTS_MAX: usize = 1_024;
const JOINED_BYTES_MAX: u64 = 1 << 20;

/// Events that came together.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) batch: RecordBatch,
    /// The position of the first.
    pub(crate) start: u64,
    pub(crate) size_bytes: u64,
}

impl Held {
    fn end(&self) -> u64 {
        self.start + self.batch.num_rows() as u64
    }
}

/// Events on their way out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// An Arrow IPC stream; empty when there are no events.
    pub batch: Vec<u8>,
    /// How many events it has.
    pub events: u64,
    /// What to acknowledge once they are stored: their end in the buffer.
    pub up_to: u64,
}

/// The same events in memory of their own.
pub(crate) fn copied(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    // Of two batches the result is always new, of one it may be a slice again.
    concat_batches(batch.schema_ref(), [batch, &batch.slice(0, 0)])
}

/// Rows between two positions of one batch, which has no more than usize counts.
fn rows_between(start: u64, end: u64) -> usize {
    usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX)
}

/// All events held, and how far they were pulled and acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    held: VecDeque<Held>,
    acknowledged: u64,
    pulled: u64,
    end: u64,
    size_bytes: u64,
    columns: usize,
    schemas: Vec<SchemaRef>,
}

impl Queue {
    /// A queue that holds nothing yet, whose first event will be at this position.
    pub(crate) fn starting_at(acknowledged: u64) -> Self {
        Self {
            acknowledged,
            pulled: acknowledged,
            end: acknowledged,
            ..Self::default()
        }
    }

    /// The position of the first event that was not acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The position of the first event that was not pulled.
    pub(crate) fn pulled(&self) -> u64 {
        self.pulled
    }

    /// The position the next event will have.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// What is held.
    pub(crate) fn amount(&self) -> Amount {
        Amount {
            events: self.end - self.acknowledged,
            size_bytes: self.size_bytes,
        }
    }

    /// All that is held, in pieces.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }

    /// Whether one more piece of so many columns may be held.
    pub(crate) fn has_place(&self, columns: usize) -> bool {
        self.columns + columns <= COLUMNS_MAX
    }

    /// The same schema as one that is held already, if there is one, so that schemas compare by their address.
    pub(crate) fn schema(&mut self, schema: SchemaRef) -> Result<SchemaRef, Error> {
        if let Some(known) = self.schemas.iter().rev().find(|known| ***known == *schema) {
            return Ok(SchemaRef::clone(known));
        }
        self.schemas.retain(|known| SchemaRef::strong_count(known) > 1);
        if self.schemas.len() >= SCHEMAS_MAX {
            return Err(Error::Other(format!(
                "events of {SCHEMAS_MAX} different schemas are held, which are the most; pull and acknowledge first"
            )));
        }
        self.schemas.push(SchemaRef::clone(&schema));
        Ok(schema)
    }

    /// Holds these as well, behind all others.
    pub(crate) fn push(&mut self, batch: RecordBatch, size_bytes: u64) {
        let start = self.end;
        self.end += batch.num_rows() as u64;
        self.size_bytes += size_bytes;
        self.columns += batch.num_columns();
        self.held.push_back(Held {
            batch,
            start,
            size_bytes,
        });
    }

    /// Joins the last pieces while they are small and the last is not much smaller than the one before it: each event is
    /// copied a few times at most. What cannot be joined stays as it is.
    pub(crate) fn join_last(&mut self) {
        loop {
            let mut last = self.held.iter().rev();
            let (Some(last), Some(before)) = (last.next(), last.next()) else {
                return;
            };
            let (rows, rows_before) = (last.batch.num_rows(), before.batch.num_rows());
            let size_bytes = before.size_bytes + last.size_bytes;
            if rows_before > 2 * rows
                || rows + rows_before > JOINED_EVENTS_MAX
                || size_bytes > JOINED_BYTES_MAX
                || !SchemaRef::ptr_eq(before.batch.schema_ref(), last.batch.schema_ref())
            {
                return;
            }
            let batch = concat_batches(before.batch.schema_ref(), [&before.batch, &last.batch]);
            let Ok(batch) = batch else {
                return;
            };
            let start = before.start;
            self.columns = self.columns.saturating_sub(batch.num_columns());
            self.held.truncate(self.held.len().saturating_sub(2));
            self.held.push_back(Held {
                batch,
                start,
                size_bytes,
            });
        }
    }

    /// The next events: at most so many, about so many bytes, of one schema; at least one if there is one.
    pub(crate) fn pull(&mut self, events_max: u64, size_bytes_max: u64) -> Result<Pulled, Error> {
        let mut left = Amount {
            events: events_max.max(1),
            size_bytes: size_bytes_max,
        };
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut up_to = self.pulled;
        let first = self.held.partition_point(|held| held.end() <= up_to);
        for held in self.held.iter().skip(first) {
            let is_other = |first: &RecordBatch| !SchemaRef::ptr_eq(first.schema_ref(), held.batch.schema_ref());
            if left.events == 0 || batches.first().is_some_and(is_other) {
                break;
            }
            let skipped = rows_between(held.start, up_to);
            let sizes = Sizes::of(&held.batch);
            let rows_max = usize::try_from(left.events).unwrap_or(usize::MAX - 1);
            let mut rows = sizes.within(skipped, rows_max, left.size_bytes);
            if batches.is_empty() {
                rows = rows.max(1);
            }
            if rows == 0 {
                break;
            }
            batches.push(held.batch.slice(skipped, rows));
            left = left.minus(Amount {
                events: rows as u64,
                size_bytes: sizes.between(skipped, skipped + rows),
            });
            up_to += rows as u64;
            if up_to < held.end() {
                break;
            }
        }
        let batch = match batches.first() {
            Some(first) => ipc::write(first.schema_ref(), &batches).map_err(Error::Other)?,
            None => Vec::new(),
        };
        let events = up_to - self.pulled;
        self.pulled = up_to;
        Ok(Pulled { batch, events, up_to })
    }

    /// Forgets the events before this position.
    pub(crate) fn acknowledge(&mut self, up_to: u64) -> Result<(), Error> {
        if up_to > self.pulled {
            return Err(Error::NotPulled(format!(
                "{up_to} was acknowledged, but only up to {} was pulled",
                self.pulled
            )));
        }
        while let Some(first) = self.held.front_mut() {
            if first.start >= up_to {
                break;
            }
            if first.end() > up_to {
                let rows = rows_between(first.start, up_to);
                let size_bytes = Sizes::of(&first.batch).between(0, rows);
                first.batch = first.batch.slice(rows, first.batch.num_rows() - rows);
                first.start = up_to;
                first.size_bytes -= size_bytes;
                self.size_bytes -= size_bytes;
                break;
            }
            self.size_bytes -= first.size_bytes;
            self.columns = self.columns.saturating_sub(first.batch.num_columns());
            self.held.pop_front();
        }
        self.acknowledged = self.acknowledged.max(up_to);
        Ok(())
    }

    /// Goes back to the first event that was not acknowledged.
    pub(crate) fn rewind(&mut self) {
        self.pulled = self.acknowledged;
    }

    /// Counts events as pulled that a predecessor pulled; false if there are not so many.
    pub(crate) fn skip_to(&mut self, pulled: u64) -> bool {
        let fits = (self.pulled..=self.end).contains(&pulled);
        if fits {
            self.pulled = pulled;
        }
        fits
    }
}
