//! How telemetry stands in the log: one topic, three kinds of events, one record for what was decided together.
//!
//! - `kinetic.telemetry.levels`: JSON, which streams are dropped at another level from which number on;
//! - `kinetic.telemetry.events`: an Arrow IPC stream of events with their numbers. Where some were dropped a column
//!   [`KEPT`] says which were not; a replica that applies the levels drops the same ones;
//! - `kinetic.telemetry.rejects`: an Arrow IPC stream of what could not be read.
//!
//! The last event of each record carries, in its attribute `totals`, what had arrived up to and with that record.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use kinetic_ledger::bus::{Attribute, Envelope, Event, NewEvent, TopicConfig};
use kinetic_ledger::{Durability, Ledger, LedgerError};
use serde::{Deserialize, Serialize};

use super::decided::{Decided, PRIORITIES};
use super::ipc;
use crate::MedallionError;
use crate::subsystem::buffer::LevelChange;

/// The topic that holds the telemetry of a host.
pub const TOPIC: &str = "kinetic.telemetry.v1";
/// The column that says which events were kept, where not all were.
pub const KEPT: &str = "kept";

const SOURCE: &str = "/telemetry";
const LEVELS: &str = "kinetic.telemetry.levels";
const EVENTS: &str = "kinetic.telemetry.events";
const REJECTS: &str = "kinetic.telemetry.rejects";
const ARROW: &str = "application/vnd.apache.arrow.stream";
const TOTALS: &str = "totals";
/// Level changes of one event: streams have long names, and an event holds 4 MiB.
const LEVELS_MAX: usize = 1_000;

/// What has arrived, ever: `arrived` = `kept` + `shed` + `rejected`, priority by priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// All events that came.
    pub arrived: u64,
    /// Those that are in bronze or on their way there, by priority.
    pub kept: [u64; PRIORITIES],
    /// Those that were dropped under pressure, by priority.
    pub shed: [u64; PRIORITIES],
    /// Those that could not be read.
    pub rejected: u64,
    /// Receipts below this record's number are among the events.
    pub receipts_seq: u64,
}

/// One level change as it stands in the log.
#[derive(Serialize, Deserialize)]
struct Change {
    stream: String,
    from_sequence: u64,
    level: u16,
}

/// What one event of the topic says.
pub(crate) enum Logged {
    Levels(Vec<LevelChange>),
    Events(Decided),
    Rejects(RecordBatch),
    /// Of a kind this version does not know, or not readable: the reason.
    Other(String),
}

/// Makes the topic when it is missing.
pub(crate) async fn ensure(ledger: &Ledger, durability: Durability) -> Result<(), MedallionError> {
    let config = TopicConfig {
        durability: Some(durability),
        ..TopicConfig::default()
    };
    match ledger.bus().topic_stats(TOPIC) {
        Ok(stats) if stats.config.durability == Some(durability) => Ok(()),
        Ok(_) => ledger.bus().change_topic(TOPIC, config).await.map_err(fault),
        Err(LedgerError::NoTopic { .. }) => ledger.bus().create_topic(TOPIC, config).await.map(drop).map_err(fault),
        Err(error) => Err(fault(error)),
    }
}

pub(crate) fn fault(error: LedgerError) -> MedallionError {
    MedallionError::NotRecorded { why: error.to_string() }
}

/// How many events level changes take in a record; those of the stream follow them.
pub(crate) fn level_events(levels: &[LevelChange]) -> u64 {
    levels.len().div_ceil(LEVELS_MAX) as u64
}

/// The events of one record.
pub(crate) fn encode(
    first_offset: u64,
    levels: &[LevelChange],
    decided: Option<&Decided>,
    rejects: Option<&RecordBatch>,
    totals: &Totals,
) -> Result<Vec<NewEvent>, MedallionError> {
    let mut payloads: Vec<(&str, Vec<u8>)> = Vec::new();
    for levels in levels.chunks(LEVELS_MAX) {
        let levels: Vec<_> = levels.iter().map(Change::of).collect();
        let json = serde_json::to_vec(&levels).map_err(|error| MedallionError::Encoding {
            what: "write level changes".into(),
            why: error.to_string(),
        })?;
        payloads.push((LEVELS, json));
    }
    if let Some(decided) = decided {
        payloads.push((EVENTS, ipc::write(&with_kept(decided)?)?));
    }
    if let Some(rejects) = rejects {
        payloads.push((REJECTS, ipc::write(rejects)?));
    }
    let totals = serde_json::to_string(totals).unwrap_or_default();
    let last = payloads.len() as u64;
    let mut events = Vec::with_capacity(payloads.len());
    for ((kind, payload), offset) in payloads.into_iter().zip(first_offset..) {
        let id = offset.to_string();
        let mut envelope = Envelope::builder(id.as_str(), SOURCE, kind).data(payload);
        if kind != LEVELS {
            envelope = envelope.content_type(ARROW);
        }
        if offset + 1 == first_offset + last {
            envelope = envelope.extension(TOTALS, totals.as_str());
        }
        events.push(NewEvent::new(TOPIC, envelope.build().map_err(fault)?));
    }
    Ok(events)
}

