//! What a stream buffer decided about a batch: which of its events are kept, with what numbers; and what it dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{BooleanBuilder, StringBuilder, UInt8Builder, UInt64Builder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{UInt8Type, UInt64Type};
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, StringArray, UInt8Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::ipc;
use crate::MedallionError;

/// Priorities there are: `DEBUG`, `INFO`, `METRIC`, `WARNING`, `CRITICAL`.
pub(crate) const PRIORITIES: usize = 5;

/// The schema of what was dropped: one row per stream and priority of a batch.
///
/// | column | type | what |
/// |---|---|---|
/// | `stream` | utf8 | the stream |
/// | `workflow_id` | utf8, null | its workflow |
/// | `priority` | uint8 | 0 to 4 |
/// | `events` | uint64 | how many events were dropped |
/// | `data_bytes` | uint64 | what their `data` took, in bytes |
pub fn shed_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new("stream", DataType::Utf8, false),
            Field::new("workflow_id", DataType::Utf8, true),
            Field::new("priority", DataType::UInt8, false),
            Field::new("events", DataType::UInt64, false),
            Field::new("data_bytes", DataType::UInt64, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// A batch that was decided about. All its events have their numbers.
#[derive(Debug)]
pub(crate) struct Decided {
    /// All that were kept or dropped, in the order they came.
    pub(crate) events: RecordBatch,
    /// Which were kept; none when all were.
    pub(crate) kept: Option<BooleanArray>,
}

impl Decided {
    /// From what was offered (as far as it was taken), the numbers the buffer gave, and what it handed out again. The error
    /// says what about the buffer's answers cannot be.
    pub(crate) fn of(offered: &RecordBatch, assigned: &[u64], pulled: RecordBatch) -> Result<Self, String> {
        if pulled.num_rows() == offered.num_rows() {
            let schema = offered.schema();
            let events = ipc::with_schema(&pulled, schema).map_err(|error| error.to_string())?;
            return Ok(Self { events, kept: None });
        }
        let events = numbered(offered, assigned)?;
        let kept = mask(&events, &pulled)?;
        Ok(Self {
            events,
            kept: Some(kept),
        })
    }

    /// The kept ones.
    pub(crate) fn kept_events(&self) -> Result<RecordBatch, MedallionError> {
        match &self.kept {
            None => Ok(self.events.clone()),
            Some(kept) => filter(&self.events, kept),
        }
    }

    /// How many were kept and dropped, by priority.
    pub(crate) fn counts(&self) -> ([u64; PRIORITIES], [u64; PRIORITIES]) {
        let (mut kept, mut shed) = ([0; PRIORITIES], [0; PRIORITIES]);
        if let Ok(priorities) = priorities(&self.events) {
            for (row, priority) in priorities.values().iter().enumerate() {
                let counts = if self.is_kept(row) { &mut kept } else { &mut shed };
                if let Some(count) = counts.get_mut(usize::from(*priority)) {
                    *count += 1;
                }
            }
        }
        (kept, shed)
    }

    /// How many of these rows were kept.
    pub(crate) fn kept_among(&self, rows: std::ops::Range<usize>) -> u64 {
        match &self.kept {
            None => rows.len() as u64,
            Some(_) => rows.filter(|row| self.is_kept(*row)).count() as u64,
        }
    }

    fn is_kept(&self, row: usize) -> bool {
        self.kept
            .as_ref()
            .is_none_or(|kept| row < kept.len() && kept.value(row))
    }

    /// What was dropped, as a table; none when nothing was.
    pub(crate) fn shed(&self) -> Result<Option<RecordBatch>, MedallionError> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let broken = |why: String| MedallionError::Encoding {
            what: "count what was dropped".into(),
            why,
        };
        let (streams, data) = (texts(&self.events, "stream"), texts(&self.events, "data"));
        let (streams, data) = (streams.map_err(broken)?, data.map_err(broken)?);
        let workflows = texts(&self.events, "workflow_id").map_err(broken)?;
        let priorities = priorities(&self.events).map_err(broken)?;
        let mut places: HashMap<(&str, u8), usize> = HashMap::new();
        let mut rows: Vec<(&str, Option<&str>, u8, u64, u64)> = Vec::new();
        for row in (0..kept.len()).filter(|row| !kept.value(*row)) {
            let (stream, priority) = (streams.value(row), priorities.value(row));
            let bytes = data.value(row).len() as u64;
            let workflow = workflows.is_valid(row).then(|| workflows.value(row));
            let place = match places.entry((stream, priority)) {
                Entry::Occupied(place) => *place.get(),
                Entry::Vacant(place) => {
                    rows.push((stream, workflow, priority, 0, 0));
                    *place.insert(rows.len() - 1)
                }
            };
            if let Some((.., events, data_bytes)) = rows.get_mut(place) {
                *events += 1;
                *data_bytes += bytes;
            }
        }
        shed_batch(&rows).map(Some)
    }
}

