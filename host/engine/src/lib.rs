//! How one call runs: one wasmtime engine, a fresh store for every call, every limit armed, enforced and read back.
//!
//! [`Engine::load`] turns bytes into a [`Capability`]; [`Capability::call`] runs one function in a fresh sandbox and
//! answers with the result, what it used and what it logged. [`Capability::resident`] makes an instance that stays, for
//! components that keep something across calls. Nothing else makes a store.
//!
//! # Determinism tiers
//!
//! A capsule's determinism decides its engine profile:
//!
//! | | `D0_bit_exact` | `D1_numerically_stable` | `D2_soft_deterministic`, `NX_experimental` |
//! |---|---|---|---|
//! | ended by | fuel, memory | fuel, memory, guest time | fuel, memory, guest time |
//! | wall time | the safety net; its error does not replay | the same | ends the call |
//! | wasi:random | a ChaCha20 stream of the context's seed | the same | the system's |
//! | wasi:clocks | virtual: starts at the context's `unix_ns`, 1 µs a reading, sleeping moves it | the same | the system's |
//! | host calls | on the [`Tape`], replayable | the same | not recorded |
//!
//! For all tiers alike, because one engine serves them: NaN bits are canonical, relaxed SIMD is deterministic, there
//! are no wasm threads.
//!
//! # Where calls run
//!
//! In this process, or, for zones that [`WorkerConfig`] says so of, in worker processes: same limits, same errors, same
//! usage. [`Capability::runs_in`] says where. What differs is what a guest that breaks out finds, and that a process that
//! dies is an error of the calls in it. What a guest there imports its providers and its links answer here, in the call's
//! own context; a provider says with [`Provider::crosses`] of which interfaces it can.
//!
//! # Replacing one version by another
//!
//! Each load stands behind a fence of its own: [`Capability::fence`] ends its calls that still run, and after it nothing of
//! them can be made lasting ([`Capability::committing`]). A component whose one instance stays and that exports
//! `kinetic:capsule/lifecycle` hands its state over: [`Capability::export_state`] of the one that goes,
//! [`Capability::begin_from`] of the one that comes. Both versions can be loaded at once; nothing here decides which is called.

mod apart;
mod arguments;
mod aside;
mod capability;
mod clock;
mod code_cache;
mod compile;
mod config;
mod context;
mod crossing;
mod describe;
mod dynamic;
mod engine;
mod error;
mod extensions;
mod fast;
mod fast_import;
mod fence;
mod grantee;
mod host_bytes;
mod interface;
mod kept;
mod known;
mod lifecycle;
mod limiter;
mod link;
mod logs;
mod outcome;
mod peer;
mod profile;
mod provider;
mod ready;
mod resident;
mod same;
mod sandboxes;
mod schema;
mod state;
mod store;
#[cfg(test)]
mod swap_tests;
mod tape;
mod tape_bytes;
mod taped;
mod ticker;
mod values;
mod values_out;
mod virtual_time;
mod waiting;
mod worker;

pub use apart::{behind, beside};
pub use aside::{Ended, spawn_at_home};
pub use capability::{Answer, Capability, Input, Outcome, Output};
pub use compile::compile_worker_main;
pub use config::{Allocation, CompileIn, EngineConfig};
pub use context::{CallContext, Within};
pub use crossing::{CrossingAnswer, NotUnderstood, ask_host, cross, crossed, resource_of_host};
pub use describe::describe;
pub use engine::{Engine, PoolStatus};
pub use error::EngineError;
pub use extensions::Extensions;
pub use fence::Committing;
pub use grantee::{Admit, Grantee};
pub use host_bytes::HostBytes;
pub use interface::{Function, Interface, Named, Part, WitType};
pub use known::{Known, LoadedFrom};
pub use lifecycle::{Health, Snapshot};
pub use logs::Logs;
pub use peer::{Peer, PeerCalls, PeerFault, PeerFuture, PeerReply};
pub use provider::{Configured, Provider};
pub use resident::{Called, Resident};
pub use state::CallState;
pub use tape::{Exchange, Slot, Tape, Turn};
pub use tape_bytes::{decode_tape, encode_tape};
pub use taped::TapedBytes;
pub use worker::{RunIn, RunsIn, WorkerConfig, WorkerStatus, worker_main};
