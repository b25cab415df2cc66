//! Which capsule, which version, may it: manifest, admission, lifecycle, quarantine, swaps, what a URN means, and how to
//! find one.
//!
//! A capsule becomes active in one way only: bytes, digest, receipt, manifest, imports within grants, link, compile,
//! probe. Each step fails closed with a stable code, and what failed is quarantined by digest. Each transition of its
//! life is a record, and what its URN means changes in the very record that says so. Parts of the host itself go the
//! same way.

mod admission;
mod admit;
mod boot;
mod call_record;
mod calling;
mod capsule;
mod checked;
mod composed;
mod crystallize;
mod discovery;
mod error;
mod executors;
mod governance;
mod injection;
mod install;
mod intake;
mod kept;
mod kernel;
mod life;
mod manage;
mod manifest;
mod outbox;
mod parts;
mod placement;
mod policy;
mod provenance;
mod publish;
mod pull;
mod quarantine;
mod recorder;
mod release;
mod replay;
mod resolve;
pub mod search;
mod statement;
mod stats;
mod stored;
mod swap;
mod turns;
mod watched;
mod zones;

use std::time::{SystemTime, UNIX_EPOCH};

pub use boot::{Boot, Reconciled};
pub use calling::Execution;
pub use capsule::Capsule;
pub use checked::{Check, Checked, Outcome};
pub use composed::composed;
pub use crystallize::{Crystallization, CrystallizationKeys};
pub use discovery::{Found, Hit, search_manifests};
pub use error::KernelError;
pub use executors::{ExecutorSettings, Executors, LastCall, LastResult, Trigger, TriggerState, When};
pub use governance::{Denied, Party, Rules};
pub use kernel::{Kernel, KernelConfig};
pub use life::{Actor, BOOT_EVENT, Cause, LIFECYCLE_TOPIC, SWAP_EVENT, State, TRANSITION_EVENT, WATCHED_EVENT};
pub use manage::{Process, Use};
pub use manifest::{Capabilities, FunctionText, Governance, Manifest, WhenReplaced};
pub use outbox::{
    CapsulePayload, Deliveries, OUTBOX_EVENT, OutboxCounts, OutboxEntry, OutboxSettings, OutboxState, OutboxView,
    Payload, PromotionPayload,
};
pub use parts::{Occupant, Reports, Seat, Successor};
pub use placement::{Architecture, NodeSettings, PlacementAsk, PlacementPolicy, label_fault};
pub use policy::Policy;
pub use provenance::{ProvenanceLevel, ProvenancePolicy};
pub use pull::Pulled;
pub use quarantine::{Quarantined, Step};
pub use release::{RELEASE, override_statement};
pub use replay::{Ending, Replayed};
pub use resolve::Interface;
pub use statement::{Build, RUNTIME_EVENT};
pub use stats::Counts;
pub use swap::{Shadow, Side, StepTaken, SwapAsk, SwapPlan, SwapSettings, SwapTo, Swapped};
pub use watched::{
    RegistryWatch, WATCHED_FOLDERS_MAX, WATCHED_NAMES_MAX, WatchSettings, WatchState, Watched, WatchedName,
};
pub use zones::{PerZone, Permit, Place, Quota, TenantStatus, ZonePool, ZoneSettings, ZoneStatus, Zones};

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
