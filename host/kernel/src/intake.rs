//! The way into a version of a capsule: counts the calls that are in it, and can be closed for more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The bit that says it is closed; below it the calls are counted.
const CLOSED: u64 = 1 << 63;

/// Why nobody gets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// Another version takes over: wait, then look again what the URN means.
    Moving,
    /// Another version took over.
    Gone,
    /// An operator or the host suspended it.
    Suspended(String),
}

/// The way in.
#[derive(Debug)]
pub(crate) struct Intake {
    state: AtomicU64,
    why: RwLock<Closed>,
    changed: Notify,
    quiet: Notify,
}

/// A call that is in; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket<'a>(&'a Intake);

impl Default for Intake {
    fn default() -> Self {
        Self {
            state: AtomicU64::new(0),
            why: RwLock::new(Closed::Gone),
            changed: Notify::new(),
            quiet: Notify::new(),
        }
    }
}

impl Intake {
    /// Lets a call in.
    pub(crate) fn enter(&self) -> Result<Ticket<'_>, Closed> {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        let ticket = Ticket(self);
        if before & CLOSED == 0 {
            return Ok(ticket);
        }
        drop(ticket);
        Err(self.why.read().clone())
    }

    /// Counts a call that comes only if another version fails it, open or not, so that whoever waits for calls to end waits
    /// for it, too.
    pub(crate) fn count_in(&self) -> Ticket<'_> {
        self.state.fetch_add(1, Ordering::AcqRel);
        Ticket(self)
    }

    /// Lets nobody in any more; who is in stays in.
    pub(crate) fn close(&self, why: Closed) {
        *self.why.write() = why;
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Stops it for a move. Gives how it was, for when the move does not come about.
    pub(crate) fn stop(&self) -> Option<Closed> {
        let before = self.closed();
        self.close(Closed::Moving);
        before
    }

    /// After a move that did not come about: as it was before, so that what was suspended still is.
    pub(crate) fn restore(&self, before: Option<Closed>) {
        match before {
            Some(closed) => self.close(closed),
            None => self.open(),
        }
    }

    /// Lets calls in again.
    pub(crate) fn open(&self) {
        self.state.fetch_and(!CLOSED, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Why nobody gets in, if so.
    pub(crate) fn closed(&self) -> Option<Closed> {
        (self.state.load(Ordering::Acquire) & CLOSED != 0).then(|| self.why.read().clone())
    }

    /// Calls that are in.
    pub(crate) fn calls(&self) -> u64 {
        self.state.load(Ordering::Acquire) & !CLOSED
    }

    /// Waits while it is closed for a move; at most until then.
    pub(crate) async fn moved(&self, deadline: Instant) -> bool {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.closed() != Some(Closed::Moving) {
                return true;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return false;
            }
        }
    }

    /// Waits until no call is in; false when that took too long.
    pub(crate) async fn drained(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let quiet = self.quiet.notified();
            let mut quiet = std::pin::pin!(quiet);
            quiet.as_mut().enable();
            if self.calls() == 0 {
                return true;
            }
            if tokio::time::timeout_at(deadline, quiet).await.is_err() {
                return self.calls() == 0;
            }
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let before = self.0.state.fetch_sub(1, Ordering::AcqRel);
        // Nobody waits for an open intake to be quiet.
        if before == CLOSED | 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_in_stays_in_and_nobody_else_gets_in_once_it_is_closed() {
        let intake = Intake::default();
        let ticket = intake.enter().unwrap();
        intake.close(Closed::Moving);
        assert_eq!(intake.enter().unwrap_err(), Closed::Moving);
        assert_eq!(intake.calls(), 1);
        assert!(!intake.drained(Duration::from_millis(5)).await);
        let (drained, ()) = tokio::join!(intake.drained(Duration::from_mins(1)), async {
            tokio::task::yield_now().await;
            drop(ticket);
        });
        assert!(drained);
        intake.open();
        assert!(intake.enter().is_ok());
    }

    #[test]
    fn what_was_suspended_is_so_again_after_a_move_that_did_not_come_about() {
        let intake = Intake::default();
        let before = intake.stop();
        intake.restore(before);
        assert!(intake.enter().is_ok());
        let suspended = Closed::Suspended("a word".into());
        intake.close(suspended.clone());
        let before = intake.stop();
        assert_eq!(intake.enter().unwrap_err(), Closed::Moving);
        intake.restore(before);
        assert_eq!(intake.enter().unwrap_err(), suspended);
    }

    #[tokio::test]
    async fn who_waits_for_a_move_goes_on_when_it_is_over() {
        let intake = Intake::default();
        intake.close(Closed::Moving);
        let soon = Instant::now() + Duration::from_millis(5);
        assert!(!intake.moved(soon).await);
        let later = Instant::now() + Duration::from_mins(1);
        let (moved, ()) = tokio::join!(intake.moved(later), async { intake.close(Closed::Gone) });
        assert!(moved);
    }
}