fn shed_batch(rows: &[(&str, Option<&str>, u8, u64, u64)]) -> Result<RecordBatch, MedallionError> {
    let (mut streams, mut workflows) = (StringBuilder::new(), StringBuilder::new());
    let (mut priorities, mut events, mut bytes) = (UInt8Builder::new(), UInt64Builder::new(), UInt64Builder::new());
    for (stream, workflow, priority, count, data_bytes) in rows {
        streams.append_value(stream);
        workflows.append_option(*workflow);
        priorities.append_value(*priority);
        events.append_value(*count);
        bytes.append_value(*data_bytes);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(streams.finish()),
        Arc::new(workflows.finish()),
        Arc::new(priorities.finish()),
        Arc::new(events.finish()),
        Arc::new(bytes.finish()),
    ];
    RecordBatch::try_new(shed_schema(), columns).map_err(|error| MedallionError::Encoding {
        what: "count what was dropped".into(),
        why: error.to_string(),
    })
}

pub(crate) fn filter(events: &RecordBatch, kept: &BooleanArray) -> Result<RecordBatch, MedallionError> {
    arrow_select::filter::filter_record_batch(events, kept).map_err(|error| MedallionError::Encoding {
        what: "filter a batch".into(),
        why: error.to_string(),
    })
}

/// The events with the numbers the buffer gave those that had none.
fn numbered(offered: &RecordBatch, assigned: &[u64]) -> Result<RecordBatch, String> {
    let sequences = sequences(offered)?;
    if sequences.null_count() != assigned.len() {
        return Err(format!(
            "{} events had no number and got {}",
            sequences.null_count(),
            assigned.len()
        ));
    }
    let mut given = assigned.iter().copied();
    let filled: UInt64Array = sequences.iter().map(|number| number.or_else(|| given.next())).collect();
    let place = offered
        .schema()
        .index_of("sequence")
        .map_err(|error| error.to_string())?;
    let mut columns = offered.columns().to_vec();
    if let Some(column) = columns.get_mut(place) {
        *column = Arc::new(filled);
    }
    RecordBatch::try_new(offered.schema(), columns).map_err(|error| error.to_string())
}

/// Which events are among those handed out: both are in the same order.
fn mask(events: &RecordBatch, pulled: &RecordBatch) -> Result<BooleanArray, String> {
    // A stream may have one number twice, of different nodes: the rows are told apart by all that was said.
    let told = ["stream", "node_cid", "data", "token"];
    let ours = told.map(|name| texts(events, name));
    let theirs = told.map(|name| texts(pulled, name));
    let (numbers, their_numbers) = (sequences(events)?, sequences(pulled)?);
    let (classes, their_classes) = (priorities(events)?, priorities(pulled)?);
    let mut columns = Vec::with_capacity(told.len());
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        columns.push((ours?, theirs?));
    }
    let mut kept = BooleanBuilder::with_capacity(events.num_rows());
    let mut next = 0;
    for row in 0..events.num_rows() {
        let same = next < pulled.num_rows()
            && their_numbers.is_valid(next)
            && numbers.value(row) == their_numbers.value(next)
            && classes.value(row) == their_classes.value(next)
            && columns.iter().all(|(ours, theirs)| {
                ours.is_valid(row) == theirs.is_valid(next) && ours.value(row) == theirs.value(next)
            });
        kept.append_value(same);
        next += usize::from(same);
    }
    if next == pulled.num_rows() {
        Ok(kept.finish())
    } else {
        Err("it handed out events that it was not offered, or not in their order".into())
    }
}

pub(crate) fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, String> {
    let column = batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>());
    column.ok_or_else(|| format!("there is no text column {name}"))
}

pub(crate) fn sequences(batch: &RecordBatch) -> Result<&UInt64Array, String> {
    let column = batch.column_by_name("sequence");
    column
        .and_then(|column| column.as_primitive_opt::<UInt64Type>())
        .ok_or_else(|| "there is no column sequence of numbers".into())
}

fn priorities(batch: &RecordBatch) -> Result<&UInt8Array, String> {
    let column = batch.column_by_name("priority");
    column
        .and_then(|column| column.as_primitive_opt::<UInt8Type>())
        .ok_or_else(|| "there is no column priority of small numbers".into())
}
