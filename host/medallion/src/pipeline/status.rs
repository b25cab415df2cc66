//! How the pipeline is, for people and programs.

use serde::Serialize;

use super::keeper::Keeper;
use super::refiner::Refiner;
use super::strikes::Strikes;
use super::topic::Totals;

/// How the pipeline is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What has arrived, ever.
    pub totals: Totals,
    /// The stream buffer.
    pub buffer: BufferStatus,
    /// The tables.
    pub storage: StorageStatus,
}

/// How a subsystem's component is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentStatus {
    /// SHA-256 of its bytes.
    pub digest: String,
    /// `running`, `stopped` (it starts with the next batch) or `quarantined` (it failed too often: swap it).
    pub state: &'static str,
    /// How often it failed since the host started.
    pub failures: u64,
    /// Why it failed last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_failure: String,
}

impl ComponentStatus {
    fn of(digest: impl ToString, running: bool, strikes: &Strikes) -> Self {
        Self {
            digest: digest.to_string(),
            state: match (strikes.is_out(), running) {
                (true, _) => "quarantined",
                (false, true) => "running",
                (false, false) => "stopped",
            },
            failures: strikes.total(),
            last_failure: strikes.last().into(),
        }
    }
}

/// How the stream buffer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BufferStatus {
    /// Its component.
    pub component: ComponentStatus,
    /// The level at which events are dropped now, 0 to 256.
    pub level: u16,
    /// Events that are not in the tables yet, and the most it holds.
    pub events: u64,
    /// See `events`.
    pub events_max: u64,
    /// What they take, in bytes, and the most it holds.
    pub size_bytes: u64,
    /// See `size_bytes`.
    pub size_bytes_max: u64,
    /// Memory of its instance, in bytes.
    pub memory_bytes: u64,
    /// The next offset of the topic.
    pub next_offset: u64,
}

impl BufferStatus {
    pub(crate) async fn of(keeper: &mut Keeper, next_offset: u64) -> Self {
        let pressure = keeper.pressure().await;
        let of = |read: fn(&crate::subsystem::buffer::Pressure) -> u64| pressure.as_ref().map_or(0, read);
        Self {
            level: pressure.as_ref().map_or(0, |pressure| pressure.level),
            events: of(|pressure| pressure.events),
            events_max: of(|pressure| pressure.events_max),
            size_bytes: of(|pressure| pressure.size_bytes),
            size_bytes_max: of(|pressure| pressure.size_bytes_max),
            memory_bytes: keeper.memory_bytes(),
            component: ComponentStatus::of(keeper.digest(), keeper.is_running(), keeper.strikes()),
            next_offset,
        }
    }
}

/// How the tables are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StorageStatus {
    /// The silver gate.
    pub gate: ComponentStatus,
    /// Offsets of the topic below this one are in the tables, finished or not.
    pub stored_offset: u64,
    /// Offsets below this one are in finished files.
    pub durable_offset: u64,
    /// Streams that silver knows.
    pub streams: u64,
    /// Events that said again what silver had, since the host started.
    pub duplicates: u64,
    /// Events that the gate did not accept, since the host started.
    pub silver_rejected: u64,
    /// Why the tables wait, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

impl StorageStatus {
    pub(crate) fn of(
        refiner: &Refiner,
        durable: Option<u64>,
        streams: usize,
        (stored_offset, duplicates, silver_rejected): (u64, u64, u64),
        waits_for: Option<String>,
    ) -> Self {
        Self {
            gate: ComponentStatus::of(refiner.digest(), refiner.is_running(), refiner.strikes()),
            stored_offset,
            durable_offset: durable.unwrap_or(0),
            streams: streams as u64,
            duplicates,
            silver_rejected,
            waits_for,
        }
    }
}
