//! Calls that nobody asks for: a capsule's manifest names topics and times, and the host calls it when an event comes or
//! the time does. A task for each trigger of an active capsule calls its URN, so it follows every swap.

mod backoff;
mod board;
mod calling;
mod clock;
mod origin;
mod rules;
mod schedule;
mod stop;
mod supervisor;
mod topic;
mod trigger;

pub(crate) use self::board::Board;
pub use self::board::{LastCall, LastResult, TriggerState};
pub(crate) use self::origin::{CalledBy, Origin};
pub(crate) use self::rules::{fault, misfit};
pub(crate) use self::stop::Stop;
pub use self::supervisor::Executors;
pub use self::trigger::{Trigger, When};

/// How events and the clock call capsules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorSettings {
    /// How many events of one trigger may be under way at once, 1 or more; default 1. More than one only in different
    /// partitions: a partition keeps its order.
    pub events_running_max: u16,
    /// How long an executor waits after the first failure, in milliseconds; default 100. It doubles with each further one.
    pub backoff_ms_min: u64,
    /// The longest it waits between tries, in milliseconds; default 30,000.
    pub backoff_ms_max: u64,
}

impl Default for ExecutorSettings {
    fn default() -> Self {
        Self {
            events_running_max: 1,
            backoff_ms_min: 100,
            backoff_ms_max: 30_000,
        }
    }
}
