//! The one instance a capsule keeps for all its calls: made at the first call, made again after one that failed, each time
//! from the state it began with, and not too often.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use crate::capability::{Answer, Arguments, Export, Loaded, Report, answer, read_back};
use crate::resident::{Live, timed_out};
use crate::{CallContext, Capability, EngineError, Snapshot, Within};

/// The base of the wait between failures in a row, and the longest wait.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// The place of the one instance; all that came from one load shares it.
#[derive(Default)]
pub(crate) struct Kept {
    slot: Mutex<Slot>,
    /// Beside the lock, so that it can be read while a call runs.
    failures_in_a_row: AtomicU32,
}

/// What is in the place.
#[derive(Default)]
pub(crate) struct Slot {
    /// Nothing until the first call and after one that failed.
    pub(crate) live: Option<Live>,
    /// What an instance goes on from when it is made.
    pub(crate) beginning: Option<Snapshot>,
    /// Started, and waiting for a predecessor's state. No call's: it may hold an earlier state.
    pub(crate) ready: Option<Live>,
    failed_at: Option<Instant>,
}

/// How long after so many failures in a row the instance is not made again: not at all after the first.
fn back_off(failures_in_a_row: u32) -> Duration {
    match failures_in_a_row {
        0 | 1 => Duration::ZERO,
        failures => BACK_OFF
            .saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX))
            .min(BACK_OFF_MAX),
    }
}

/// Whether an error is the instance's own fault. The others say that the host had no room or put another in its place.
fn is_its_own(error: &EngineError) -> bool {
    !matches!(
        error,
        EngineError::Fenced {} | EngineError::PoolFull { .. } | EngineError::TooManyResidents { .. }
    )
}

impl Kept {
    /// The place to oneself; who had to wait for so long since `began` is told so.
    pub(crate) async fn slot(
        &self,
        began: tokio::time::Instant,
        wait_ms_max: u64,
    ) -> Result<MutexGuard<'_, Slot>, EngineError> {
        let deadline = began + Duration::from_millis(wait_ms_max);
        tokio::time::timeout_at(deadline, self.slot.lock())
            .await
            .map_err(|_| EngineError::ResidentBusy {
                wall_time_ms_max: wait_ms_max,
            })
    }

    /// Waits for as long as a call may take, for the host's own calls.
    pub(crate) async fn slot_for_host(&self, loaded: &Loaded) -> Result<MutexGuard<'_, Slot>, EngineError> {
        self.slot(tokio::time::Instant::now(), loaded.limits.wall_time_ms).await
    }

    /// Remembers that the instance was ended, if it was by its own fault.
    pub(crate) fn failed(&self, slot: &mut Slot, error: &EngineError) {
        if is_its_own(error) {
            let failures = self.failures_in_a_row.load(Ordering::Relaxed);
            self.failures_in_a_row
                .store(failures.saturating_add(1), Ordering::Relaxed);
            slot.failed_at = Some(Instant::now());
        }
    }

    fn answered(&self) {
        self.failures_in_a_row.store(0, Ordering::Relaxed);
    }

    /// Whether the instance may be made again already.
    fn may_begin(&self, slot: &Slot) -> Result<(), EngineError> {
        let wait = back_off(self.failures_in_a_row.load(Ordering::Relaxed));
        let left = slot
            .failed_at
            .map_or(Duration::ZERO, |at| wait.saturating_sub(at.elapsed()));
        if left.is_zero() {
            return Ok(());
        }
        Err(EngineError::Restarting {
            retry_after_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1),
        })
    }
}

impl Capability {
    /// How often the one instance failed since its last good call; calls that the host refused do not count. Zero where
    /// every call gets an instance of its own.
    pub fn failures_in_a_row(&self) -> u32 {
        let kept = self.0.kept.as_ref();
        kept.map_or(0, |kept| kept.failures_in_a_row.load(Ordering::Relaxed))
    }
}

impl Loaded {
    /// When a step that begins now is cut off.
    pub(crate) fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_millis(self.limits.wall_time_ms)
    }

    /// Calls a function of the instance that stays across the capsule's calls, which is made when there is none.
    pub(crate) async fn run_kept(
        &self,
        kept: &Kept,
        export: &Export,
        arguments: Arguments,
        context: &mut Option<CallContext>,
        began: tokio::time::Instant,
        report: &mut Report,
    ) -> Result<Answer, EngineError> {
        let mut slot = kept.slot(began, self.limits.wall_time_ms).await?;
        self.fence.pass()?;
        // Anew: who had to wait is not cut off in the middle of its call, and the instance ended for all, because of that.
        let deadline = self.deadline();
        let _running = self.shared.ticker.running();
        // Taken out: a future that is dropped in the middle of the call takes the instance with it.
        let mut live = match slot.live.take() {
            Some(live) => live,
            None => {
                // The state it waited for did not come.
                slot.ready = None;
                kept.may_begin(&slot)?;
                let made = self.begun(slot.beginning.as_ref(), deadline, &mut report.usage).await;
                made.inspect_err(|error| kept.failed(&mut slot, error))?
            }
        };
        let (extensions, within) = context
            .take()
            .map(|context| (context.extensions, context.within))
            .unwrap_or_default();
        live.begin_call(self, extensions);
        // It has a place of its own: all that was given is for calls below it.
        live.store.data_mut().pass_on(Within {
            sandboxes: within.sandboxes.saturating_sub(1),
            ..within
        });
        let work = answer(
            self,
            export,
            arguments,
            &live.instance,
            &mut live.store,
            &mut report.usage,
        );
        let result = tokio::time::timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_| Err(timed_out(self)));
        if result.is_err() {
            // Also of a call that was cut off from outside.
            report.usage.fuel = live.fuel_used(self);
        }
        let failure = read_back(&mut live.store, report, result.is_err());
        let result = failure.map_or(result, Err);
        match &result {
            Ok(_) => {
                slot.live = Some(live);
                kept.answered();
            }
            Err(error) => kept.failed(&mut slot, error),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_with_each_failure_after_the_first_up_to_half_a_minute() {
        let waits_ms: Vec<_> = (0..12).map(|failures| back_off(failures).as_millis()).collect();
        assert_eq!(
            waits_ms,
            [0, 0, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]
        );
        assert_eq!(back_off(u32::MAX), BACK_OFF_MAX);
    }

    #[test]
    fn what_the_host_refuses_is_no_failure_of_the_instance() {
        let kept = Kept::default();
        let mut slot = Slot::default();
        kept.failed(&mut slot, &EngineError::Fenced {});
        kept.failed(&mut slot, &EngineError::PoolFull { instances: 1 });
        assert!(kept.may_begin(&slot).is_ok());
        let trapped = EngineError::Trapped { why: String::new() };
        kept.failed(&mut slot, &trapped);
        assert!(kept.may_begin(&slot).is_ok(), "at once for the first time");
        kept.failed(&mut slot, &trapped);
        let Err(EngineError::Restarting { retry_after_ms }) = kept.may_begin(&slot) else {
            panic!("it may begin")
        };
        assert!((1..=201).contains(&retry_after_ms), "{retry_after_ms}");
        kept.answered();
        assert!(kept.may_begin(&slot).is_ok());
    }
}
