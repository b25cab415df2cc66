//! The words of a manifest's governance: type, zone, tier, audit level, determinism.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of thing a capsule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CapsuleType {
    /// Functions over values.
    Logic,
    /// Moves batches from one form to the next.
    Pipeline,
    /// Access to something outside.
    Resource,
    /// Decides for the host (shedding, placement, routing).
    Policy,
    /// Speaks to a device or protocol.
    Driver,
    /// Something a person looks at.
    Ui,
    /// Data.
    Dataset,
    /// A test.
    Test,
}

/// How soon an answer is wanted; a hint for scheduling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LatencyClass {
    /// Whenever.
    Offline,
    /// Minutes.
    Batch,
    /// A person waits.
    #[default]
    Interactive,
    /// A machine waits.
    Realtime,
}

/// Who stands behind a capsule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GovernanceTier {
    /// Part of the runtime.
    Core,
    /// Kept by the platform's operators.
    Platform,
    /// Kept by others, reviewed.
    Extension,
    /// Not reviewed.
    Experimental,
    /// Made on this machine.
    Local,
}

/// How closely a capsule's calls are recorded. Nobody's calls go unrecorded: below `standard` is a wish for less detail
/// that this host does not grant. Calls of D0 and D1 capsules are recorded with their inputs at any level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditLevel {
    /// As `standard`.
    None,
    /// As `standard`.
    Low,
    /// A receipt per call.
    #[default]
    Standard,
    /// Receipts with inputs.
    Elevated,
    /// Receipts with inputs, on disk before the call is answered.
    Critical,
}

/// How far a capsule is trusted; each zone has ceilings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrustZone {
    /// Critical to the platform's integrity.
    System,
    /// A tenant's own.
    Tenant,
    /// Short-lived, of one user or agent.
    Session,
    /// Experimental, used once.
    Ephemeral,
}

impl TrustZone {
    /// The word used in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Tenant => "tenant",
            Self::Session => "session",
            Self::Ephemeral => "ephemeral",
        }
    }
}

/// What the calls of a capsule run in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InstanceMode {
    /// An instance of its own for each call, which leaves nothing behind.
    #[default]
    Fresh,
    /// One instance for all calls, one call at a time: what a call leaves in memory is there at the next one. It ends with
    /// a call that fails or is dropped, with its capsule and with the host. Such calls cannot be made again, so it goes with
    /// `D2_soft_deterministic` and `NX_experimental` only, not with imports of state or events, and not in zone `ephemeral`.
    Resident,
}

/// How repeatable a capsule's results are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Determinism {
    /// The same bits for the same input, anywhere.
    #[serde(rename = "D0_bit_exact")]
    D0BitExact,
    /// The same within a stated numeric tolerance.
    #[serde(rename = "D1_numerically_stable")]
    D1NumericallyStable,
    /// The same in meaning.
    #[serde(rename = "D2_soft_deterministic")]
    D2SoftDeterministic,
    /// No promise.
    #[serde(rename = "NX_experimental")]
    NxExperimental,
}
