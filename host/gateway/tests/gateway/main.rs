//! The gateway from outside: a real kernel behind it, real sockets before it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod capsules;
mod discovery;
mod doors;
mod drain;
mod execute;
mod host;
mod mcp;
mod registry;
mod views;
