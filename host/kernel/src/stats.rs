//! How the calls of a version went: counted without locks, read by whoever watches a version on probation.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;
use serde::Serialize;

/// Buckets of a power of two of nanoseconds; a percentile is off by at most an eighth.
const STEPS_BITS: u32 = 3;
const STEPS: usize = 1 << STEPS_BITS;
const BUCKETS: usize = 64 * STEPS;
/// What is kept of the words of the last failure.
const FAILURE_CHARS_MAX: usize = 300;

/// Counts of a version's calls.
#[derive(Debug)]
pub(crate) struct Stats {
    calls: AtomicU64,
    failures: AtomicU64,
    fuel: AtomicU64,
    memory_peak_bytes: AtomicU64,
    buckets: Box<[AtomicU32]>,
    last_failure: RwLock<Option<String>>,
    runs_long: AtomicBool,
}

/// Counts as of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Calls since it became active.
    pub calls: u64,
    /// Calls that the capsule itself failed: traps, and limits it ran into.
    pub failures: u64,
    /// Fuel of all calls together.
    pub fuel: u64,
    /// The most memory a call held, in bytes.
    pub memory_peak_bytes: u64,
    /// Half of the calls took at most this, in nanoseconds.
    pub p50_ns: u64,
    /// 99 % of the calls took at most this, in nanoseconds.
    pub p99_ns: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            memory_peak_bytes: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            last_failure: RwLock::new(None),
            runs_long: AtomicBool::new(false),
        }
    }
}

impl Stats {
    /// Counts a call; gives the number of calls there were, this one included.
    pub(crate) fn note(&self, wall_ns: u64, fuel: u64, memory_peak_bytes: u64, failure: Option<&str>) -> u64 {
        if let Some(failure) = failure {
            self.failures.fetch_add(1, Ordering::Relaxed);
            *self.last_failure.write() = Some(failure.chars().take(FAILURE_CHARS_MAX).collect());
        }
        self.fuel.fetch_add(fuel, Ordering::Relaxed);
        self.memory_peak_bytes.fetch_max(memory_peak_bytes, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(bucket_of(wall_ns)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Remembers whether the last call ran for long: the next one is expected to do the same.
    pub(crate) fn note_long(&self, long: bool) {
        if self.runs_long() != long {
            self.runs_long.store(long, Ordering::Relaxed);
        }
    }

    /// Whether the last call ran for long.
    pub(crate) fn runs_long(&self) -> bool {
        self.runs_long.load(Ordering::Relaxed)
    }

    pub(crate) fn last_failure(&self) -> Option<String> {
        self.last_failure.read().clone()
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn memory_peak_bytes(&self) -> u64 {
        self.memory_peak_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> Counts {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed).into())
            .collect();
        Counts {
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures(),
            fuel: self.fuel.load(Ordering::Relaxed),
            memory_peak_bytes: self.memory_peak_bytes.load(Ordering::Relaxed),
            p50_ns: percentile(&counts, 50),
            p99_ns: percentile(&counts, 99),
        }
    }
}

/// The bucket of a time: its highest bit and the three below it.
fn bucket_of(ns: u64) -> usize {
    let ns = ns.max(1);
    let top = ns.ilog2();
    let step = if top >= STEPS_BITS {
        ns >> (top - STEPS_BITS)
    } else {
        ns << (STEPS_BITS - top)
    };
    let step = usize::try_from(step).unwrap_or(0) & (STEPS - 1);
    (usize::try_from(top).unwrap_or(0) * STEPS + step).min(BUCKETS - 1)
}

/// The largest time of a bucket.
fn upper_ns(bucket: usize) -> u64 {
    let (top, step) = (bucket / STEPS, (bucket % STEPS) as u64);
    let top = u32::try_from(top).unwrap_or(63);
    let unit = 1_u64.checked_shl(top).unwrap_or(u64::MAX);
    if top < STEPS_BITS {
        return unit.saturating_mul(2).saturating_sub(1);
    }
    let width = unit >> STEPS_BITS;
    (unit - 1).saturating_add(width.saturating_mul(step + 1))
}

fn percentile(counts: &[u64], percent: u64) -> u64 {
    let total: u64 = counts.iter().sum();
    let rank = (total * percent).div_ceil(100);
    let mut below = 0;
    for (bucket, count) in counts.iter().enumerate() {
        below += count;
        if below >= rank && total > 0 {
            return upper_ns(bucket);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_an_eighth_too_high_and_never_too_low() {
        for ns in [1, 7, 8, 9, 1_000, 123_456, 5_000_000, u64::MAX / 3, u64::MAX] {
            let stats = Stats::default();
            stats.note(ns, 1, 1, None);
            let p99 = stats.counts().p99_ns;
            assert!(p99 >= ns && p99 - ns <= ns / 8 + 1, "{ns}: {p99}");
        }
    }

    #[test]
    fn calls_failures_fuel_and_memory_add_up() {
        let stats = Stats::default();
        for n in 1..=100 {
            assert_eq!(stats.note(n * 1_000, 5, n, (n % 10 == 0).then_some("no")), n);
        }
        let counts = stats.counts();
        assert_eq!(
            (counts.calls, counts.failures, counts.fuel, counts.memory_peak_bytes),
            (100, 10, 500, 100)
        );
        assert!((50_000..=57_000).contains(&counts.p50_ns), "{}", counts.p50_ns);
        assert!((99_000..=112_000).contains(&counts.p99_ns), "{}", counts.p99_ns);
    }
}
