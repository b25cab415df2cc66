//! Settings of the calls that events and the clock make.

use kinetic_kernel::ExecutorSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most events of one trigger under way at once: each takes a sandbox.
const EVENTS_RUNNING_MAX: u16 = 64;
/// The longest wait between tries, in milliseconds.
const BACKOFF_MS_MAX: u64 = 3_600_000;

/// How events and the clock call capsules whose manifests have triggers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Executors {
    /// How many events of one trigger may be under way at once, each in partitions of its own; a partition keeps its order.
    pub events_running_max: u16,
    /// How long an executor waits after a failure, in milliseconds; twice as long after each further one...
    pub backoff_ms_min: u64,
    /// ...and at most this, in milliseconds.
    pub backoff_ms_max: u64,
}

impl Default for Executors {
    fn default() -> Self {
        let settings = ExecutorSettings::default();
        Self {
            events_running_max: settings.events_running_max,
            backoff_ms_min: settings.backoff_ms_min,
            backoff_ms_max: settings.backoff_ms_max,
        }
    }
}

impl Executors {
    /// The settings as the kernel takes them.
    pub const fn settings(&self) -> ExecutorSettings {
        ExecutorSettings {
            events_running_max: self.events_running_max,
            backoff_ms_min: self.backoff_ms_min,
            backoff_ms_max: self.backoff_ms_max,
        }
    }

    /// The first setting that cannot stand, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        let named = |name: &str, why: String| Some((format!("executors.{name}"), why));
        if !(1..=EVENTS_RUNNING_MAX).contains(&self.events_running_max) {
            return named("events_running_max", format!("it must be 1 to {EVENTS_RUNNING_MAX}"));
        }
        if self.backoff_ms_min == 0 {
            return named("backoff_ms_min", "it must be at least 1".into());
        }
        if !(self.backoff_ms_min..=BACKOFF_MS_MAX).contains(&self.backoff_ms_max) {
            let why = format!("it must be executors.backoff_ms_min to {BACKOFF_MS_MAX}");
            return named("backoff_ms_max", why);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_kernels_own_and_what_cannot_stand_is_named() {
        assert_eq!(Executors::default().settings(), ExecutorSettings::default());
        assert_eq!(Executors::default().fault(), None);
        let fault = |change: fn(&mut Executors)| {
            let mut executors = Executors::default();
            change(&mut executors);
            executors.fault().map(|(name, _)| name).unwrap()
        };
        assert_eq!(fault(|e| e.events_running_max = 0), "executors.events_running_max");
        assert_eq!(fault(|e| e.backoff_ms_min = 0), "executors.backoff_ms_min");
        assert_eq!(fault(|e| e.backoff_ms_max = 1), "executors.backoff_ms_max");
    }
}