/// Reads one event of the topic.
pub(crate) fn decode(event: &Event) -> Logged {
    let envelope = &event.envelope;
    let data = envelope.data_bytes().unwrap_or_default();
    let read = match envelope.kind() {
        LEVELS => levels(&data).map(Logged::Levels),
        EVENTS => ipc::read(data).and_then(without_kept).map(Logged::Events),
        REJECTS => ipc::read(data).map(Logged::Rejects),
        kind => Err(format!("its type is {kind}")),
    };
    read.unwrap_or_else(Logged::Other)
}

/// What had arrived up to and with the record this event ends.
pub(crate) fn totals(event: &Event) -> Option<Totals> {
    event.envelope.extensions().find_map(|(name, value)| match value {
        Attribute::Text(text) if name == TOTALS => serde_json::from_str(&text).ok(),
        _ => None,
    })
}

impl Change {
    fn of(change: &LevelChange) -> Self {
        Self {
            stream: change.stream.clone(),
            from_sequence: change.from_sequence,
            level: change.level,
        }
    }
}

fn levels(json: &[u8]) -> Result<Vec<LevelChange>, String> {
    let levels: Vec<Change> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let change = |level: Change| LevelChange {
        stream: level.stream,
        from_sequence: level.from_sequence,
        level: level.level,
    };
    Ok(levels.into_iter().map(change).collect())
}

fn with_kept(decided: &Decided) -> Result<RecordBatch, MedallionError> {
    let Some(kept) = &decided.kept else {
        return Ok(decided.events.clone());
    };
    let schema = decided.events.schema();
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(KEPT, DataType::Boolean, false)));
    let schema = Schema::new(fields).with_metadata(schema.metadata().clone());
    let mut columns = decided.events.columns().to_vec();
    columns.push(Arc::new(kept.clone()));
    RecordBatch::try_new(Arc::new(schema), columns).map_err(|error| MedallionError::Encoding {
        what: "mark what was kept".into(),
        why: error.to_string(),
    })
}

fn without_kept(events: RecordBatch) -> Result<Decided, String> {
    let kept: Option<BooleanArray> = match events.schema().index_of(KEPT) {
        Err(_) => None,
        Ok(place) => {
            let column = events.column(place).as_boolean_opt();
            Some(column.ok_or("its column kept holds no truth values")?.clone())
        }
    };
    let schema = crate::event::schema();
    let columns = schema.fields().iter().map(|field| {
        let column = events.column_by_name(field.name());
        column
            .map(Arc::clone)
            .ok_or_else(|| format!("it has no column {}", field.name()))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let events = RecordBatch::try_new(schema, columns).map_err(|error| error.to_string())?;
    Ok(Decided { events, kept })
}

/// Events of the topic from an offset on, a few.
pub(crate) fn read(ledger: &Ledger, offset: u64) -> Result<Vec<Arc<Event>>, MedallionError> {
    const EVENTS_READ: usize = 64;
    const BYTES_READ: u64 = 16 << 20;
    ledger
        .bus()
        .read_events(TOPIC, 0, offset, (EVENTS_READ, BYTES_READ))
        .map_err(fault)
}

/// The first offset of the topic that can be read, and the one after its last.
pub(crate) fn bounds(ledger: &Ledger) -> Result<(u64, u64), MedallionError> {
    let stats = ledger.bus().topic_stats(TOPIC).map_err(fault)?;
    let at = |offsets: &[u64]| offsets.first().copied().unwrap_or_default();
    Ok((at(&stats.first), at(&stats.heads)))
}
