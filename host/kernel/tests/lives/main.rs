//! Lives of capsules in a real kernel over a real ledger: swaps, rollbacks, probation, restarts, against a model.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod injection;
mod kit;
mod links;
mod model;
mod parts;
mod placed;
mod starts;
mod swaps;
mod triggers;
mod watched;
