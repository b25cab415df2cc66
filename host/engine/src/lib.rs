//! How one call runs: one wasmtime engine, a fresh store for every call, every limit armed, enforced and read back.
//!
//! [`Engine::load`] turns bytes into a [`Capability`]; [`Capability::call`] runs one function in a fresh sandbox and
//! answers with the result, what it used and what it logged. Nothing else makes a store.

mod capability;
mod clock;
mod code_cache;
mod compile;
mod config;
mod describe;
mod engine;
mod error;
mod fast;
mod host_bytes;
mod interface;
mod limiter;
mod link;
mod logs;
mod outcome;
mod provider;
mod schema;
mod state;
mod store;
mod ticker;
mod values;
mod values_out;

pub use capability::{Answer, Capability, Input, Outcome, Output};
pub use compile::compile_worker_main;
pub use config::{Allocation, CompileIn, EngineConfig};
pub use describe::describe;
pub use engine::{Engine, LoadedFrom, PoolStatus};
pub use error::EngineError;
pub use host_bytes::HostBytes;
pub use interface::{Function, Interface, Named, Part, WitType};
pub use logs::Logs;
pub use provider::{Configured, Provider};
pub use state::CallState;
