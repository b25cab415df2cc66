//! From bronze to silver: ids, one row for each fact, and a reason for every row that is left out.

use std::collections::HashMap;

use arrow_array::{ArrayRef, BooleanArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;

use crate::duplicate::{Survivors, ranks};
use crate::error::{Error, other};
use crate::id::{Id, TEXT_BYTES};
use crate::identity;
use crate::ipc::{self, Added, Batch, Source, Stream, Texts};
use crate::name::Names;
use crate::plan::Plan;
use crate::reject::Reasons;
use crate::scheme;
use crate::table::{Normalization, REJECT_REASON, Survivor, Table};
use crate::token::Tokens;
use crate::{column::Column, legacy};

/// What became of a batch: rows = accepted + duplicates + rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformed {
    /// How many rows it had.
    pub rows: u64,
    /// How many are in `accepted`.
    pub accepted_rows: u64,
    /// How many were left out because another row says the same.
    pub duplicates: u64,
    /// How many are in `rejected`.
    pub rejected_rows: u64,
    /// The rows with their ids, in the order of the batch, as an Arrow IPC stream: the batch's columns, then for each
    /// identity its column (utf8, 36 characters, never null) and, if asked for, its legacy column (the same). The schema's
    /// metadata tells `kinetic.table`, `kinetic.identity.scheme`, `kinetic.identity.version` and
    /// `kinetic.identity.namespace`.
    pub accepted: Vec<u8>,
    /// The rows that cannot be accepted, in the order of the batch, as an Arrow IPC stream: the batch's columns, then
    /// `reject_reason` (utf8, never null). No bytes when there are none.
    pub rejected: Vec<u8>,
}

/// The most ids made in one call.
pub const IDS_MAX: usize = 8 << 20;

/// Makes silver of a batch: an Arrow IPC stream of any number of record batches, without dictionaries and compression.
pub fn transform(table: &Table, batch: Vec<u8>) -> Result<Transformed, Error> {
    table.check()?;
    let batch_bytes = batch.len();
    let source = ipc::read(batch)?;
    let plan = Plan::of(table, &source.schema)?;
    let rows: usize = source.batches.iter().map(|batch| batch.rows).sum();
    let ids = rows * plan.columns;
    if ids > IDS_MAX {
        return Err(Error::Other(format!(
            "the batch needs {ids} ids; at most {IDS_MAX} are made at a time, so make smaller batches"
        )));
    }
    let made = source
        .batches
        .iter()
        .map(|batch| make(&plan, batch))
        .collect::<Result<Vec<Made>, Error>>()?;
    let stay = survivors(table, &plan, &source, &made, rows);
    let likely_bytes = batch_bytes + ids * (TEXT_BYTES + size_of::<i32>()) + 4_096;
    let mut silver = Silver {
        table,
        schema: source.schema.clone(),
        accepted: Stream::new(&accepted_schema(table, &source.schema), likely_bytes)?,
        rejected: None,
        accepted_rows: 0,
        rejected_rows: 0,
    };
    let mut first_row = 0;
    for (batch, made) in source.batches.iter().zip(&made) {
        silver.push(
            batch,
            made,
            stay.as_deref().map(|stay| stay.get(first_row..).unwrap_or_default()),
        )?;
        first_row += batch.rows;
    }
    Ok(Transformed {
        rows: rows as u64,
        accepted_rows: silver.accepted_rows as u64,
        duplicates: (rows - silver.accepted_rows - silver.rejected_rows) as u64,
        rejected_rows: silver.rejected_rows as u64,
        accepted: silver.accepted.finish(),
        rejected: silver.rejected.map(Stream::finish).unwrap_or_default(),
    })
}

/// What is made of a record batch before it is known which rows stay.
struct Made {
    /// The columns to add, in order.
    ids: Vec<Vec<Id>>,
    /// The rows that cannot be accepted.
    reasons: Reasons,
}

/// A key column, from which tokens are made.
enum Key<'a> {
    Plain(&'a Texts),
    Other(ArrayRef),
}

fn make(plan: &Plan, batch: &Batch) -> Result<Made, Error> {
    let lost = || Error::Other("a key column has vanished".into());
    let array = |place: usize| batch.columns.get(place).ok_or_else(lost)?.array();
    let mut keys = Vec::with_capacity(plan.tokens.len());
    for (place, normalize) in &plan.tokens {
        keys.push(match batch.columns.get(*place) {
            Some(ipc::Column::Texts(texts)) if *normalize == Normalization::None && !texts.escapes => Key::Plain(texts),
            _ => Key::Other(array(*place)?),
        });
    }
    let rows = batch.rows;
    let mut tokens = Vec::with_capacity(keys.len());
    for (key, (_, normalize)) in keys.iter().zip(&plan.tokens) {
        tokens.push(match key {
            Key::Plain(texts) => Tokens::plain(texts),
            Key::Other(array) => Tokens::of(Column::of(array).ok_or_else(lost)?, rows, *normalize)?,
        });
    }
    let mut reasons = Reasons::nulls(batch, &plan.required);
    let mut ids = Vec::with_capacity(plan.columns);
    for (index, identity) in plan.identities.iter().enumerate() {
        let keys: Vec<&Tokens<'_>> = identity.tokens.iter().filter_map(|place| tokens.get(*place)).collect();
        let (made, too_long) = identity::ids(&Names::of(&keys), rows);
        reasons.too_long(index, &too_long);
        ids.push(made);
        if identity.legacy {
            let keys: Vec<ArrayRef> = identity
                .keys
                .iter()
                .map(|place| array(*place))
                .collect::<Result<_, Error>>()?;
            let keys = keys.iter().map(|array| Column::of(array).ok_or_else(lost));
            let keys: Vec<Column<'_>> = keys.collect::<Result<_, Error>>()?;
            ids.push(legacy::ids(&keys, rows)?);
        }
    }
    Ok(Made { ids, reasons })
}

