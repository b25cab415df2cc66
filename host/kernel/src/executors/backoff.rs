//! How long to wait after failures: twice as long each time, up to a bound.

use std::time::Duration;

use super::ExecutorSettings;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next_ms: u64,
    settings: ExecutorSettings,
}

impl Backoff {
    pub(super) const fn new(settings: ExecutorSettings) -> Self {
        Self {
            next_ms: settings.backoff_ms_min,
            settings,
        }
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let now_ms = self.next_ms.min(self.settings.backoff_ms_max);
        self.next_ms = now_ms.saturating_mul(2);
        Duration::from_millis(now_ms)
    }

    /// It went well.
    pub(super) const fn reset(&mut self) {
        self.next_ms = self.settings.backoff_ms_min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_its_bound_and_begins_anew_after_a_success() {
        let mut backoff = Backoff::new(ExecutorSettings {
            backoff_ms_min: 100,
            backoff_ms_max: 350,
            ..ExecutorSettings::default()
        });
        let ms = |backoff: &mut Backoff| backoff.next().as_millis();
        let waits: Vec<u128> = (0..4).map(|_| ms(&mut backoff)).collect();
        assert_eq!(waits, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(ms(&mut backoff), 100);
    }
}
