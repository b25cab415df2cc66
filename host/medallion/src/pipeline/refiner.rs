//! Keeps a silver gate running: calls it, starts it again after a failure, and leaves out what silver has already.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use kinetic_kernel::Occupant;
use kinetic_model::Digest;

use super::decided::filter;
use super::seen::Seen;
use super::strikes::Strikes;
use super::{claims, ipc, said};
use crate::subsystem::silver::{
    Deduplication, Error, Identity, KeyColumn, Normalization, SilverGate, Survivor, Table, Transformed,
};
use crate::{MedallionError, event};

/// The name of this subsystem in errors and in commands.
pub const SILVER_GATE: &str = "silver-gate";
/// The column it adds to rows it does not accept.
const REJECT_REASON: &str = "reject_reason";
/// What is behind the name of an id's column in that of its old form.
const LEGACY: &str = "_legacy";

/// What became of a batch: rows = accepted + duplicates + rejected.
pub(crate) struct Refined {
    /// Rows with their ids.
    pub(crate) accepted: RecordBatch,
    /// Rows it could not accept, with the reason.
    pub(crate) rejected: Option<RecordBatch>,
    /// How many rows said what another one had said.
    pub(crate) duplicates: u64,
}

/// The one who calls the gate.
pub(crate) struct Refiner {
    component: Occupant,
    running: Option<SilverGate>,
    table: Table,
    /// The schema of accepted rows, known from the first answer.
    schema: Option<SchemaRef>,
    strikes: Strikes,
}

impl Refiner {
    /// For this component; with the ids of the 0.80 line as well, if they are asked for.
    pub(crate) fn new(component: Occupant, strikes_max: u32, legacy_ids: bool) -> Self {
        Self {
            component,
            running: None,
            table: telemetry(legacy_ids),
            schema: None,
            strikes: Strikes::new(SILVER_GATE, strikes_max),
        }
    }

    pub(crate) const fn strikes(&self) -> &Strikes {
        &self.strikes
    }

