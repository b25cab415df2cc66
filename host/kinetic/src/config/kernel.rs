//! Settings of swaps and of a capsule's life: how long calls may end, how a new version is tried, when one has failed; the
//! operator's policies; what receipts have to say; and what is watched, folders and registries.

use std::path::PathBuf;
use std::time::Duration;

use kinetic_kernel::{
    ProvenanceLevel, ProvenancePolicy, RegistryWatch, SwapSettings, WATCHED_FOLDERS_MAX, WATCHED_NAMES_MAX,
    WatchSettings, WatchedName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest calls of a version that goes may still run, in milliseconds: no call runs longer than its own limit.
const DRAIN_MS_MAX: u64 = 600_000;
/// The longest probation, in milliseconds: as long as it lasts two versions are in memory.
const PROBATION_MS_MAX: u64 = 86_400_000;
/// The most recorded calls that are made again before a swap.
const SHADOW_CALLS_MAX: u64 = 10_000;

/// The longest time between two looks at watched folders, in milliseconds.
const WATCH_INTERVAL_MS_MAX: u64 = 3_600_000;
/// The longest time between two looks at watched registries, in seconds: a day.
const WATCH_REGISTRIES_EVERY_S_MAX: u64 = 86_400;

/// Builders or sources that may be listed.
const LISTED_MAX: usize = 256;

/// How much a receipt has to say about how its capsule was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// What it has to for what it is about.
    #[default]
    Any,
    /// Well-formed SLSA provenance: who built it, from what.
    Required,
    /// That, and the digest over the whole capsule folder.
    Complete,
}

/// How a version of a capsule takes the place of another one, when one is given up, who may use whom, and which folders are
/// watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// How long calls of a version that is replaced may still run, in milliseconds; then they are cut off.
    pub drain_ms: u64,
    /// How long a new version is on probation, in milliseconds: the one before stands by, and answers what the new one
    /// fails. 0: not at all.
    pub probation_ms: u64,
    /// After so many calls that the new version failed and the one before did not, the one before comes back.
    pub probation_failures: u64,
    /// It also comes back when 99 % of the new version's calls take up to so many times as long as before...
    pub probation_latency_times: u64,
    /// ...and more than this, in milliseconds...
    pub probation_latency_ms: u64,
    /// ...over at least so many calls of both.
    pub probation_calls: u64,
    /// So many recorded calls of a D0 or D1 capsule are made again with a new version before it takes over; it has to answer
    /// as before. 0: none.
    pub shadow_calls: u64,
    /// A capsule whose instance stays across calls is quarantined after so many failures in a row.
    pub strikes: u32,
    /// A file of Cedar policies: who may use whom and what may become active, beside the host's own rules. Empty: only
    /// those. A relative path in a file counts from that file. A mistake in it keeps the host from starting.
    pub policies: PathBuf,
    /// Folders that are watched, at most 16: a capsule folder laid into one (component.wasm, manifest.json and receipt.json,
    /// as `kinetic publish --into` writes them) is published, and again when it changes. A relative path in a file counts
    /// from that file.
    pub watch: Vec<PathBuf>,
    /// How often watched folders are looked at, in milliseconds. What changed within that time is still being written.
    pub watch_interval_ms: u64,
    /// What registries are asked for newer versions of, at most 256 names, each a URN or a namespace: of what is active here
    /// a newer version takes the place as a published one does. What was yanked is reported, and stays.
    pub watch_registries: Vec<String>,
    /// About how often they are asked, in seconds, at most 86400.
    pub watch_registries_every_s: u64,
    /// A lock file, as `kinetic lock` writes it: nothing is admitted that it does not hold, but what the program carries for
    /// itself. Empty: none. A relative path in a file counts from that file. A file that cannot be read keeps the host
    /// from starting.
    pub lock: PathBuf,
    /// How much a receipt has to say about how its capsule was built, beside being signed: "any", "required" (well-formed
    /// SLSA provenance) or "complete" (that, and the digest over the whole capsule folder).
    pub provenance: Provenance,
    /// The ids of the builders whose capsules are admitted, as receipts name them, at most 256. Empty: any.
    pub builders: Vec<String>,
    /// Where the source lies that a capsule was built from, at most 256: the URI of a repository, or of what is above it; the
    /// source is that, or goes on behind it with "/", "@", "#", "?" or ".git". Empty: any, or none.
    pub sources: Vec<String>,
}

impl Default for Kernel {
    fn default() -> Self {
        let swap = SwapSettings::default();
        Self {
            drain_ms: swap.drain_ms,
            probation_ms: swap.probation_ms,
            probation_failures: swap.probation_failures_max,
            probation_latency_times: swap.probation_latency_times,
            probation_latency_ms: swap.probation_latency_ms,
            probation_calls: swap.probation_calls_min,
            shadow_calls: swap.shadow_calls,
            strikes: swap.strikes_max,
            policies: PathBuf::new(),
            watch: Vec::new(),
            watch_interval_ms: WatchSettings::default().interval_ms,
            watch_registries: Vec::new(),
            watch_registries_every_s: RegistryWatch::default().every.as_secs(),
            lock: PathBuf::new(),
            provenance: Provenance::default(),
            builders: Vec::new(),
            sources: Vec::new(),
        }
    }
}

impl Kernel {
    /// The settings as the kernel takes them.
    pub const fn swap(&self) -> SwapSettings {
        SwapSettings {
            drain_ms: self.drain_ms,
            probation_ms: self.probation_ms,
            probation_failures_max: self.probation_failures,
            probation_latency_times: self.probation_latency_times,
            probation_latency_ms: self.probation_latency_ms,
            probation_calls_min: self.probation_calls,
            shadow_calls: self.shadow_calls,
            strikes_max: self.strikes,
        }
    }

