//! Which capsule, which version, may it: manifest, admission, quarantine, and resolution of URNs to what is active.
//!
//! A capsule becomes active in one way only: bytes, digest, receipt, manifest, imports within grants, link, compile,
//! probe. Each step fails closed with a stable code, and what failed is quarantined by digest.

mod admission;
mod call_record;
mod capsule;
mod error;
mod kernel;
mod manifest;
mod policy;
mod quarantine;
mod recorder;
mod replay;
mod statement;

pub use capsule::Capsule;
pub use error::KernelError;
pub use kernel::{Execution, Kernel, KernelConfig};
pub use manifest::{Capabilities, FunctionText, Governance, Manifest};
pub use policy::Policy;
pub use quarantine::{Quarantined, Step};
pub use replay::{Ending, Replayed};
pub use statement::{Build, RUNTIME_EVENT};
