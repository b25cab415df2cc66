//! Lives of capsules in a real kernel over a real ledger: swaps, rollbacks, probation, restarts, against a model.

mod kit;
mod model;
mod swaps;
