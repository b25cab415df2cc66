//! Watching at a pace, for those who show the newest and not everything.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::pending::Pending;
use super::{EventId, Frames, Subscriber};
use crate::MedallionError;

/// The slowest and the fastest pace, in ticks a second.
pub const HZ_MIN: f64 = 0.1;
/// See [`HZ_MIN`].
pub const HZ_MAX: f64 = 100.0;

/// A pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    period: Duration,
}

impl Throttle {
    /// So many ticks a second.
    ///
    /// # Errors
    /// [`MedallionError::BadPace`] unless it is [`HZ_MIN`] to [`HZ_MAX`].
    pub fn new(hz: f64) -> Result<Self, MedallionError> {
        if !(HZ_MIN..=HZ_MAX).contains(&hz) {
            return Err(MedallionError::BadPace { hz: hz.to_string() });
        }
        Ok(Self {
            period: Duration::from_secs_f64(hz.recip()),
        })
    }
}

/// A subscriber that is given frames at most so often, the first of a quiet time at once: of each stream its newest event
/// since the last time, the newest streams first served where there are very many. A frame `skipped` in front of them says
/// how many wanted events were left out.
pub struct Throttled {
    subscriber: Subscriber,
    period: Duration,
    tick: Instant,
    pending: Pending,
    /// Where the reader is while there is something pending.
    told: Option<EventId>,
}

impl Throttled {
    pub(super) fn new(subscriber: Subscriber, throttle: Throttle) -> Self {
        Self {
            told: subscriber.position(),
            subscriber,
            period: throttle.period,
            tick: Instant::now(),
            pending: Pending::default(),
        }
    }

    /// The next frames, at the next tick at which there are some. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`Subscriber::next`].
    pub async fn next(&mut self) -> Result<Frames, MedallionError> {
        loop {
            if self.pending.is_empty() {
                self.told = self.subscriber.position();
                let piece = self.subscriber.piece().await?;
                self.pending.add(&piece, self.subscriber.watched());
            } else {
                tokio::select! {
                    biased;
                    () = sleep_until(self.tick) => {
                        let position = self.subscriber.position();
                        if let Some(frames) = self.pending.flush(position) {
                            self.told = position;
                            self.tick = Instant::now() + self.period;
                            return Ok(frames);
                        }
                    }
                    piece = self.subscriber.piece() => self.pending.add(&piece?, self.subscriber.watched()),
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// The last event that was given out, left out or is not wanted: who begins behind it misses nothing that was to come.
    pub fn position(&self) -> Option<EventId> {
        if self.pending.is_empty() {
            self.subscriber.position()
        } else {
            self.told
        }
    }
}
