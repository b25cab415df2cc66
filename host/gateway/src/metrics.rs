//! What Prometheus reads: calls, their cost and outcomes, requests, the pool, the quarantine, and telemetry.
//!
//! On the path of a call there is one lookup without a lock, and counters that are already there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use kinetic_engine::{Allocation, Answer, Outcome};
use kinetic_kernel::{Kernel, Process, State};
use kinetic_model::Coded as _;
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::Reading;

/// The most functions with series of their own; what comes after shares one, so that publishing cannot fill the memory.
const FUNCTIONS_MAX: usize = 512;
/// What functions beyond that are called.
const OTHER: &str = "other";
/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS_S: [f64; 14] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0,
];

type Histograms = Family<FunctionLabels, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FunctionLabels {
    urn: String,
    function: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    urn: String,
    function: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

/// The counters of one function.
struct Series {
    labels: FunctionLabels,
    ok: Counter,
    err: Counter,
    latency: Histogram,
    guest_time: Histogram,
    fuel: Counter,
}

type ByFunction = HashMap<String, HashMap<String, Arc<Series>>>;

/// Every metric of a host.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    latency: Histograms,
    guest_time: Histograms,
    fuel: Family<FunctionLabels, Counter>,
    problems: Family<CodeLabels, Counter>,
    responses: [Counter; 5],
    compilations: Counter,
    calls_in_flight: Gauge<i64, AtomicI64>,
    requests_in_flight: Gauge<i64, AtomicI64>,
    connections: Gauge<i64, AtomicI64>,
    capsules: Gauge<i64, AtomicI64>,
    suspended: Gauge<i64, AtomicI64>,
    pinned: Gauge<i64, AtomicI64>,
    on_probation: Gauge<i64, AtomicI64>,
    quarantined: Gauge<i64, AtomicI64>,
    outbox_waiting: Gauge<i64, AtomicI64>,
    outbox_dead: Gauge<i64, AtomicI64>,
    outbox_bytes: Gauge<i64, AtomicI64>,
    pool_sandboxes: Gauge<i64, AtomicI64>,
    pool_sandboxes_max: Gauge<i64, AtomicI64>,
    pool_memories: Gauge<i64, AtomicI64>,
    pooling: Gauge<i64, AtomicI64>,
    functions: ArcSwap<ByFunction>,
    adding: Mutex<()>,
}

/// Counts something as in flight until it is dropped.
pub(crate) struct InFlight(Gauge<i64, AtomicI64>);

impl InFlight {
    fn new(gauge: &Gauge<i64, AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS_S)
}

