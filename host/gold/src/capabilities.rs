//! One row per function of a capsule: how often it was called, how often it failed, what it used.

use polars::prelude::PolarsResult;
use serde_json::{Map, Value};

use crate::interner::{Interner, Number};
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
    used: Used,
}

/// How a call ended, and what it used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Used {
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
            used: Used {
                failed: text("outcome").is_some_and(|outcome| outcome != "ok"),
                fuel: number("fuel"),
                peak_memory_bytes: number("peak_memory_bytes"),
                wall_time_ns: number("wall_time_ns"),
                input_bytes: number("input_bytes"),
                output_bytes: number("output_bytes"),
            },
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

/// The calls of some capsules, each name held once.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    interner: Interner,
    calls: Vec<Counted>,
}

/// A call by the numbers of its capsule, version and function.
#[derive(Clone, Copy, Debug)]
struct Counted {
    names: [Option<Number>; 3],
    used: Used,
}

impl Calls {
    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.calls.len() as u64
    }

    /// Adds one.
    pub(crate) fn add(&mut self, call: &Call) -> PolarsResult<()> {
        let mut names = [None; 3];
        for (number, name) in names.iter_mut().zip([&call.capsule, &call.version, &call.function]) {
            *number = name.as_ref().map(|name| self.interner.number(name)).transpose()?;
        }
        let used = call.used;
        self.calls.push(Counted { names, used });
        Ok(())
    }

    /// Their rows.
    pub(crate) fn measure(mut self) -> Vec<CapabilityRow> {
        self.calls.sort_unstable_by_key(|call| call.names);
        let (texts, ranks) = self.interner.sorted();
        let functions = self.calls.chunk_by(|a, b| a.names == b.names);
        let rows = functions.filter_map(|calls| {
            let names = calls.first()?.names.map(|name| {
                let mut name = name?;
                ranks.put(&mut name);
                Some(texts.of(name).to_owned())
            });
            Some(row(names, calls))
        });
        rows.collect()
    }
}

fn row([capsule, version, function]: [Option<String>; 3], calls: &[Counted]) -> CapabilityRow {
    let used = || calls.iter().map(|call| call.used);
    let fuel = Percentiles::of_whole(used().filter_map(|used| used.fuel).collect());
    let times = Percentiles::of_whole(used().filter_map(|used| used.wall_time_ns).collect());
    let wall_ms = |percent| times.at(percent).map(nanoseconds);
    CapabilityRow {
        capsule,
        version,
        function,
        calls: calls.len() as u64,
        errors: used().filter(|used| used.failed).count() as u64,
        fuel_total: total(used().map(|used| used.fuel)),
        fuel_p50: fuel.at(50),
        memory_peak_bytes_max: used().filter_map(|used| used.peak_memory_bytes).max(),
        wall_p50_ms: wall_ms(50),
        wall_p95_ms: wall_ms(95),
        wall_p99_ms: wall_ms(99),
        input_bytes: total(used().map(|used| used.input_bytes)),
        output_bytes: total(used().map(|used| used.output_bytes)),
    }
}

/// Hostile numbers end at the largest there is.
fn total(numbers: impl Iterator<Item = Option<u64>>) -> u64 {
    numbers.flatten().fold(0, u64::saturating_add)
}

/// Nanoseconds as milliseconds.
fn nanoseconds(ns: u64) -> f64 {
    milliseconds(0, i64::try_from(ns).unwrap_or(i64::MAX))
}
