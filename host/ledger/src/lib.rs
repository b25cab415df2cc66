//! What happened: one log, hash-chained and group-committed; bus, state and receipts are views of it.
//!
//! A segment file is the truth and the only thing that is synced. A commit is one record, all of it or nothing: its
//! events, state writes, consumer offsets and receipt. Views are kept in memory and in an embedded store that is fed
//! from the log and rebuilt from it when lost.

pub mod bus;
mod commit;
mod effects;
mod error;
mod index;
mod ledger;
mod log;
mod merkle;
mod reader;
mod retention;
pub mod state;
mod upkeep;
mod verify;
pub mod wire;

pub use commit::{Commit, Control, Durability, Parts, View};
pub use effects::{CALL_EVENT_BYTES_MAX, CALL_EVENTS_MAX, Effects};
pub use error::LedgerError;
pub use ledger::{ChangesAsk, ChangesPage, Committed, Ledger, LedgerConfig, Placed, ReceiptProof};
pub use log::{Disk, DiskFile, LogConfig, Record, SystemDisk};
pub use merkle::{Checkpoint, Hash, verify_consistency, verify_inclusion};
pub use reader::Reader;
pub use verify::{Finding, Verified, verify};

/// The largest record, in bytes: the largest input and output of a call, and what it wrote.
pub const RECORD_BYTES_MAX: u64 = 64 << 20;