    /// What receipts have to say, as the kernel takes it.
    pub fn provenance(&self) -> ProvenancePolicy {
        ProvenancePolicy {
            level: match self.provenance {
                Provenance::Any => ProvenanceLevel::Any,
                Provenance::Required => ProvenanceLevel::Required,
                Provenance::Complete => ProvenanceLevel::Complete,
            },
            builders: self.builders.clone(),
            sources: self.sources.clone(),
        }
    }

    /// What is watched, as the kernel takes it.
    pub fn watched(&self) -> WatchSettings {
        WatchSettings {
            folders: self.watch.clone(),
            interval_ms: self.watch_interval_ms,
        }
    }

    /// What is watched at registries, as the kernel takes it.
    pub fn watched_registries(&self) -> RegistryWatch {
        // Names that are none keep the host from starting.
        let names = self.watch_registries.iter().filter_map(|name| name.parse().ok());
        RegistryWatch {
            names: names.collect(),
            every: Duration::from_secs(self.watch_registries_every_s),
        }
    }

    /// The first setting that cannot stand, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        let named = |name: &str| format!("kernel.{name}");
        let at_least_one = [
            ("drain_ms", self.drain_ms),
            ("probation_failures", self.probation_failures),
            ("probation_latency_times", self.probation_latency_times),
            ("probation_calls", self.probation_calls),
            ("strikes", self.strikes.into()),
            ("watch_interval_ms", self.watch_interval_ms),
            ("watch_registries_every_s", self.watch_registries_every_s),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Some((named(name), "it must be at least 1".into()));
        }
        if self.watch.len() > WATCHED_FOLDERS_MAX {
            return Some((named("watch"), format!("{WATCHED_FOLDERS_MAX} folders are the most")));
        }
        if self.watch.iter().any(|folder| folder.as_os_str().is_empty()) {
            return Some((named("watch"), "a folder without a name is none".into()));
        }
        for (name, listed) in [("builders", &self.builders), ("sources", &self.sources)] {
            if listed.len() > LISTED_MAX {
                return Some((named(name), format!("{LISTED_MAX} are the most")));
            }
            // An empty one would be the beginning of every source.
            if listed.iter().any(String::is_empty) {
                return Some((named(name), "an empty text is none".into()));
            }
        }
        if self.watch_registries.len() > WATCHED_NAMES_MAX {
            return Some((
                named("watch_registries"),
                format!("{WATCHED_NAMES_MAX} names are the most"),
            ));
        }
        let bad_name = |name: &String| name.parse::<WatchedName>().err();
        if let Some(why) = self.watch_registries.iter().find_map(bad_name) {
            return Some((named("watch_registries"), why));
        }
        let at_most = [
            ("drain_ms", self.drain_ms, DRAIN_MS_MAX),
            ("probation_ms", self.probation_ms, PROBATION_MS_MAX),
            ("probation_latency_ms", self.probation_latency_ms, DRAIN_MS_MAX),
            ("shadow_calls", self.shadow_calls, SHADOW_CALLS_MAX),
            ("watch_interval_ms", self.watch_interval_ms, WATCH_INTERVAL_MS_MAX),
            (
                "watch_registries_every_s",
                self.watch_registries_every_s,
                WATCH_REGISTRIES_EVERY_S_MAX,
            ),
        ];
        let (name, _, most) = at_most.iter().find(|(_, value, most)| value > most)?;
        Some((named(name), format!("{most} is the most")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_kernels_own() {
        assert_eq!(Kernel::default().swap(), SwapSettings::default());
        assert_eq!(Kernel::default().watched(), WatchSettings::default());
        assert_eq!(Kernel::default().provenance(), ProvenancePolicy::default());
        assert_eq!(Kernel::default().watched_registries(), RegistryWatch::default());
        assert_eq!(Kernel::default().fault(), None);
    }

    #[test]
    fn what_cannot_stand_is_named_and_a_probation_or_shadow_run_can_be_switched_off() {
        let fault = |change: fn(&mut Kernel)| {
            let mut kernel = Kernel::default();
            change(&mut kernel);
            kernel.fault().map(|(name, _)| name)
        };
        assert_eq!(fault(|k| k.drain_ms = 0).as_deref(), Some("kernel.drain_ms"));
        assert_eq!(fault(|k| k.strikes = 0).as_deref(), Some("kernel.strikes"));
        assert_eq!(
            fault(|k| k.probation_ms = u64::MAX).as_deref(),
            Some("kernel.probation_ms")
        );
        assert_eq!(
            fault(|k| k.shadow_calls = 10_001).as_deref(),
            Some("kernel.shadow_calls")
        );
        assert_eq!(
            fault(|k| k.watch_interval_ms = 0).as_deref(),
            Some("kernel.watch_interval_ms")
        );
        assert_eq!(
            fault(|k| k.watch = vec![PathBuf::new()]).as_deref(),
            Some("kernel.watch")
        );
        assert_eq!(
            fault(|k| k.watch = vec![PathBuf::from("a"); 17]).as_deref(),
            Some("kernel.watch")
        );
        assert_eq!(
            fault(|k| k.sources = vec![String::new()]).as_deref(),
            Some("kernel.sources")
        );
        assert_eq!(
            fault(|k| k.builders = vec!["b".into(); 257]).as_deref(),
            Some("kernel.builders")
        );
        assert_eq!(
            fault(|k| k.watch_registries = vec!["Acme".into()]).as_deref(),
            Some("kernel.watch_registries")
        );
        assert_eq!(
            fault(|k| k.watch_registries_every_s = 0).as_deref(),
            Some("kernel.watch_registries_every_s")
        );
        assert_eq!(fault(|k| (k.probation_ms, k.shadow_calls) = (0, 0)), None);
    }
}
