//! A new version's time on probation: its predecessor stands by, answers what the new one fails, and comes back when
//! that is too often or takes too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kinetic_engine::{Answer, Outcome};
use kinetic_model::ErrorKind;

use super::SwapSettings;
use crate::Capsule;
use crate::stats::Counts;

/// Imports whose effects a second call would repeat, as nothing takes them back when a call fails.
const NOT_TAKEN_BACK: [&str; 2] = ["wasi:http/", "wasi:sockets/"];
/// Latency is looked at once in so many calls.
const LATENCY_EVERY: u64 = 16;

/// A new version on probation.
#[derive(Debug)]
pub(crate) struct Probation {
    /// The version before, loaded and ready.
    pub(crate) former: Arc<Capsule>,
    settings: SwapSettings,
    before: Counts,
    failures: AtomicU64,
    over: AtomicBool,
}

impl Probation {
    pub(crate) fn new(former: Arc<Capsule>, settings: SwapSettings) -> Self {
        Self {
            before: former.stats.counts(),
            former,
            settings,
            failures: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Whether a call that the new version failed can be made again by the one before: nothing of the failed one stays.
    pub(crate) fn makes_again(&self, capsule: &Capsule) -> bool {
        let stays = |capsule: &Capsule| {
            capsule.stays()
                || capsule
                    .capability
                    .interface()
                    .imports
                    .iter()
                    .any(|import| NOT_TAKEN_BACK.iter().any(|prefix| import.starts_with(prefix)))
        };
        !stays(capsule) && !stays(&self.former)
    }

    /// Counts a call the new version failed and the one before did not. Says why it is enough, once.
    pub(crate) fn failed(&self, why: &str) -> Option<String> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        (failures >= self.settings.probation_failures_max && self.first())
            .then(|| format!("{failures} calls failed that the version before answered; the last one: {why}"))
    }

    /// Looks at how long calls take. Says why it is too long, once.
    pub(crate) fn too_slow(&self, calls: u64, now: impl FnOnce() -> Counts) -> Option<String> {
        let settings = &self.settings;
        let enough = calls.min(self.before.calls) >= settings.probation_calls_min;
        if !enough || !calls.is_multiple_of(LATENCY_EVERY) {
            return None;
        }
        let p99_ns = now().p99_ns;
        let slow = p99_ns > self.before.p99_ns.saturating_mul(settings.probation_latency_times)
            && p99_ns > settings.probation_latency_ms.saturating_mul(1_000_000);
        (slow && self.first()).then(|| {
            format!(
                "99 % of its calls took up to {} ms, of the version before {} ms",
                p99_ns / 1_000_000,
                self.before.p99_ns / 1_000_000
            )
        })
    }

    /// Whether the failures of calls that cannot be made again are too many, against those of the version before.
    pub(crate) fn failed_alone(&self, calls: u64, failures: u64, why: &str) -> Option<String> {
        // As many as the version before would have had among as many calls, and some more.
        let expected = failures_among(calls, self.before);
        (failures >= expected + self.settings.probation_failures_max && self.first())
            .then(|| format!("{failures} of {calls} calls failed; the last one: {why}"))
    }

    fn first(&self) -> bool {
        !self.over.swap(true, Ordering::AcqRel)
    }
}

fn failures_among(calls: u64, before: Counts) -> u64 {
    match before.calls {
        0 => 0,
        all => u64::try_from(u128::from(calls) * u128::from(before.failures) / u128::from(all)).unwrap_or(u64::MAX),
    }
}

/// Why the capsule itself failed a call, if it did: not its caller, nor a host that was busy.
pub(crate) fn own_failure(outcome: &Outcome) -> Option<String> {
    use kinetic_model::Coded as _;
    match &outcome.result {
        Ok(Answer::Ok(_) | Answer::Err(_)) => None,
        Err(error) => matches!(
            error.kind(),
            ErrorKind::Conformance | ErrorKind::Budget | ErrorKind::Timeout | ErrorKind::Integrity
        )
        .then(|| format!("{} {error}", error.code())),
    }
}
