//! Settings of worker processes: which zones' calls run in them, how many there are, and what one of them may take.

use std::path::PathBuf;
use std::time::Duration;

use kinetic_engine::{RunIn, WorkerConfig};
use kinetic_model::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most processes: each has an engine of its own.
const PROCESSES_MAX: u32 = 256;
/// The most calls at once in one process.
const CALLS_MAX: u32 = 256;
/// The longest a process stays with nothing to do, in milliseconds.
const IDLE_MS_MAX: u64 = 86_400_000;

/// Calls in processes of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workers {
    /// Where calls of capsules of zone "system" run.
    pub system: Where,
    /// Where calls of capsules of zone "tenant" run.
    pub tenant: Where,
    /// Where calls of capsules of zone "session" run.
    pub session: Where,
    /// Where calls of capsules of zone "ephemeral" run.
    pub ephemeral: Where,
    /// Processes at once; half of them at most are for one namespace.
    pub processes_max: u32,
    /// Calls at once in one process; for more there is another one. Calls that capsules make of each other find as much room
    /// again.
    pub calls_per_process_max: u32,
    /// What limits.memory_bytes of the calls in one process may add up to, in bytes; at least limits.ceiling.memory_bytes.
    /// The process is held to four times this beyond what it starts with.
    pub memory_bytes_max: u64,
    /// How long a process stays with nothing to do, in milliseconds.
    pub idle_ms: u64,
}

/// Where calls run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// In the host's own process.
    #[default]
    Process,
    /// In a worker where the capsule can, and where this machine can start one.
    Worker,
    /// In a worker, or not at all.
    WorkerOnly,
}

impl From<Where> for RunIn {
    fn from(place: Where) -> Self {
        match place {
            Where::Process => Self::Process,
            Where::Worker => Self::Worker,
            Where::WorkerOnly => Self::WorkerOnly,
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        let engine = WorkerConfig::default();
        Self {
            system: Where::Process,
            tenant: Where::Worker,
            session: Where::Process,
            ephemeral: Where::Worker,
            processes_max: engine.processes_max,
            calls_per_process_max: engine.calls_per_process_max,
            memory_bytes_max: engine.memory_bytes_max,
            idle_ms: u64::try_from(engine.idle.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Workers {
    /// The settings as the engine takes them, with the program that is started; none when no zone runs in workers.
    pub fn engine(&self, program: PathBuf) -> Option<WorkerConfig> {
        let zones = [self.system, self.tenant, self.session, self.ephemeral];
        if zones.iter().all(|zone| *zone == Where::Process) {
            return None;
        }
        Some(WorkerConfig {
            program,
            args: vec!["worker".into()],
            system: self.system.into(),
            tenant: self.tenant.into(),
            session: self.session.into(),
            ephemeral: self.ephemeral.into(),
            processes_max: self.processes_max,
            calls_per_process_max: self.calls_per_process_max,
            memory_bytes_max: self.memory_bytes_max,
            idle: Duration::from_millis(self.idle_ms),
        })
    }

    /// The first setting that cannot stand, and why.
    pub(super) fn fault(&self, ceiling: &Limits) -> Option<(String, String)> {
        let named = |name: &str| format!("engine.workers.{name}");
        let ranges = [
            ("processes_max", self.processes_max.into(), PROCESSES_MAX.into()),
            (
                "calls_per_process_max",
                self.calls_per_process_max.into(),
                CALLS_MAX.into(),
            ),
            ("idle_ms", self.idle_ms, IDLE_MS_MAX),
        ];
        if let Some((name, _, most)) = ranges.iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return Some((named(name), format!("it must be between 1 and {most}")));
        }
        let least = ceiling.memory_bytes;
        (self.memory_bytes_max < least).then(|| {
            let why = format!("one call may take {least} bytes (limits.ceiling.memory_bytes), so that is the least");
            (named("memory_bytes_max"), why)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_every_zone_in_the_hosts_own_process_there_are_no_workers_and_by_default_two_zones_have_them() {
        let none = Workers {
            tenant: Where::Process,
            ephemeral: Where::Process,
            ..Workers::default()
        };
        assert!(none.engine("kinetic".into()).is_none());
        let some = Workers {
            ephemeral: Where::WorkerOnly,
            ..Workers::default()
        };
        let engine = some.engine("kinetic".into()).unwrap();
        assert_eq!((engine.system, engine.session), (RunIn::Process, RunIn::Process));
        assert_eq!((engine.tenant, engine.ephemeral), (RunIn::Worker, RunIn::WorkerOnly));
    }

    #[test]
    fn what_cannot_stand_is_named() {
        let fault = |change: fn(&mut Workers)| {
            let mut workers = Workers::default();
            change(&mut workers);
            workers.fault(&Limits::CEILING).map(|(name, _)| name)
        };
        assert_eq!(fault(|_| {}), None);
        assert_eq!(
            fault(|w| w.processes_max = 0).as_deref(),
            Some("engine.workers.processes_max")
        );
        assert_eq!(
            fault(|w| w.calls_per_process_max = 257).as_deref(),
            Some("engine.workers.calls_per_process_max")
        );
        assert_eq!(
            fault(|w| w.memory_bytes_max = 1 << 20).as_deref(),
            Some("engine.workers.memory_bytes_max")
        );
    }
}
