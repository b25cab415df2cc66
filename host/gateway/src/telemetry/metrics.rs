//! What Prometheus reads of telemetry: one answer of the pipeline, read anew each time, so that nothing stale is shown.

use std::time::Duration;

use kinetic_medallion::event::priority_name;
use kinetic_medallion::pipeline::{SILVER_GATE, STREAM_BUFFER, Status, Totals};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::time::timeout;

use crate::app::App;

/// Who watches a host wants all the rest also from one whose tables are busy.
const ANSWER_WAIT: Duration = Duration::from_millis(200);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PriorityLabels {
    priority: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SubsystemLabels {
    subsystem: &'static str,
}

/// How telemetry is, in numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    totals: Totals,
    /// Failures of each subsystem.
    failures: [(&'static str, u64); 2],
    level: u16,
    waiting_events: u64,
    waiting_bytes: u64,
    next_offset: u64,
    stored_offset: u64,
    durable_offset: u64,
}

impl From<Status> for Reading {
    fn from(status: Status) -> Self {
        let Status {
            totals,
            buffer,
            storage,
        } = status;
        Self {
            totals,
            failures: [
                (STREAM_BUFFER, buffer.component.failures),
                (SILVER_GATE, storage.gate.failures),
            ],
            level: buffer.level,
            waiting_events: buffer.events,
            waiting_bytes: buffer.size_bytes,
            next_offset: buffer.next_offset,
            stored_offset: storage.stored_offset,
            durable_offset: storage.durable_offset,
        }
    }
}

impl Reading {
    /// Asks the pipeline; none where there is no telemetry, or no answer in time.
    pub(crate) async fn of(app: &App) -> Option<Self> {
        let telemetry = app.telemetry.get()?;
        let answer = timeout(ANSWER_WAIT, telemetry.pipeline.status()).await.ok()?;
        answer.ok().map(Self::from)
    }

    /// The metrics as they are now.
    pub(crate) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("kinetic_telemetry");
        let mut total = |name: &str, help: &str, total: u64| registry.register(name, help, ConstCounter::new(total));
        total("events_arrived", "Events that came", self.totals.arrived);
        total("events_rejected", "Events that could not be read", self.totals.rejected);
        let mut by_priority = |name: &str, help: &str, totals: &[u64]| {
            let family = Family::<PriorityLabels, Counter>::default();
            for (number, total) in (0..).zip(totals) {
                if let Some(priority) = priority_name(number) {
                    family.get_or_create_owned(&PriorityLabels { priority }).inc_by(*total);
                }
            }
            registry.register(name, help, family);
        };
        by_priority(
            "events_kept",
            "Events in the tables or on their way there, by priority",
            &self.totals.kept,
        );
        by_priority(
            "events_shed",
            "Events dropped under pressure, by priority",
            &self.totals.shed,
        );
        let failures = Family::<SubsystemLabels, Counter>::default();
        for (subsystem, count) in self.failures {
            failures
                .get_or_create_owned(&SubsystemLabels { subsystem })
                .inc_by(count);
        }
        registry.register("subsystem_failures", "Failures of the components", failures);
        let mut gauge = |name: &str, help: &str, value: u64| registry.register(name, help, ConstGauge::new(value));
        gauge(
            "buffer_level",
            "So many 256ths of the events that may be dropped are",
            self.level.into(),
        );
        gauge(
            "waiting_events",
            "Events that are not in the tables yet",
            self.waiting_events,
        );
        gauge("waiting_bytes", "What these take", self.waiting_bytes);
        gauge(
            "next_offset",
            "The next offset of the log of telemetry",
            self.next_offset,
        );
        gauge(
            "stored_offset",
            "Offsets below this one are in the tables, finished or not",
            self.stored_offset,
        );
        gauge(
            "durable_offset",
            "Offsets below this one are in finished files",
            self.durable_offset,
        );
        registry
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn what_came_waits_and_failed_is_told_by_priority_and_subsystem() {
        let reading = Reading {
            totals: Totals {
                arrived: 21,
                kept: [0, 10, 2, 3, 4],
                shed: [1, 0, 0, 0, 0],
                rejected: 1,
                receipts_seq: 0,
            },
            failures: [(STREAM_BUFFER, 0), (SILVER_GATE, 2)],
            level: 256,
            waiting_events: 5,
            waiting_bytes: 600,
            next_offset: 30,
            stored_offset: 20,
            durable_offset: 10,
        };
        let mut written = String::new();
        text::encode(&mut written, &reading.registry()).unwrap();
        for line in [
            "# TYPE kinetic_telemetry_events_arrived counter",
            "kinetic_telemetry_events_arrived_total 21",
            "kinetic_telemetry_events_rejected_total 1",
            r#"kinetic_telemetry_events_kept_total{priority="DEBUG"} 0"#,
            r#"kinetic_telemetry_events_kept_total{priority="INFO"} 10"#,
            r#"kinetic_telemetry_events_kept_total{priority="CRITICAL"} 4"#,
            r#"kinetic_telemetry_events_shed_total{priority="DEBUG"} 1"#,
            r#"kinetic_telemetry_subsystem_failures_total{subsystem="stream-buffer"} 0"#,
            r#"kinetic_telemetry_subsystem_failures_total{subsystem="silver-gate"} 2"#,
            "# TYPE kinetic_telemetry_buffer_level gauge",
            "kinetic_telemetry_buffer_level 256",
            "kinetic_telemetry_waiting_events 5",
            "kinetic_telemetry_waiting_bytes 600",
            "kinetic_telemetry_next_offset 30",
            "kinetic_telemetry_stored_offset 20",
            "kinetic_telemetry_durable_offset 10",
        ] {
            assert!(
                written.lines().any(|shown| shown == line),
                "{line} is not in\n{written}"
            );
        }
    }
}
