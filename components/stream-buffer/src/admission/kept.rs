//! What of a record batch is to be held.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::filter::{FilterBuilder, FilterPredicate};

use super::stretch::Taken;
use crate::events::Events;
use crate::flags::not_set;
use crate::runs::end_of_run;

/// What of one record batch is to be held.
pub(super) struct Kept {
    pub(super) batch: RecordBatch,
    pub(super) size_bytes: u64,
    /// Whether it still lies in the bytes that were offered.
    pub(super) is_slice: bool,
}

/// The rows to be held, with the numbers of all of them.
pub(super) fn kept_of(events: &Events<'_>, taken: &Taken<'_>, schema: &SchemaRef) -> Result<Option<Kept>, ArrowError> {
    if taken.kept.events == 0 {
        return Ok(None);
    }
    let mut columns = events.batch.columns().to_vec();
    if events.sequences.null_count() > 0 {
        let numbers: ArrayRef = Arc::new(UInt64Array::from(taken.numbers.to_vec()));
        if let Some(column) = columns.get_mut(events.sequence_column) {
            *column = numbers;
        }
    }
    let is_slice = taken.kept.events == taken.rows as u64;
    if !is_slice {
        let dropped = taken.dropped.get(..taken.rows).unwrap_or_default();
        let predicate = FilterBuilder::new(&BooleanArray::new(not_set(dropped), None))
            .optimize()
            .build();
        for column in &mut columns {
            *column = filtered(&column.slice(0, taken.rows), &predicate)?;
        }
    }
    let batch = RecordBatch::try_new(SchemaRef::clone(schema), columns)?;
    Ok(Some(Kept {
        batch: if is_slice { batch.slice(0, taken.rows) } else { batch },
        size_bytes: taken.kept.size_bytes,
        is_slice,
    }))
}

/// The rows of a column that are kept, in memory of their own.
fn filtered(column: &ArrayRef, predicate: &FilterPredicate) -> Result<ArrayRef, ArrowError> {
    if *column.data_type() == DataType::Utf8
        && column.null_count() == 0
        && end_of_run(column.as_string(), 0) == column.len()
    {
        // All the same: so many of them, whichever, are copied at once and not text by text.
        let kept = column.slice(0, predicate.count());
        // Of two arrays the result is always new, of one it may be a slice again.
        return concat(&[&kept, &column.slice(0, 0)]);
    }
    predicate.filter(column)
}
