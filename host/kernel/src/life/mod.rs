//! A capsule's life: its states, the transitions there are, and the record of each one.

mod binding;
mod journal;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use binding::{Binding, Former};
pub use journal::{BOOT_EVENT, LIFECYCLE_TOPIC, SWAP_EVENT, TRANSITION_EVENT, WATCHED_EVENT};
pub(crate) use journal::{Journal, Move, Named, Unsynced, ensure_topic};
pub use state::{Actor, Cause, State};
