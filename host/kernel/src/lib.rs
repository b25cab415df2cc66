//! Which capsule, which version, may it: manifest, admission, lifecycle, quarantine, swaps, and what a URN means.
//!
//! A capsule becomes active in one way only: bytes, digest, receipt, manifest, imports within grants, link, compile,
//! probe. Each step fails closed with a stable code, and what failed is quarantined by digest. Each transition of its
//! life is a record, and what its URN means changes in the very record that says so.

mod admission;
mod call_record;
mod calling;
mod capsule;
mod error;
mod install;
mod intake;
mod kernel;
mod life;
mod manage;
mod manifest;
mod policy;
mod quarantine;
mod recorder;
mod release;
mod replay;
mod statement;
mod stats;
mod swap;
mod turns;

use std::time::{SystemTime, UNIX_EPOCH};

pub use calling::Execution;
pub use capsule::Capsule;
pub use error::KernelError;
pub use kernel::{Kernel, KernelConfig};
pub use life::{Actor, Cause, LIFECYCLE_TOPIC, SWAP_EVENT, State, TRANSITION_EVENT};
pub use manage::Process;
pub use manifest::{Capabilities, FunctionText, Governance, Manifest};
pub use policy::Policy;
pub use quarantine::{Quarantined, Step};
pub use release::{RELEASE, override_statement};
pub use replay::{Ending, Replayed};
pub use statement::{Build, RUNTIME_EVENT};
pub use stats::Counts;
pub use swap::{Shadow, Side, StepTaken, SwapAsk, SwapPlan, SwapSettings, SwapTo, Swapped};

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
