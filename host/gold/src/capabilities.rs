//! One row per function of a capsule: how often it was called, how often it failed, what it used.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::groups::none_last;
use crate::percentiles::Percentiles;
use crate::tables::CapabilityRow;
use crate::tokens::milliseconds;

/// The kind of event that records a call.
pub(crate) const EXECUTION: &str = "execution";

/// The longest name of a capsule, version or function, in bytes; a longer one is none, since all of them are held in
/// memory.
pub const NAME_BYTES_MAX: usize = 1024;

/// What the record of a call says. Anyone may push records, so all of it may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Call {
    pub(crate) capsule: Option<String>,
    version: Option<String>,
    function: Option<String>,
    failed: bool,
    fuel: Option<u64>,
    peak_memory_bytes: Option<u64>,
    wall_time_ns: Option<u64>,
    input_bytes: Option<u64>,
    output_bytes: Option<u64>,
}

impl Call {
    /// Reads an event's data; of data that is no record nothing is known but that there was a call.
    pub(crate) fn read(data: &str) -> Self {
        let Some(record) = record(data) else {
            return Self::default();
        };
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        let name = |key: &str| text(key).filter(|name| name.len() <= NAME_BYTES_MAX).map(str::to_owned);
        let number = |key: &str| record.get(key).and_then(Value::as_u64);
        Self {
            capsule: name("capsule"),
            version: name("version"),
            function: name("function"),
            failed: text("outcome").is_some_and(|outcome| outcome != "ok"),
            fuel: number("fuel"),
            peak_memory_bytes: number("peak_memory_bytes"),
            wall_time_ns: number("wall_time_ns"),
            input_bytes: number("input_bytes"),
            output_bytes: number("output_bytes"),
        }
    }
}

/// The record, which may lie in the `data` of an envelope, as an object or as its text.
fn record(data: &str) -> Option<Map<String, Value>> {
    let mut event: Map<String, Value> = serde_json::from_str(data).ok()?;
    if event.contains_key("receipt_id") {
        return Some(event);
    }
    match event.remove("data") {
        Some(Value::Object(record)) => Some(record),
        Some(Value::String(record)) => serde_json::from_str(&record).ok(),
        _ => Some(event),
    }
}

/// The rows of calls, in the order of the table.
pub(crate) fn measure(calls: Vec<Call>) -> Vec<CapabilityRow> {
    let mut functions: BTreeMap<_, Vec<Call>> = BTreeMap::new();
    for mut call in calls {
        let name = (none_last(call.capsule.take()), none_last(call.version.take()));
        let name = (name, none_last(call.function.take()));
        functions.entry(name).or_default().push(call);
    }
    let rows = functions.into_iter();
    rows.map(|(((capsule, version), function), calls)| row([capsule.1, version.1, function.1], &calls))
        .collect()
}

fn row([capsule, version, function]: [Option<String>; 3], calls: &[Call]) -> CapabilityRow {
    let fuel = Percentiles::of_whole(calls.iter().filter_map(|call| call.fuel).collect());
    let times = Percentiles::of_whole(calls.iter().filter_map(|call| call.wall_time_ns).collect());
    let wall_ms = |percent| times.at(percent).map(nanoseconds);
    CapabilityRow {
        capsule,
        version,
        function,
        calls: calls.len() as u64,
        errors: calls.iter().filter(|call| call.failed).count() as u64,
        fuel_total: total(calls, |call| call.fuel),
        fuel_p50: fuel.at(50),
        memory_peak_bytes_max: calls.iter().filter_map(|call| call.peak_memory_bytes).max(),
        wall_p50_ms: wall_ms(50),
        wall_p95_ms: wall_ms(95),
        wall_p99_ms: wall_ms(99),
        input_bytes: total(calls, |call| call.input_bytes),
        output_bytes: total(calls, |call| call.output_bytes),
    }
}

/// Hostile numbers end at the largest there is.
fn total(calls: &[Call], number: impl Fn(&Call) -> Option<u64>) -> u64 {
    calls.iter().filter_map(number).fold(0, u64::saturating_add)
}

/// Nanoseconds as milliseconds.
fn nanoseconds(ns: u64) -> f64 {
    milliseconds(0, i64::try_from(ns).unwrap_or(i64::MAX))
}
