//! Settings of the outbox, where publications wait for registries that are away.

use kinetic_kernel::OutboxSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest pause between tries, in milliseconds: a day.
const BACKOFF_MS_MAX: u64 = 86_400_000;

/// Where publications wait for registries that are away (`kinetic publish --via-host --to`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    /// Entries that wait or are dead, at most; more are refused.
    pub entries_max: u64,
    /// What is kept for them, in bytes, at most.
    pub bytes_max: u64,
    /// How long an entry is tried before it is dead, in milliseconds. Its bytes are kept until somebody drops it.
    pub give_up_after_ms: u64,
    /// After a failure the pause is any time up to this, in milliseconds; twice as long after each further one...
    pub backoff_ms_min: u64,
    /// ...and up to this at most, in milliseconds.
    pub backoff_ms_max: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        let settings = OutboxSettings::default();
        Self {
            entries_max: settings.entries_max,
            bytes_max: settings.bytes_max,
            give_up_after_ms: settings.give_up_after_ms,
            backoff_ms_min: settings.backoff_ms_min,
            backoff_ms_max: settings.backoff_ms_max,
        }
    }
}

impl Outbox {
    /// The settings as the kernel takes them.
    pub const fn settings(&self) -> OutboxSettings {
        OutboxSettings {
            entries_max: self.entries_max,
            bytes_max: self.bytes_max,
            give_up_after_ms: self.give_up_after_ms,
            backoff_ms_min: self.backoff_ms_min,
            backoff_ms_max: self.backoff_ms_max,
        }
    }

    /// The first setting that cannot stand, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        let named = |name: &str, why: String| Some((format!("outbox.{name}"), why));
        let at_least_one = [
            ("entries_max", self.entries_max),
            ("bytes_max", self.bytes_max),
            ("give_up_after_ms", self.give_up_after_ms),
            ("backoff_ms_min", self.backoff_ms_min),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return named(name, "it must be at least 1".into());
        }
        if !(self.backoff_ms_min..=BACKOFF_MS_MAX).contains(&self.backoff_ms_max) {
            let why = format!("it must be outbox.backoff_ms_min to {BACKOFF_MS_MAX}");
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
        assert_eq!(Outbox::default().settings(), OutboxSettings::default());
        assert_eq!(Outbox::default().fault(), None);
        let fault = |change: fn(&mut Outbox)| {
            let mut outbox = Outbox::default();
            change(&mut outbox);
            outbox.fault().map(|(name, _)| name).unwrap()
        };
        assert_eq!(fault(|o| o.entries_max = 0), "outbox.entries_max");
        assert_eq!(fault(|o| o.give_up_after_ms = 0), "outbox.give_up_after_ms");
        assert_eq!(fault(|o| o.backoff_ms_max = 1), "outbox.backoff_ms_max");
    }
}
