//! Time and randomness of replayable calls: a clock that moves by being read, and generators grown from one seed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// How far one reading moves the clock, in nanoseconds: two readings are never the same, as with a real one.
const READING_NS: u64 = 1_000;

/// A clock both of wasi's clocks show: wall time in nanoseconds since 1970, and monotonic as that grows only.
#[derive(Debug)]
pub(crate) struct VirtualClock(AtomicU64);

impl VirtualClock {
    fn starting_at(unix_ns: u64) -> Self {
        Self(AtomicU64::new(unix_ns))
    }

    /// The time; reading it moves it.
    pub(crate) fn read(&self) -> u64 {
        let step = |now: u64| Some(now.saturating_add(READING_NS));
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .unwrap_or_else(|now| now)
    }

    /// The time, unmoved.
    pub(crate) fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves on to a time, if it lies ahead.
    pub(crate) fn advance_to(&self, when: u64) {
        self.0.fetch_max(when, Ordering::Relaxed);
    }
}

struct Shown(Arc<VirtualClock>);

impl HostWallClock for Shown {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(READING_NS)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.read())
    }
}

impl HostMonotonicClock for Shown {
    fn resolution(&self) -> u64 {
        READING_NS
    }

    fn now(&self) -> u64 {
        self.0.read()
    }
}

/// Where a call's time and randomness start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) unix_ns: u64,
    /// None where nobody will ask for the same call again: the system's randomness does then.
    pub(crate) seed: Option<[u8; 32]>,
}

/// The virtual clock of one call and the pollables that wait for it.
#[derive(Debug)]
pub(crate) struct VirtualTime {
    pub(crate) clock: Arc<VirtualClock>,
    /// When each pollable is due, by its handle. Bounded, as every one of them is in the resource table.
    pub(crate) alarms: HashMap<u32, u64>,
}

impl VirtualTime {
    /// Puts clock and randomness in the place of the system's.
    pub(crate) fn install(origin: Origin, wasi: &mut WasiCtxBuilder) -> Self {
        let clock = Arc::new(VirtualClock::starting_at(origin.unix_ns));
        wasi.wall_clock(Shown(clock.clone()))
            .monotonic_clock(Shown(clock.clone()));
        if let Some(seed) = origin.seed {
            // One stream each, so that asking one source for more does not change what another says.
            let stream = |number| {
                let mut rng = ChaCha20Rng::from_seed(seed);
                rng.set_stream(number);
                rng
            };
            let mut fixed = [0; 16];
            stream(2).fill_bytes(&mut fixed);
            wasi.secure_random(stream(0))
                .insecure_random(stream(1))
                .insecure_random_seed(u128::from_le_bytes(fixed));
        }
        Self {
            clock,
            alarms: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_by_being_read_and_never_back() {
        let clock = VirtualClock::starting_at(5);
        assert_eq!((clock.read(), clock.read(), clock.peek()), (5, 1_005, 2_005));
        clock.advance_to(10_000);
        clock.advance_to(7);
        assert_eq!(clock.read(), 10_000);
        clock.advance_to(u64::MAX);
        assert_eq!((clock.read(), clock.read()), (u64::MAX, u64::MAX));
    }
}
