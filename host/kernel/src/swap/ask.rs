//! What is asked of a swap, how careful it is, and what it says it did.

use kinetic_model::{Digest, Urn};
use semver::Version;
use serde::Serialize;

use crate::{Actor, Capsule};

/// A swap to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapAsk {
    /// What is replaced.
    pub urn: Urn,
    /// By what.
    pub to: SwapTo,
    /// Who asks.
    pub actor: Actor,
    /// Go on although a D0 or D1 version answers recorded calls otherwise than the one it replaces.
    pub accept_differences: bool,
    /// Go on although the state cannot be handed over; what the present version holds is lost.
    pub discard_state: bool,
}

/// What takes the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwapTo {
    /// This version.
    Version(Version),
    /// The component with this digest.
    Digest(Digest),
    /// The newest version there is.
    Newest,
    /// The version that was there before.
    Former,
}

/// How careful swaps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwapSettings {
    /// How long calls of the version that goes may still run, in milliseconds.
    pub drain_ms: u64,
    /// How long a new version is on probation, in milliseconds; 0 for not at all.
    pub probation_ms: u64,
    /// After so many calls the new version failed and the one before did not, the one before comes back.
    pub probation_failures_max: u64,
    /// It also comes back when 99 % of the new version's calls take this many times as long as before...
    pub probation_latency_times: u64,
    /// ...and more than this, in milliseconds...
    pub probation_latency_ms: u64,
    /// ...over at least so many calls of both.
    pub probation_calls_min: u64,
    /// How many recorded calls a D0 or D1 version has to answer as before; 0 for none.
    pub shadow_calls: u64,
    /// A capsule whose instance stays is quarantined after so many failures in a row.
    pub strikes_max: u32,
}

impl Default for SwapSettings {
    fn default() -> Self {
        Self {
            drain_ms: 5_000,
            probation_ms: 60_000,
            probation_failures_max: 3,
            probation_latency_times: 5,
            probation_latency_ms: 50,
            probation_calls_min: 50,
            shadow_calls: 32,
            strikes_max: 5,
        }
    }
}

/// A version on one side of a swap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its version.
    pub version: Version,
    /// SHA-256 of its component.
    pub digest: Digest,
    /// The generation; of a version that was not active yet, the one it would be.
    pub generation: u64,
}

impl Side {
    pub(crate) fn of(capsule: &Capsule) -> Self {
        Self {
            version: capsule.manifest.version.clone(),
            digest: capsule.digest,
            generation: capsule.generation,
        }
    }
}

/// What the shadow run showed: recorded calls made again with the new version, without effects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Shadow {
    /// Recorded calls that were made again.
    pub calls: u64,
    /// Those that ended otherwise than recorded.
    pub differences: u64,
    /// The first of those, by its record and how it ended then and now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

/// What a swap would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwapPlan {
    /// What is replaced.
    pub urn: Urn,
    /// The version that goes.
    pub from: Side,
    /// The version that comes.
    pub to: Side,
    /// What would happen, step by step.
    pub steps: Vec<String>,
    /// What the shadow run showed.
    pub shadow: Shadow,
    /// Calls that are under way in the version that goes.
    pub calls: u64,
    /// Active capsules that use this one.
    pub dependents: Vec<Urn>,
}

/// One step of a swap and how long it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepTaken {
    /// `prepare`, `shadow`, `ready`, `stop-intake`, `drain`, `hand-over`, `flip` or `probation`.
    pub step: &'static str,
    /// In microseconds.
    pub took_us: u64,
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swapped {
    /// What was replaced.
    pub urn: Urn,
    /// The version that went.
    pub from: Side,
    /// The version that came.
    pub to: Side,
    /// The steps.
    pub steps: Vec<StepTaken>,
    /// What the shadow run showed.
    pub shadow: Shadow,
    /// Bytes of state that were handed over; none when there was none to hand over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_bytes: Option<u64>,
    /// How long calls waited at most, in microseconds; 0 when none had to.
    pub pause_us: u64,
    /// How long the new version is on probation, in milliseconds.
    pub probation_ms: u64,
}
