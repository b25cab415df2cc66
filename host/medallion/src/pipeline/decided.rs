//! What a stream buffer decided about a batch: which of its events are kept, with what numbers; and what it dropped.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{StringBuilder, UInt8Builder, UInt64Builder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{UInt8Type, UInt64Type};
use arrow_array::{Array as _, ArrayRef, BooleanArray, RecordBatch, StringArray, UInt8Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::claims;
use crate::MedallionError;
use crate::subsystem::buffer::{Admission, ClassCount, Setting};

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

/// What rows are told apart by where some were dropped. A stream may have one number twice, of different nodes; of rows
/// that have all this in common no buffer drops one and keeps the other.
const TOLD: [&str; 7] = ["sequence", "stream", "node_cid", "data", "token", "priority", "tier"];
/// Tiers below this one, D0 and D1, are never dropped.
const TIER_MIN: u8 = 2;
/// The highest priority that a setting can allow to be dropped.
const SHED_PRIORITY_MAX: u8 = 3;

/// What a buffer may drop, by the settings it was started with.
#[derive(Debug)]
pub(crate) struct Sheddable {
    priority_max: u8,
    /// Which tokens; when empty, any.
    tokens: HashSet<String>,
}

impl Sheddable {
    pub(crate) fn of(settings: &[Setting]) -> Self {
        let setting = |key| settings.iter().find(|set| set.key == key).map(|set| set.value.as_str());
        let priority = setting("shed-priority-max").and_then(|value| value.parse().ok());
        let tokens = setting("shed-tokens").into_iter().flat_map(|value| value.split(','));
        Self {
            priority_max: priority.unwrap_or(1).min(SHED_PRIORITY_MAX),
            tokens: tokens.filter(|token| !token.is_empty()).map(Into::into).collect(),
        }
    }

    /// Passes when all that was dropped may be.
    fn check(&self, decided: &Decided) -> Result<(), String> {
        let Some(kept) = &decided.kept else { return Ok(()) };
        let (priorities, tiers) = (priorities(&decided.events)?, small(&decided.events, "tier")?);
        let tokens = texts(&decided.events, "token")?;
        for row in (0..kept.len()).filter(|row| !kept.value(*row)) {
            let priority = priorities.value(row);
            if priority > self.priority_max {
                return Err(format!("it dropped an event of priority {priority}"));
            }
            if tiers.is_valid(row) && tiers.value(row) < TIER_MIN {
                return Err(format!("it dropped an event of tier D{}", tiers.value(row)));
            }
            let token = if tokens.is_valid(row) { tokens.value(row) } else { "" };
            if !self.tokens.is_empty() && !self.tokens.contains(token) {
                return Err("it dropped an event whose token may not be".into());
            }
        }
        Ok(())
    }
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
    /// From what was offered, what the buffer says it did with it, and what it handed out again. The rows are those that
    /// were offered, whatever it handed out. The error says what about its answers cannot be.
    pub(crate) fn of(
        offered: &RecordBatch,
        admission: &Admission,
        pulled: &RecordBatch,
        sheddable: &Sheddable,
    ) -> Result<Self, String> {
        let refused = usize::try_from(admission.refused).unwrap_or(usize::MAX);
        let taken = offered.slice(0, offered.num_rows().saturating_sub(refused));
        let events = numbered(taken, &admission.assigned)?;
        let kept = if pulled.num_rows() == events.num_rows() {
            claims::same(&events, pulled)?;
            None
        } else {
            Some(claims::among(&events, pulled, TOLD)?)
        };
        let decided = Self { events, kept };
        sheddable.check(&decided)?;
        decided.check_counts(&admission.shed)?;
        Ok(decided)
    }

    /// Passes when so much was dropped, by priority.
    fn check_counts(&self, said: &[ClassCount]) -> Result<(), String> {
        let (_, shed) = self.counts();
        let mut told = [0_u64; PRIORITIES];
        for class in said {
            let count = told.get_mut(usize::from(class.priority));
            let count = count.ok_or_else(|| format!("it dropped events of priority {}", class.priority))?;
            *count = count.saturating_add(class.events);
        }
        if told == shed {
            Ok(())
        } else {
            Err(format!("by priority it dropped {shed:?} events and says {told:?}"))
        }
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
fn numbered(offered: RecordBatch, assigned: &[u64]) -> Result<RecordBatch, String> {
    let sequences = sequences(&offered)?;
    if sequences.null_count() != assigned.len() {
        return Err(format!(
            "{} events had no number and got {}",
            sequences.null_count(),
            assigned.len()
        ));
    }
    if assigned.is_empty() {
        return Ok(offered);
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
    small(batch, "priority")
}

fn small<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a UInt8Array, String> {
    let column = batch.column_by_name(name);
    column
        .and_then(|column| column.as_primitive_opt::<UInt8Type>())
        .ok_or_else(|| format!("there is no column {name} of small numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::schema;

    /// Events of priority, tier and token, numbered from 10 on where they have a number.
    fn events(rows: &[(u8, Option<u8>, &str)], numbered: bool) -> RecordBatch {
        let schema = schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match (field.name().as_str(), field.data_type()) {
                ("priority", _) => Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| row.0))),
                ("tier", _) => Arc::new(rows.iter().map(|row| row.1).collect::<UInt8Array>()),
                ("token" | "data", _) => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
                ("sequence", _) if numbered => Arc::new(UInt64Array::from_iter_values(10..10 + rows.len() as u64)),
                (_, DataType::Utf8) => Arc::new(StringArray::from(vec!["x"; rows.len()])),
                ("received_unix_ns", _) => Arc::new(arrow_array::Int64Array::from(vec![1; rows.len()])),
                (_, other) => arrow_array::new_null_array(other, rows.len()),
            }
        });
        let columns = columns.collect();
        RecordBatch::try_new(schema, columns).unwrap()
    }

    fn setting(key: &str, value: &str) -> Setting {
        Setting {
            key: key.into(),
            value: value.into(),
        }
    }

    fn of(
        offered: &RecordBatch,
        pulled: &RecordBatch,
        shed: &[(u8, u64)],
        assigned: &[u64],
        settings: &[Setting],
    ) -> Result<Decided, String> {
        let class = |(priority, events): &(u8, u64)| ClassCount {
            priority: *priority,
            events: *events,
            size_bytes: 1,
        };
        let admission = Admission {
            offered: offered.num_rows() as u64,
            kept: pulled.num_rows() as u64,
            shed: shed.iter().map(class).collect(),
            refused: 0,
            assigned: assigned.to_vec(),
            level_changes: Vec::new(),
        };
        Decided::of(offered, &admission, pulled, &Sheddable::of(settings))
    }

    #[test]
    fn only_what_the_settings_allow_may_be_dropped() {
        let kinds = [
            (0, None, "a"),
            (1, Some(2), "b"),
            (1, Some(1), "c"),
            (0, Some(0), "d"),
            (2, None, "e"),
            (4, None, "f"),
        ];
        let all = events(&kinds, true);
        let without = |gone: usize| {
            let kept: BooleanArray = (0..kinds.len()).map(|row| Some(row != gone)).collect();
            filter(&all, &kept).unwrap()
        };
        let dropped = |settings: &[Setting]| -> Vec<bool> {
            let one = |gone: usize| of(&all, &without(gone), &[(kinds[gone].0, 1)], &[], settings).is_ok();
            (0..kinds.len()).map(one).collect()
        };
        assert_eq!(dropped(&[]), [true, true, false, false, false, false]);
        assert_eq!(
            dropped(&[setting("shed-priority-max", "3")]),
            [true, true, false, false, true, false]
        );
        assert_eq!(
            dropped(&[setting("shed-priority-max", "0")]),
            [true, false, false, false, false, false]
        );
        assert_eq!(
            dropped(&[setting("shed-tokens", "x,b")]),
            [false, true, false, false, false, false]
        );
        assert_eq!(
            dropped(&[setting("shed-tokens", ""), setting("shed-priority-max", "4")]),
            [true, true, false, false, true, false]
        );
    }

    #[test]
    fn what_it_says_it_dropped_is_what_is_not_handed_out() {
        let all = events(&[(0, None, "a"), (1, None, "b"), (1, None, "c")], true);
        let first = all.slice(0, 1);
        of(&all, &first, &[(1, 1), (1, 1)], &[], &[]).unwrap();
        for said in [
            &[(1, 1)][..],
            &[(0, 2)],
            &[(1, 2), (0, 1)],
            &[(5, 2)],
            &[(1, u64::MAX), (1, 3)],
            &[],
        ] {
            assert!(of(&all, &first, said, &[], &[]).is_err(), "{said:?}");
        }
        assert!(of(&all, &all, &[(0, 1)], &[], &[]).is_err());
        assert!(of(&all, &events(&[(1, None, "z")], true), &[(0, 1), (1, 1)], &[], &[]).is_err());
    }

    #[test]
    fn numbers_are_those_it_gave_and_no_others() {
        let bare = events(&[(0, None, "a"), (1, None, "b")], false);
        let numbered = events(&[(0, None, "a"), (1, None, "b")], true);
        let decided = of(&bare, &numbered, &[], &[10, 11], &[]).unwrap();
        assert_eq!(sequences(&decided.events).unwrap().values(), &[10, 11]);
        for assigned in [&[10, 12][..], &[10], &[10, 11, 12], &[]] {
            assert!(of(&bare, &numbered, &[], assigned, &[]).is_err(), "{assigned:?}");
        }
        assert!(of(&numbered, &numbered, &[], &[10], &[]).is_err());
    }
}
