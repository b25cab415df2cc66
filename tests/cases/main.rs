//! End to end, in one binary: linking everything twice costs more than running it.

mod admission;
mod authoring;
mod bus;
mod code_cache;
mod contract;
mod determinism;
mod events_guest;
mod examples;
mod first_minutes;
mod hostile_guests;
mod http_api;
mod keyvalue_guest;
mod ledger;
mod limits;
mod mcp;
mod registries;
mod replay;
mod resident;
mod silver_gate;
mod soak;
mod state;
mod state_guest;
mod state_watch;
mod stream_buffer;
mod survival;
mod values;
