//! A capsule's life: its states, the transitions there are, and the record of each one.

mod binding;
mod journal;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use binding::{Binding, Former};
pub(crate) use journal::{Journal, Move, Named};
pub use journal::{LIFECYCLE_TOPIC, SWAP_EVENT, TRANSITION_EVENT};
pub use state::{Actor, Cause, State};
