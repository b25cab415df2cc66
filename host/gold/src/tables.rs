//! The rows of the tables as they are read back, and how they become columns.

use std::path::Path;

use polars::prelude::*;
use polars_io::prelude::*;
use serde::Serialize;

use crate::GoldError;
use crate::error::{damaged, io};
use crate::groups::none_last;

/// The file of [`MetricsRow`]s.
pub const METRICS: &str = "metrics.parquet";
/// The file of [`UsageRow`]s.
pub const USAGE_GRAPH: &str = "usage_graph.parquet";
/// The file of [`CapabilityRow`]s.
pub const CAPABILITIES: &str = "capabilities.parquet";

/// What gold holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tables {
    /// By `workflow_id`; events without one are the last row.
    pub metrics: Vec<MetricsRow>,
    /// By `workflow_id`, its edges and then its nodes.
    pub usage_graph: Vec<UsageRow>,
    /// By `capsule`, `version` and `function`.
    pub capabilities: Vec<CapabilityRow>,
}

/// Reads the tables in a folder.
///
/// # Errors
/// [`GoldError::NoTables`] when they were never computed, [`GoldError::Damaged`] when one cannot be read.
pub fn tables(folder: &Path) -> Result<Tables, GoldError> {
    Ok(Tables {
        metrics: read(folder, METRICS)?,
        usage_graph: read(folder, USAGE_GRAPH)?,
        capabilities: read(folder, CAPABILITIES)?,
    })
}

fn read<T: Row>(folder: &Path, name: &str) -> Result<Vec<T>, GoldError> {
    let path = folder.join(name);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = folder.display().to_string();
            return Err(GoldError::NoTables { folder });
        }
        read => read.map_err(io(format!("read {}", path.display())))?,
    };
    let frame = ParquetReader::new(std::io::Cursor::new(bytes)).finish();
    frame.and_then(|frame| T::rows(&frame)).map_err(damaged(&path))
}

/// A row of a table: a struct whose fields are the columns.
pub(crate) trait Row: Sized {
    /// Rows as columns.
    fn frame(rows: &[Self]) -> PolarsResult<DataFrame>;
    /// Columns as rows; there must be all of them, in their types.
    fn rows(frame: &DataFrame) -> PolarsResult<Vec<Self>>;
}

/// A type that a field of a row may have.
trait Cell: Sized {
    fn column(name: &str, cells: Vec<Self>) -> Column;
    fn cells(column: &Column) -> PolarsResult<Vec<Self>>;
}

impl MetricsRow {
    pub(crate) fn order(&self) -> impl Ord {
        none_last(self.workflow_id.as_deref())
    }
}

impl UsageRow {
    pub(crate) fn order(&self) -> impl Ord {
        let from = (&self.kind, &self.from_kind, &self.from_id);
        (none_last(self.workflow_id.as_deref()), from, &self.to_kind, &self.to_id)
    }
}

impl CapabilityRow {
    pub(crate) fn order(&self) -> impl Ord {
        [&self.capsule, &self.version, &self.function].map(|name| none_last(name.as_deref()))
    }
}

macro_rules! cells {
    ($($ty:ty: $read:ident),* $(,)?) => { $(
        impl Cell for Option<$ty> {
            fn column(name: &str, cells: Vec<Self>) -> Column {
                Column::new(name.into(), cells)
            }
            fn cells(column: &Column) -> PolarsResult<Vec<Self>> {
                Ok(column.$read()?.iter().map(|cell| cell.map(Into::into)).collect())
            }
        }
        impl Cell for $ty {
            fn column(name: &str, cells: Vec<Self>) -> Column {
                Column::new(name.into(), cells)
            }
            fn cells(column: &Column) -> PolarsResult<Vec<Self>> {
                let cells: Option<Vec<Self>> = Option::<$ty>::cells(column)?.into_iter().collect();
                cells.ok_or_else(|| polars_err!(ComputeError: "the column {} has nulls", column.name()))
            }
        }
    )* };
}

cells! { String: str, u64: u64, i64: i64, f64: f64 }

