//! Bronze, silver, gold: telemetry from what arrived to tables a notebook opens.
//!
//! - [`event`] reads what was pushed, JSON in any of the shapes that occur, into record batches of one schema; what
//!   cannot be read becomes a row of the rejects, so nothing vanishes.
//! - [`files`] keeps a table as a folder of Parquet files, each complete under its name or not there at all, which say
//!   what rows of their source they hold.
//! - [`live`] hands the events to those who watch, as server-sent events.
//! - [`pipeline`] brings events from one to the next, through the log and the components between them.
//! - [`subsystem`] calls the components between them: the stream buffer and the silver gate.

// A swap of a component reaches through kernel and ledger into their store: deeper than what the compiler looks by default.
#![recursion_limit = "256"]

mod error;
pub mod event;
pub mod files;
pub mod live;
pub mod pipeline;
pub mod subsystem;

pub use error::MedallionError;
