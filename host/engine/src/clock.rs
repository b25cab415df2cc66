//! Guest time: a stopwatch that runs only while wasm runs.

use std::time::{Duration, Instant};

/// Adds up the time between entering and leaving wasm. Host calls, and waiting while others run, stand outside.
#[derive(Debug)]
pub(crate) struct GuestClock {
    spent: Duration,
    limit: Duration,
    running_since: Option<Instant>,
    exhausted: bool,
}

impl GuestClock {
    /// A clock with a limit, or one that only measures.
    pub(crate) fn new(limit_ms: Option<u64>) -> Self {
        Self {
            spent: Duration::ZERO,
            limit: limit_ms.map_or(Duration::MAX, Duration::from_millis),
            running_since: None,
            exhausted: false,
        }
    }

    /// Wasm starts or goes on.
    pub(crate) fn enter(&mut self) {
        self.running_since = Some(Instant::now());
    }

    /// Wasm stops or calls the host. Nested leaves count once.
    pub(crate) fn leave(&mut self) {
        if let Some(since) = self.running_since.take() {
            self.spent += since.elapsed();
        }
    }

    /// Whether the budget is used up; remembers a yes, which is how the error is told from others.
    pub(crate) fn check_exhausted(&mut self) -> bool {
        self.exhausted |= self.spent > self.limit;
        self.exhausted
    }

    pub(crate) fn exhausted(&self) -> bool {
        self.exhausted
    }

    pub(crate) fn spent(&self) -> Duration {
        self.spent
    }

    /// The limit of the call that begins; the same clock may have had another for the call before.
    pub(crate) fn set_limit(&mut self, limit_ms: Option<u64>) {
        self.limit = limit_ms.map_or(Duration::MAX, Duration::from_millis);
    }

    /// Forgets what instantiation took, so that the budget is the call's.
    pub(crate) fn restart(&mut self) {
        self.spent = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_the_host_is_not_guest_time() {
        // So long that a machine that is busy in the wrong moment does not use it up.
        let mut clock = GuestClock::new(Some(500));
        clock.enter();
        clock.leave();
        std::thread::sleep(Duration::from_millis(600));
        clock.enter();
        clock.leave();
        assert!(!clock.check_exhausted());
        clock.enter();
        std::thread::sleep(Duration::from_millis(600));
        clock.leave();
        assert!(clock.check_exhausted());
    }
}