macro_rules! row {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct $name { $($(#[$field_meta])* pub $field: $ty,)* }

        impl Row for $name {
            fn frame(rows: &[Self]) -> PolarsResult<DataFrame> {
                let columns = vec![
                    $(<$ty as Cell>::column(stringify!($field), rows.iter().map(|row| row.$field.clone()).collect()),)*
                ];
                DataFrame::new(rows.len(), columns)
            }

            fn rows(frame: &DataFrame) -> PolarsResult<Vec<Self>> {
                $(let mut $field = <$ty as Cell>::cells(frame.column(stringify!($field))?)?.into_iter();)*
                Ok(std::iter::from_fn(|| Some(Self { $($field: $field.next()?,)* })).collect())
            }
        }
    };
}

row! {
    /// A workflow. Its percentiles are by nearest rank; they are none where there is no sample.
    pub struct MetricsRow {
        /// The workflow; none for all events that name none.
        workflow_id: Option<String>,
        /// Events in silver.
        events: u64,
        /// Different `node_cid`s.
        unique_nodes: u64,
        /// Different `intent_id`s.
        intents: u64,
        /// Prompt tokens, as usage frames say them.
        prompt_tokens: i64,
        /// Completion tokens, as usage frames say them.
        completion_tokens: i64,
        /// Those of the prompt tokens that were in the model's cache.
        cached_tokens: i64,
        /// What the tokens cost, in the currency of the prices.
        cost: f64,
        /// Half of the latencies are at most this, in milliseconds.
        latency_p50_ms: Option<f64>,
        /// 95 % of the latencies are at most this, in milliseconds.
        latency_p95_ms: Option<f64>,
        /// 99 % of the latencies are at most this, in milliseconds.
        latency_p99_ms: Option<f64>,
        /// From a stream's first event to its first token, in milliseconds.
        first_token_p50_ms: Option<f64>,
        /// Half of the times between tokens are at most this, in milliseconds.
        inter_token_p50_ms: Option<f64>,
        /// 95 % of the times between tokens are at most this, in milliseconds.
        inter_token_p95_ms: Option<f64>,
        /// 99 % of the times between tokens are at most this, in milliseconds.
        inter_token_p99_ms: Option<f64>,
        /// Events with an error.
        errors: u64,
        /// `errors` of `events`, 0 to 1; none without events.
        error_rate: Option<f64>,
        /// Events the forget gate dropped.
        shed: u64,
        /// `shed` of `shed` and `events` together, 0 to 1.
        shed_rate: Option<f64>,
        /// How far the later tokens are from the earlier ones, 0 to 1; none with fewer than 2 tokens.
        drift: Option<f64>,
        /// When the first event was received, in nanoseconds since 1970; none when all were shed.
        first_unix_ns: Option<i64>,
        /// When the last event was received, in nanoseconds since 1970; none when all were shed.
        last_unix_ns: Option<i64>,
    }
}

row! {
    /// A node or an edge of the graph of what used what.
    pub struct UsageRow {
        /// `node` or `edge`.
        kind: String,
        /// The workflow it was seen in; none for events that name none.
        workflow_id: Option<String>,
        /// `workflow`, `intent`, `node` or `model`: the node itself, or where the edge begins.
        from_kind: String,
        /// Its id, or a model's name.
        from_id: String,
        /// Where the edge ends, `intent`, `node` or `model`; none of a node.
        to_kind: Option<String>,
        /// Its id, or a model's name; none of a node.
        to_id: Option<String>,
        /// Events that name it, or both its ends.
        events: u64,
        /// Those of them with an error.
        errors: u64,
    }
}

row! {
    /// A function of a capsule. What a call's record does not say is in no sum and no percentile.
    pub struct CapabilityRow {
        /// The capsule's URN; none for records that name none.
        capsule: Option<String>,
        /// The capsule's version.
        version: Option<String>,
        /// The function that was called.
        function: Option<String>,
        /// Calls.
        calls: u64,
        /// Calls whose outcome was another than `ok`.
        errors: u64,
        /// Fuel of all calls together.
        fuel_total: u64,
        /// Half of the calls took at most this fuel.
        fuel_p50: Option<u64>,
        /// The most memory a call held, in bytes.
        memory_peak_bytes_max: Option<u64>,
        /// Half of the calls took at most this, in milliseconds.
        wall_p50_ms: Option<f64>,
        /// 95 % of the calls took at most this, in milliseconds.
        wall_p95_ms: Option<f64>,
        /// 99 % of the calls took at most this, in milliseconds.
        wall_p99_ms: Option<f64>,
        /// Bytes that went in, of all calls together.
        input_bytes: u64,
        /// Bytes that came out, of all calls together.
        output_bytes: u64,
    }
}
