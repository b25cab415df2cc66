//! How often a subsystem failed, how long to wait before it is started again, and when that ends: the same for all of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kinetic_kernel::Reports;

use crate::MedallionError;

/// The wait after the first failure; it doubles with each that follows.
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Failures older than this are forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_mins(10);

/// How long another component may take to come in the place of one that failed.
const RELIEVED_WITHIN: Duration = Duration::from_secs(10);

/// The failures of one subsystem.
#[derive(Debug)]
pub(crate) struct Strikes {
    subsystem: &'static str,
    most: u32,
    struck: VecDeque<Instant>,
    total: u64,
    last: String,
    /// Until then another component is waited for.
    relieved_until: Option<Instant>,
}

impl Strikes {
    pub(crate) const fn new(subsystem: &'static str, strikes_max: u32) -> Self {
        Self {
            subsystem,
            most: strikes_max,
            struck: VecDeque::new(),
            total: 0,
            last: String::new(),
            relieved_until: None,
        }
    }

    /// Counts a failure; how long to wait before starting again, or nothing when that was one too many.
    fn strike(&mut self, now: Instant, why: &str) -> Option<Duration> {
        while self
            .struck
            .pop_front_if(|at| now.saturating_duration_since(*at) > FORGIVEN_AFTER)
            .is_some()
        {}
        self.struck.push_back(now);
        self.total += 1;
        self.last = why.into();
        if self.is_out() {
            return None;
        }
        let doublings = u32::try_from(self.struck.len().saturating_sub(1))
            .unwrap_or(u32::MAX)
            .min(16);
        Some((BACK_OFF_FIRST * 2_u32.pow(doublings)).min(BACK_OFF_MAX))
    }

    /// Counts a failure, tells it, and waits before the next start, unless another component is to come.
    ///
    /// # Errors
    /// `Quarantined` when it failed too often.
    pub(crate) async fn failed(&mut self, why: &str, reports: &Reports) -> Result<(), MedallionError> {
        self.check()?;
        let wait = self.strike(Instant::now(), why);
        tracing::warn!(failures = self.total, "the {} failed: {why}", self.subsystem);
        if reports.failed(why, wait.is_none()) {
            self.relieved_until = Some(Instant::now() + RELIEVED_WITHIN);
            return Ok(());
        }
        match wait {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => self.check(),
        }
    }

    /// Passes while it is started again by itself.
    ///
    /// # Errors
    /// `Quarantined`, also while another component is to come.
    pub(crate) fn check(&self) -> Result<(), MedallionError> {
        if self.is_out() || self.relief().is_some() {
            return Err(MedallionError::Quarantined {
                subsystem: self.subsystem.into(),
                why: self.last.clone(),
            });
        }
        Ok(())
    }

    /// How long another component is waited for still; none when none is to come, or it should have come by now.
    pub(crate) fn relief(&self) -> Option<Duration> {
        let left = self.relieved_until?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Whether it is not started again by itself any more.
    pub(crate) fn is_out(&self) -> bool {
        self.struck.len() >= self.most as usize
    }

    /// A new component begins without the old one's failures.
    pub(crate) fn forgive(&mut self) {
        self.struck.clear();
        self.last.clear();
        self.relieved_until = None;
    }

    /// Failures since the host started.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The last failure's reason; empty when there was none.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_the_last_strike_ends_it() {
        let now = Instant::now();
        let mut strikes = Strikes::new("gate", 4);
        let waits: Vec<_> = (0..3)
            .map(|_| strikes.strike(now, "it panicked").unwrap().as_millis())
            .collect();
        assert_eq!(waits, [50, 100, 200]);
        assert!(!strikes.is_out());
        assert_eq!(strikes.strike(now, "again"), None);
        assert!(strikes.is_out());
        assert_eq!((strikes.total(), strikes.last()), (4, "again"));
        strikes.forgive();
        assert!(strikes.strike(now, "x").is_some());
    }

    #[tokio::test]
    async fn without_anybody_who_sends_another_one_a_failure_is_waited_out() {
        let mut strikes = Strikes::new("gate", 2);
        strikes.failed("x", &Reports::default()).await.unwrap();
        assert_eq!(strikes.relief(), None);
        assert!(strikes.check().is_ok());
        assert!(strikes.failed("y", &Reports::default()).await.is_err());
    }

    #[test]
    fn while_another_one_is_to_come_it_is_not_started_again() {
        let mut strikes = Strikes::new("gate", 4);
        strikes.relieved_until = Some(Instant::now() + RELIEVED_WITHIN);
        assert!(strikes.check().is_err() && strikes.relief().is_some());
        strikes.forgive();
        assert!(strikes.check().is_ok());
        strikes.relieved_until = Some(Instant::now());
        assert!(strikes.check().is_ok(), "one that never came is not waited for");
    }

    #[test]
    fn failures_long_ago_do_not_count() {
        let start = Instant::now();
        let mut strikes = Strikes::new("gate", 2);
        for hour in 0..5 {
            let at = start + Duration::from_hours(hour);
            assert!(strikes.strike(at, "x").is_some(), "hour {hour}");
        }
    }
}