impl Metrics {
    #[allow(clippy::too_many_lines, reason = "one line per metric")]
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("kinetic");
        let calls = Family::<CallLabels, Counter>::default();
        registry.register(
            "calls",
            "Calls that ran, by how they ended: ok, err, or the code of what stopped them",
            calls.clone(),
        );
        let latency = Histograms::new_with_constructor(histogram);
        registry.register(
            "call_latency_seconds",
            "From the start of a call to its answer",
            latency.clone(),
        );
        let guest_time = Histograms::new_with_constructor(histogram);
        registry.register(
            "call_guest_time_seconds",
            "Time the guest itself ran",
            guest_time.clone(),
        );
        let fuel = Family::<FunctionLabels, Counter>::default();
        registry.register("fuel", "Fuel used by calls", fuel.clone());
        let problems = Family::<CodeLabels, Counter>::default();
        registry.register("problems", "Failures answered, by code", problems.clone());
        let by_class = Family::<ClassLabels, Counter>::default();
        let responses =
            ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| by_class.get_or_create_owned(&ClassLabels { class }));
        registry.register("http_responses", "HTTP responses, by class of status", by_class);
        let compilations: Counter = Counter::default();
        registry.register(
            "compilations",
            "Components given to the compiler; those that the code cache had are not counted",
            compilations.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::<i64, AtomicI64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let calls_in_flight = gauge("calls_in_flight", "Calls running or waiting for a sandbox");
        let requests_in_flight = gauge("http_requests_in_flight", "HTTP requests being worked on");
        let connections = gauge("http_connections", "HTTP connections open");
        let capsules = gauge("capsules_active", "Active capsules");
        let suspended = gauge("capsules_suspended", "Suspended capsules");
        let pinned = gauge("capsules_pinned", "Versions that are kept ready beside the active ones");
        let on_probation = gauge(
            "capsules_on_probation",
            "Active capsules whose version before stands by",
        );
        let quarantined = gauge("capsules_quarantined", "Capsules in quarantine");
        let outbox_waiting = gauge("outbox_waiting", "Publications that wait for their registry");
        let outbox_dead = gauge("outbox_dead", "Publications that are not tried any more");
        let outbox_bytes = gauge("outbox_bytes", "Bytes kept for both");
        let pool_sandboxes = gauge("pool_sandboxes_in_use", "Sandboxes in use");
        let pool_sandboxes_max = gauge("pool_sandboxes_max", "Sandboxes that can be in use at once");
        let pool_memories = gauge(
            "pool_memories_in_use",
            "Linear memories in use; 0 when allocated on demand",
        );
        let pooling = gauge(
            "pool_enabled",
            "1 when sandboxes come from a pool, 0 when allocated on demand",
        );
        registry.register(
            "build",
            "The host's build",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self {
            registry,
            calls,
            latency,
            guest_time,
            fuel,
            problems,
            responses,
            compilations,
            calls_in_flight,
            requests_in_flight,
            connections,
            capsules,
            suspended,
            pinned,
            on_probation,
            quarantined,
            outbox_waiting,
            outbox_dead,
            outbox_bytes,
            pool_sandboxes,
            pool_sandboxes_max,
            pool_memories,
            pooling,
            functions: ArcSwap::default(),
            adding: Mutex::default(),
        }
    }

    pub(crate) fn call_in_flight(&self) -> InFlight {
        InFlight::new(&self.calls_in_flight)
    }

    pub(crate) fn request_in_flight(&self) -> InFlight {
        InFlight::new(&self.requests_in_flight)
    }

    pub(crate) fn connection(&self) -> InFlight {
        InFlight::new(&self.connections)
    }

    /// How many calls are running or waiting for a sandbox.
    pub(crate) fn calls_running(&self) -> i64 {
        self.calls_in_flight.get()
    }

    /// Counts a response by its status.
    pub(crate) fn responded(&self, status: u16) {
        if let Some(counter) = self.responses.get(usize::from(status / 100).saturating_sub(1)) {
            counter.inc();
        }
    }

    /// Counts a failure by its code.
    pub(crate) fn failed(&self, code: &'static str) {
        self.problems.get_or_create(&CodeLabels { code }).inc();
    }

    /// Counts a call that ran.
    pub(crate) fn called(&self, urn: &str, function: &str, outcome: &Outcome) {
        let known = self.functions.load();
        let series = known.get(urn).and_then(|functions| functions.get(function)).cloned();
        let series = series.unwrap_or_else(|| self.add(urn, function));
        match &outcome.result {
            Ok(Answer::Ok(_)) => series.ok.inc(),
            Ok(Answer::Err(_)) => series.err.inc(),
            Err(error) => {
                let FunctionLabels { urn, function } = series.labels.clone();
                self.calls
                    .get_or_create(&CallLabels {
                        urn,
                        function,
                        outcome: error.code(),
                    })
                    .inc()
            }
        };
        series.latency.observe(seconds(outcome.usage.wall_time_ns));
        series.guest_time.observe(seconds(outcome.usage.guest_time_ns));
        series
            .fuel
            .inc_by(outcome.usage.fuel.saturating_add(outcome.usage.instantiation_fuel));
    }

    fn add(&self, urn: &str, function: &str) -> Arc<Series> {
        let _alone = self.adding.lock();
        let mut functions = ByFunction::clone(&self.functions.load());
        if let Some(series) = functions.get(urn).and_then(|functions| functions.get(function)) {
            return series.clone();
        }
        let full = functions.values().map(HashMap::len).sum::<usize>() >= FUNCTIONS_MAX;
        let (urn, function) = if full { (OTHER, OTHER) } else { (urn, function) };
        if let Some(series) = functions.get(urn).and_then(|functions| functions.get(function)) {
            return series.clone();
        }
        let labels = FunctionLabels {
            urn: urn.into(),
            function: function.into(),
        };
        let counter = |outcome| {
            let labels = CallLabels {
                urn: urn.into(),
                function: function.into(),
                outcome,
            };
            self.calls.get_or_create_owned(&labels)
        };
        let series = Arc::new(Series {
            ok: counter("ok"),
            err: counter("err"),
            latency: self.latency.get_or_create_owned(&labels),
            guest_time: self.guest_time.get_or_create_owned(&labels),
            fuel: self.fuel.get_or_create_owned(&labels),
            labels,
        });
        functions
            .entry(urn.into())
            .or_default()
            .insert(function.into(), series.clone());
        self.functions.store(Arc::new(functions));
        series
    }

    /// Everything, in the OpenMetrics text format; of telemetry only what there is a reading of.
    pub(crate) fn text(&self, kernel: &Kernel, telemetry: Option<&Reading>) -> String {
        let gauge = |gauge: &Gauge<i64, AtomicI64>, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let pool = kernel.engine().pool();
        gauge(&self.pool_sandboxes, pool.instances);
        gauge(&self.pool_sandboxes_max, pool.instances_max.into());
        gauge(&self.pool_memories, pool.memories);
        gauge(&self.pooling, u64::from(pool.allocation == Allocation::Pooling));
        // The engine counts them, and never backwards.
        let compilations = kernel.engine().compilations();
        self.compilations.inner().fetch_max(compilations, Ordering::Relaxed);
        let processes = kernel.processes();
        let count = |of: fn(&Process) -> bool| processes.iter().filter(|process| of(process)).count() as u64;
        gauge(&self.capsules, count(|p| p.state == State::Active && !p.pinned));
        gauge(&self.suspended, count(|p| p.state == State::Suspended));
        gauge(&self.pinned, count(|p| p.pinned));
        gauge(&self.on_probation, count(|p| p.stands_by.is_some()));
        gauge(&self.quarantined, kernel.quarantined().len() as u64);
        let outbox = kernel.outbox_counts();
        gauge(&self.outbox_waiting, outbox.waiting);
        gauge(&self.outbox_dead, outbox.dead);
        gauge(&self.outbox_bytes, outbox.bytes);
        let mut written = String::new();
        // Writing to a string does not fail.
        let _ = text::encode_registry(&mut written, &self.registry);
        let _ = text::encode_registry(&mut written, &crate::zones::metrics::registry(&kernel.zones().status()));
        if let Some(reading) = telemetry {
            let _ = text::encode_registry(&mut written, &reading.registry());
        }
        let _ = text::encode_eof(&mut written);
        written
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a nanosecond more or less in a hundred days is no loss"
)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinetic_engine::{EngineError, Extensions, Logs, Output};
    use kinetic_model::Usage;

    fn outcome(result: Result<Answer, EngineError>) -> Outcome {
        let usage = Usage {
            fuel: 5,
            wall_time_ns: 30_000,
            ..Usage::default()
        };
        Outcome {
            result,
            usage,
            logs: Logs::default(),
            tape: Vec::new(),
            extensions: Extensions::default(),
        }
    }

    fn text(metrics: &Metrics) -> String {
        let mut written = String::new();
        super::text::encode(&mut written, &metrics.registry).unwrap();
        written
    }

    #[test]
    fn calls_are_counted_by_function_and_by_how_they_ended() {
        let metrics = Metrics::new();
        let ok = || outcome(Ok(Answer::Ok(Output::Json(1.into()))));
        metrics.called("urn:a", "f", &ok());
        metrics.called("urn:a", "f", &ok());
        metrics.called("urn:a", "f", &outcome(Err(EngineError::OutOfFuel { fuel_max: 5 })));
        let text = text(&metrics);
        for line in [
            r#"kinetic_calls_total{urn="urn:a",function="f",outcome="ok"} 2"#,
            r#"kinetic_calls_total{urn="urn:a",function="f",outcome="KIN-ENG-0014"} 1"#,
            r#"kinetic_fuel_total{urn="urn:a",function="f"} 15"#,
            r#"kinetic_call_latency_seconds_count{urn="urn:a",function="f"} 3"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::new();
        for count in 0..FUNCTIONS_MAX + 100 {
            metrics.called(
                &format!("urn:{count}"),
                "f",
                &outcome(Ok(Answer::Ok(Output::Json(1.into())))),
            );
        }
        let text = text(&metrics);
        assert_eq!(text.matches("kinetic_fuel_total{").count(), FUNCTIONS_MAX + 1);
        assert!(text.contains(r#"kinetic_calls_total{urn="other",function="other",outcome="ok"} 100"#));
    }

    #[test]
    fn in_flight_goes_down_however_it_ends() {
        let metrics = Metrics::new();
        let call = metrics.call_in_flight();
        assert_eq!(metrics.calls_running(), 1);
        drop(call);
        assert_eq!(metrics.calls_running(), 0);
    }
}
