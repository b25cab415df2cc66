//! Keeps a silver gate running: calls it, starts it again after a failure, and leaves out what silver has already.

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use kinetic_model::Digest;

use super::decided::filter;
use super::seen::Seen;
use super::strikes::Strikes;
use super::{Component, ipc, said};
use crate::subsystem::silver::{
    Deduplication, Error, Identity, KeyColumn, Normalization, SilverGate, Survivor, Table, Transformed,
};
use crate::{MedallionError, event};

/// The name of this subsystem in errors and in commands.
pub const SILVER_GATE: &str = "silver-gate";
/// The columns it adds.
const IDS: [&str; 2] = ["entity_uuid", "event_uuid"];

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
    component: Component,
    running: Option<SilverGate>,
    table: Table,
    /// The schema of accepted rows, known from the first answer.
    schema: Option<SchemaRef>,
    strikes: Strikes,
}

impl Refiner {
    pub(crate) fn new(component: Component, strikes_max: u32) -> Self {
        Self {
            component,
            running: None,
            table: telemetry(),
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
        self.strikes.check()?;
        let stream = ipc::write(events)?;
        loop {
            let why = match self.try_transform(&stream).await {
                Ok(Ok(transformed)) => match self.check(events, transformed) {
                    Ok(refined) => return Ok(refined),
                    Err(why) => why,
                },
                Ok(Err(refused)) => format!("it refused a batch: {refused:?}"),
                Err(why) => why,
            };
            self.running = None;
            self.strikes.failed(&why).await?;
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
        said(gate.transform(&self.table, stream).await)
    }

    /// Whether the answer is what the contract says: nothing vanished, nothing was made up, the columns are right.
    fn check(&mut self, events: &RecordBatch, answer: Transformed) -> Result<Refined, String> {
        let accepted = ipc::read(Bytes::from(answer.accepted))?;
        let rejected = if answer.rejected.is_empty() {
            None
        } else {
            Some(ipc::read(Bytes::from(answer.rejected))?).filter(|rows| rows.num_rows() > 0)
        };
        let rejected_rows = rejected.as_ref().map_or(0, RecordBatch::num_rows) as u64;
        let accounted = accepted.num_rows() as u64 + rejected_rows + answer.duplicates;
        if accounted != events.num_rows() as u64 {
            return Err(format!("of {} rows it accounted for {accounted}", events.num_rows()));
        }
        let schema = self.silver_schema(&accepted.schema())?;
        let accepted = ipc::with_schema(&accepted, schema).map_err(|error| error.to_string())?;
        Ok(Refined {
            accepted,
            rejected,
            duplicates: answer.duplicates,
        })
    }

    /// The schema of silver, once it is known; else from the gate's answer.
    fn silver_schema(&mut self, theirs: &SchemaRef) -> Result<SchemaRef, String> {
        let source = event::schema();
        let names = source.fields().iter().map(|field| field.name().as_str()).chain(IDS);
        if !theirs.fields().iter().map(|field| field.name().as_str()).eq(names) {
            let theirs: Vec<_> = theirs.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(format!("its columns are {}", theirs.join(", ")));
        }
        let schema = self.schema.get_or_insert_with(|| {
            let mut metadata = theirs.metadata().clone();
            metadata.extend(source.metadata().clone());
            std::sync::Arc::new(Schema::new(theirs.fields().clone()).with_metadata(metadata))
        });
        Ok(schema.clone())
    }

    /// Puts another gate in its place, if it makes the same ids in the same columns of an empty batch.
    ///
    /// # Errors
    /// `SwapRefused`.
    pub(crate) async fn swap(&mut self, component: Component) -> Result<(), MedallionError> {
        let refused = |why: String| MedallionError::SwapRefused {
            subsystem: SILVER_GATE.into(),
            why,
        };
        let mut gate = SilverGate::start(&component.capability)
            .await
            .map_err(|error| refused(error.to_string()))?;
        let nothing = ipc::write(&RecordBatch::new_empty(event::schema()))?;
        let answer = said(gate.transform(&self.table, &nothing).await).map_err(refused)?;
        let answer = answer.map_err(|error| refused(format!("it refuses an empty batch: {error:?}")))?;
        let before = self.schema.take();
        let checked = self.check(&RecordBatch::new_empty(event::schema()), answer);
        if let Err(why) = checked {
            self.schema = before;
            return Err(refused(why));
        }
        if before.is_some() && before != self.schema {
            self.schema = before;
            return Err(refused(
                "its ids follow another scheme than those in silver; rebuild silver with it from the start instead"
                    .into(),
            ));
        }
        self.component = component;
        self.running = Some(gate);
        self.strikes.forgive();
        Ok(())
    }
}

fn bad_answer(why: String) -> MedallionError {
    MedallionError::BadAnswer {
        subsystem: SILVER_GATE.into(),
        why,
    }
}

/// Silver's table of telemetry: an entity is an intent of a workflow, an event one of its numbers at a node.
fn telemetry() -> Table {
    let identity = |column: &str, keys: &[&str]| Identity {
        column: column.into(),
        keys: keys.iter().map(|name| key(name)).collect(),
        legacy_column: None,
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

fn key(name: &str) -> KeyColumn {
    KeyColumn {
        name: name.into(),
        normalize: Normalization::None,
    }
}