/// For each row of all record batches, whether it stays; nothing if rows are not deduplicated.
fn survivors(table: &Table, plan: &Plan, source: &Source, made: &[Made], rows: usize) -> Option<Vec<bool>> {
    let deduplicate = table.deduplicate.as_ref()?;
    let mut survivors = Survivors::new(rows);
    let mut first_row = 0;
    for (batch, made) in source.batches.iter().zip(made) {
        let ranks = match deduplicate.keep {
            Survivor::First => None,
            Survivor::Smallest(_) => plan.rank.and_then(|place| match batch.columns.get(place)? {
                ipc::Column::Array(array) => ranks(array),
                ipc::Column::Texts(_) => None,
            }),
        };
        let ids = made.ids.get(plan.unique).into_iter().flatten();
        for (row, id) in ids.enumerate() {
            if made.reasons.of(row).is_none() {
                let rank = ranks.as_ref().and_then(|ranks| ranks.get(row)).copied();
                survivors.offer(first_row + row, *id, rank.unwrap_or_default());
            }
        }
        first_row += batch.rows;
    }
    Some(survivors.stay(rows))
}

/// The streams that are being written.
struct Silver<'a> {
    table: &'a Table,
    /// The batch's own.
    schema: SchemaRef,
    accepted: Stream,
    /// None as long as no row is rejected.
    rejected: Option<Stream>,
    accepted_rows: usize,
    rejected_rows: usize,
}

impl Silver<'_> {
    /// Writes a record batch's rows where they belong. `stay` says for each row whether it survives its duplicates.
    fn push(&mut self, batch: &Batch, made: &Made, stay: Option<&[bool]>) -> Result<(), Error> {
        let rows = batch.rows;
        if made.reasons.is_empty() && stay.is_none_or(|stay| stay.iter().take(rows).all(|stays| *stays)) && rows > 0 {
            self.accepted_rows += rows;
            let added: Vec<Added<'_>> = made.ids.iter().map(|ids| Added::Ids(ids)).collect();
            return self.accepted.push_whole(batch, &added);
        }
        let stays = |row: usize| stay.is_none_or(|stay| stay.get(row).copied().unwrap_or(false));
        let kept: Vec<bool> = (0..rows)
            .map(|row| made.reasons.of(row).is_none() && stays(row))
            .collect();
        let kept_rows = kept.iter().filter(|kept| **kept).count();
        self.accepted_rows += kept_rows;
        if kept_rows > 0 {
            let ids: Vec<Vec<Id>> = made.ids.iter().map(|ids| picked(ids, &kept)).collect();
            let added: Vec<Added<'_>> = ids.iter().map(|ids| Added::Ids(ids)).collect();
            let rows = filter_record_batch(&batch.record(&self.schema)?, &BooleanArray::from(kept)).map_err(other)?;
            self.accepted.push_rows(&rows, &added)?;
        }
        let reasons: Vec<String> = made.reasons.all().map(|reason| reason.text(self.table)).collect();
        if !reasons.is_empty() {
            self.rejected_rows += reasons.len();
            let rejected: Vec<bool> = (0..rows).map(|row| made.reasons.of(row).is_some()).collect();
            let rows =
                filter_record_batch(&batch.record(&self.schema)?, &BooleanArray::from(rejected)).map_err(other)?;
            let stream = match &mut self.rejected {
                Some(stream) => stream,
                none => none.insert(Stream::new(&rejected_schema(self.table, &self.schema), 0)?),
            };
            stream.push_rows(&rows, &[Added::Texts(&reasons)])?;
        }
        Ok(())
    }
}

fn picked(ids: &[Id], kept: &[bool]) -> Vec<Id> {
    ids.iter()
        .zip(kept)
        .filter_map(|(id, kept)| kept.then_some(*id))
        .collect()
}

/// The batch's schema with these columns behind its own and these facts beside its metadata.
fn with(schema: &Schema, columns: &[&str], facts: &[(&str, &str)]) -> Schema {
    let added = columns
        .iter()
        .map(|column| Field::new(*column, DataType::Utf8, false).into());
    let fields: Vec<_> = schema.fields().iter().cloned().chain(added).collect();
    let mut metadata: HashMap<String, String> = schema.metadata().clone();
    metadata.extend(
        facts
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
    );
    Schema::new_with_metadata(fields, metadata)
}

fn accepted_schema(table: &Table, schema: &Schema) -> Schema {
    let columns: Vec<&str> = table.added_columns().collect();
    let facts = [
        ("kinetic.table", table.name.as_str()),
        ("kinetic.identity.scheme", scheme::NAME),
        ("kinetic.identity.version", scheme::VERSION),
        ("kinetic.identity.namespace", scheme::NAMESPACE),
    ];
    with(schema, &columns, &facts)
}

fn rejected_schema(table: &Table, schema: &Schema) -> Schema {
    with(schema, &[REJECT_REASON], &[("kinetic.table", &table.name)])
}
