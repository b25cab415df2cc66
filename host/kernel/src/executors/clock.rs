//! Calls by the clock: one at a time, and what was missed meanwhile is not made up.

use std::time::Duration;

use kinetic_model::Urn;
use tokio::time::Instant;

use super::calling::{call, of_nothing};
use super::stop::Stop;
use super::{LastResult, Origin, Trigger, When, schedule};
use crate::kernel::WeakKernel;
use crate::unix_ms;

/// A cron pattern's time is looked for again so often: somebody may set the clock.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Calls until it is asked to stop, or the kernel ends.
pub(super) async fn run(kernel: WeakKernel, key: (Urn, Trigger), mut stop: Stop) {
    let begun = Instant::now();
    let schedule = key.1.when.to_string();
    let records = kernel.upgrade().and_then(|kernel| Some(kernel.ledger()?.records()));
    let mut ticks = 0_u64;
    while wait(&key.1.when, begun, &mut stop).await {
        let Some(kernel) = kernel.upgrade() else { return };
        ticks += 1;
        let tick = format!("tick-{}-{ticks}", records.unwrap_or_default());
        let origin = Origin::clock(schedule.clone(), tick);
        call(&kernel, &key, &origin, |_| Ok(of_nothing())).await;
    }
    if let Some(kernel) = kernel.upgrade()
        && !stop.is_asked()
    {
        kernel
            .0
            .board
            .note(&key, LastResult::Waiting, Some("its time never comes"), None);
    }
}

/// Waits until it is time; `false` when there is nothing more to wait for.
async fn wait(when: &When, begun: Instant, stop: &mut Stop) -> bool {
    match when {
        When::EveryMs(ms) => !stop.within(schedule::until_next(begun.elapsed(), *ms)).await,
        When::Cron(pattern) => {
            let now_ms = unix_ms();
            let due = schedule::parse(pattern)
                .ok()
                .and_then(|cron| schedule::next(&cron, now_ms));
            let Some(due_ms) = due else { return false };
            loop {
                let left = Duration::from_millis(due_ms.saturating_sub(unix_ms()));
                if left.is_zero() {
                    return true;
                }
                if stop.within(left.min(LOOK_AGAIN)).await {
                    return false;
                }
            }
        }
        When::Topic(_) => false,
    }
}