    pub(crate) const fn digest(&self) -> Digest {
        self.component.digest
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The schema of accepted rows.
    ///
    /// # Errors
    /// As [`Refiner::refine`].
    pub(crate) async fn schema(&mut self) -> Result<SchemaRef, MedallionError> {
        if self.schema.is_none() {
            let nothing = RecordBatch::new_empty(event::schema());
            self.transform(&nothing).await?;
        }
        self.schema.clone().ok_or_else(|| MedallionError::BadAnswer {
            subsystem: SILVER_GATE.into(),
            why: "it gave no schema".into(),
        })
    }

    /// Gives rows their ids. Those silver has already are left out, and all these are marked as there.
    ///
    /// # Errors
    /// `Quarantined`: the gate failed too often. `BadAnswer`.
    pub(crate) async fn refine(&mut self, events: &RecordBatch, seen: &mut Seen) -> Result<Refined, MedallionError> {
        let mut refined = self.transform(events).await?;
        let fresh = seen.fresh(&refined.accepted).map_err(bad_answer)?;
        let before = refined.accepted.num_rows();
        if fresh.true_count() < before {
            refined.accepted = filter(&refined.accepted, &fresh)?;
            refined.duplicates += (before - refined.accepted.num_rows()) as u64;
        }
        Ok(refined)
    }

    async fn transform(&mut self, events: &RecordBatch) -> Result<Refined, MedallionError> {
        let stream = ipc::write(events)?;
        loop {
            self.strikes.check()?;
            let why = match self.try_transform(&stream).await {
                Ok(Ok(transformed)) => match self.check(events, transformed) {
                    Ok(refined) => return Ok(refined),
                    Err(why) => why,
                },
                Ok(Err(refused)) => format!("it refused a batch: {refused:?}"),
                Err(why) => why,
            };
            self.running = None;
            self.strikes.failed(&why, &self.component.reports).await?;
        }
    }

    async fn try_transform(&mut self, stream: &[u8]) -> Result<Result<Transformed, Error>, String> {
        if self.running.as_ref().is_none_or(|gate| !gate.is_alive()) {
            let gate = SilverGate::start(&self.component.capability).await;
            self.running = Some(gate.map_err(|error| error.to_string())?);
        }
        let Some(gate) = self.running.as_mut() else {
            return Err("it does not run".into());
        };
        let called = gate.transform(&self.table, stream).await;
        if matches!(called.result, Ok(Ok(_))) {
            self.component.reports.called(&called.usage);
        }
        said(called)
    }

    /// Whether the answer is what the contract says: nothing vanished, nothing was made up or changed, nothing is in
    /// another order, the columns are right.
    fn check(&mut self, events: &RecordBatch, answer: Transformed) -> Result<Refined, String> {
        let counts = [answer.accepted_rows, answer.duplicates, answer.rejected_rows];
        let accounted = counts.into_iter().fold(0, u64::saturating_add);
        if answer.rows != events.num_rows() as u64 || accounted != answer.rows {
            let (rows, said) = (events.num_rows(), answer.rows);
            return Err(format!(
                "of {rows} rows it says there are {said}, and accounted for {accounted}"
            ));
        }
        let accepted = claims::read(answer.accepted)?;
        let schema = self.silver_schema(accepted.schema_ref())?;
        let accepted = ipc::with_schema(&accepted, schema.clone()).map_err(|error| error.to_string())?;
        for id in ids(&self.table) {
            claims::ids(&accepted, id)?;
        }
        let rejected = if answer.rejected.is_empty() {
            None
        } else {
            Some(rejected(answer.rejected)?).filter(|rows| rows.num_rows() > 0)
        };
        let rejected_rows = rejected.as_ref().map_or(0, RecordBatch::num_rows) as u64;
        if [accepted.num_rows() as u64, rejected_rows] != [answer.accepted_rows, answer.rejected_rows] {
            return Err("it gave other numbers of rows than it says".into());
        }
        claims::same(&to_accept(events, rejected.as_ref(), answer.duplicates)?, &accepted)?;
        self.schema = Some(schema);
        Ok(Refined {
            accepted,
            rejected,
            duplicates: answer.duplicates,
        })
    }

    /// The schema of silver: our columns, the ids, and what the gate says of itself, which never changes.
    fn silver_schema(&self, theirs: &SchemaRef) -> Result<SchemaRef, String> {
        let ids = ids(&self.table).map(|id| Field::new(id, DataType::Utf8, false));
        let schema = with_columns(theirs, ids)?;
        match &self.schema {
            Some(known) if *known != schema => Err("it says otherwise than before how its ids are made".into()),
            _ => Ok(schema),
        }
    }

    /// Starts another gate, if it makes the same ids in the same columns of an empty batch; `anew` says that silver is made
    /// anew where it does not. This one stays.
    ///
    /// # Errors
    /// `SwapRefused`.
    pub(crate) async fn prepare(&mut self, component: Occupant, anew: bool) -> Result<NextGate, MedallionError> {
        let refused = |why: String| MedallionError::SwapRefused {
            subsystem: SILVER_GATE.into(),
            why,
        };
        let mut gate = SilverGate::start(&component.capability)
            .await
            .map_err(|error| refused(error.to_string()))?;
        let nothing = RecordBatch::new_empty(event::schema());
        let answer = said(gate.transform(&self.table, &ipc::write(&nothing)?).await).map_err(refused)?;
        let answer = answer.map_err(|error| refused(format!("it refuses an empty batch: {error:?}")))?;
        let before = self.schema.take();
        let checked = self.check(&nothing, answer);
        let schema = std::mem::replace(&mut self.schema, before);
        checked.map_err(refused)?;
        let schema = schema.ok_or_else(|| refused("it gave no schema".into()))?;
        let changed = self.schema.as_ref().is_some_and(|before| *before != schema);
        if changed && !anew {
            return Err(refused(
                "its ids follow another scheme than those in silver; with --discard-state silver is made anew from bronze"
                    .into(),
            ));
        }
        Ok(NextGate {
            component,
            gate,
            schema,
            changed,
        })
    }

    /// Lets a gate that is ready begin.
    pub(crate) fn take_in(&mut self, next: NextGate) {
        self.component = next.component;
        self.running = Some(next.gate);
        self.schema = Some(next.schema);
        self.strikes.forgive();
    }
}

/// A gate that is ready to begin.
pub(crate) struct NextGate {
    component: Occupant,
    gate: SilverGate,
    /// The schema of the rows it accepts.
    pub(crate) schema: SchemaRef,
    /// Whether silver has another one.
    pub(crate) changed: bool,
}

/// Shows in an instance of its own that a gate makes silver's columns of an empty batch.
pub(crate) async fn try_out(candidate: &Occupant, legacy_ids: bool) -> Result<(), String> {
    // Nobody is told of what goes wrong here but who asked.
    let alone = Occupant::unwatched(candidate.capability.clone(), candidate.digest);
    match Refiner::new(alone, 1, legacy_ids).schema().await {
        Ok(_) => Ok(()),
        Err(MedallionError::Quarantined { why, .. }) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

/// Our columns and these, if their schema has just those; with what it says of itself.
fn with_columns(theirs: &SchemaRef, added: impl Iterator<Item = Field>) -> Result<SchemaRef, String> {
    let source = event::schema();
    let fields: Vec<_> = source.fields().iter().cloned().chain(added.map(Arc::new)).collect();
    let named = |field: &Field| (field.name().clone(), field.data_type().clone());
    let are = theirs.fields().iter().map(|field| named(field));
    if !are.eq(fields.iter().map(|field| named(field))) {
        let are = theirs
            .fields()
            .iter()
            .map(|field| format!("{} ({})", field.name(), field.data_type()));
        return Err(format!("its columns are {}", are.collect::<Vec<_>>().join(", ")));
    }
    let mut metadata = theirs.metadata().clone();
    metadata.extend(source.metadata().clone());
    Ok(Arc::new(Schema::new(fields).with_metadata(metadata)))
}

/// The rows it rejected.
fn rejected(stream: Vec<u8>) -> Result<RecordBatch, String> {
    let rows = claims::read(stream)?;
    let reason = Field::new(REJECT_REASON, DataType::Utf8, false);
    let schema = with_columns(rows.schema_ref(), std::iter::once(reason))?;
    ipc::with_schema(&rows, schema).map_err(|error| error.to_string())
}

/// The rows that are to be accepted when these are rejected: all others, and where it says that some are there twice,
/// the first one of each number.
fn to_accept(events: &RecordBatch, rejected: Option<&RecordBatch>, duplicates: u64) -> Result<RecordBatch, String> {
    let pick =
        |rows: &RecordBatch, which: &BooleanArray| filter_record_batch(rows, which).map_err(|error| error.to_string());
    let mut rows = events.clone();
    if let Some(rejected) = rejected {
        let schema = event::schema();
        let columns = schema.fields().iter().map(|field| field.name().as_str());
        let rejected = claims::among(&rows, rejected, columns)?;
        rows = pick(&rows, &BooleanArray::new(!rejected.values(), None))?;
    }
    if duplicates > 0 {
        let first = Seen::default().fresh(&rows)?;
        rows = pick(&rows, &first)?;
    }
    Ok(rows)
}

fn bad_answer(why: String) -> MedallionError {
    MedallionError::BadAnswer {
        subsystem: SILVER_GATE.into(),
        why,
    }
}

/// Silver's table of telemetry: an entity is an intent of a workflow, an event one of its numbers at a node.
fn telemetry(legacy_ids: bool) -> Table {
    let identity = |column: &str, keys: &[&str]| Identity {
        column: column.into(),
        keys: keys.iter().map(|name| key(name)).collect(),
        legacy_column: legacy_ids.then(|| format!("{column}{LEGACY}")),
    };
    Table {
        name: "telemetry".into(),
        identities: vec![
            identity("entity_uuid", &["intent_id", "workflow_id"]),
            identity("event_uuid", &["workflow_id", "intent_id", "node_cid", "sequence"]),
        ],
        deduplicate: Some(Deduplication {
            column: "event_uuid".into(),
            keep: Survivor::First,
        }),
        required: Vec::new(),
    }
}

/// The columns of a table's ids, in order.
fn ids(table: &Table) -> impl Iterator<Item = &str> {
    table
        .identities
        .iter()
        .flat_map(|id| [Some(id.column.as_str()), id.legacy_column.as_deref()])
        .flatten()
}

fn key(name: &str) -> KeyColumn {
    KeyColumn {
        name: name.into(),
        normalize: Normalization::None,
    }
}
