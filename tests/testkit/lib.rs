//! What the cases and benchmarks stand on: guests built from source, an engine, a kernel, the real binary, real clients.

pub mod author;
pub mod batches;
pub mod between;
pub mod certificates;
pub mod engine;
pub mod guests;
pub mod host;
pub mod hostile;
pub mod live;
pub mod oci;
pub mod parts;
pub mod registry_server;
pub mod seaweed;
pub mod swappable;
pub mod tenants;
