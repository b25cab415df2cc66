//! What is done now and then beside the commits: sweeping what nobody can ask for any more, and retention.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::ledger::Inner;
use crate::retention::{remove, target};
use crate::state::StateView;
use crate::{Commit, LedgerError};

const EVERY: Duration = Duration::from_secs(1);
/// How many versions are looked at before commits get their turn again.
const SWEPT_AT_ONCE: usize = 4_096;

/// The thread that does it; dropping this ends it.
pub(crate) struct Upkeep {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(crate) fn start(inner: Arc<Inner>) -> Result<Self, LedgerError> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("ledger-upkeep".into())
            .spawn(move || run(&inner, &stopped))
            .map_err(crate::error::io("start the ledger's upkeep"))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // One that panicked left nothing half done: each step can be made again.
            let _ = thread.join();
        }
    }
}

fn run(inner: &Inner, (stop, told): &(Mutex<bool>, Condvar)) {
    loop {
        {
            let mut stopped = stop.lock();
            if !*stopped {
                told.wait_for(&mut stopped, EVERY);
            }
            if *stopped {
                return;
            }
        }
        let done = sweep(inner, stop).and_then(|()| match inner.retain_bytes {
            0 => Ok(None),
            bytes => inner.retain(bytes),
        });
        match done {
            Ok(_) | Err(LedgerError::Closed {} | LedgerError::Failed { .. }) => {}
            Err(error) => tracing::warn!(%error, "the ledger's upkeep did not come to its end; trying again"),
        }
    }
}

fn sweep(inner: &Inner, stop: &Mutex<bool>) -> Result<(), LedgerError> {
    while inner.state.sweep(SWEPT_AT_ONCE)? {
        if *stop.lock() {
            break;
        }
        // An open transaction may hold back the rest: then there is nothing to hurry for.
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

impl Inner {
    /// Removes the oldest records until at most about `bytes` are left, as far as nobody needs them. Gives the new
    /// horizon; none when nothing was to be removed.
    pub(crate) fn retain(&self, bytes: u64) -> Result<Option<u64>, LedgerError> {
        let _one_at_a_time = self.retaining.lock();
        let Some(first) = target(&self.log, &self.bus, bytes)? else {
            return Ok(None);
        };
        if self.state.horizon() < first {
            let refuse_below = Commit {
                controls: vec![StateView::retain(first)],
                ..Commit::default()
            };
            let mut ticket = self.append(&refuse_below)?;
            self.log.acknowledged_blocking(&mut ticket)?;
        }
        self.bus.retain(first)?;
        // A group that began meanwhile may need them after all.
        if self.bus.pinned()?.is_some_and(|pinned| pinned < first) {
            return Ok(None);
        }
        remove(&*self.disk, &self.folder, &self.log, &self.index, first)?;
        Ok(Some(first))
    }
}
