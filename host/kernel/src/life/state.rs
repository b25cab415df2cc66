//! The states of a capsule and the transitions between them, as one table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a version of a capsule stands on this host. Draining and having failed are reasons, not states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A registry has it; nothing about it is believed yet.
    Discovered,
    /// Digest, receipt and manifest fit each other and a trusted key.
    Verified,
    /// Compiled, linked, and started once.
    Loaded,
    /// Calls reach it.
    Active,
    /// It is kept, and calls do not reach it: by an operator's word, or standing by for its successor.
    Suspended,
    /// It was let go.
    Unloaded,
    /// It was refused, or failed too often; it comes back as other bytes, or by a signed override.
    Quarantined,
}

/// Why a transition happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It was asked for, or found in a store.
    Found,
    /// It passed the step of admission before this state.
    Admitted,
    /// It failed a step of admission.
    Refused,
    /// The host was busy or broken; nothing is said about the capsule.
    HostFailed,
    /// It became what its URN means: the first one, or a newer one that was published.
    Activated,
    /// It took the place of another version, or had to give its place up.
    Swapped,
    /// Its successor failed, so it is back; or it failed, so it is gone.
    RolledBack,
    /// Its successor is proven, or its time to finish is over.
    Retired,
    /// An operator's word.
    Asked,
    /// It failed too often.
    Strikes,
    /// Its key is not trusted any more.
    Revoked,
    /// A signed override.
    Overridden,
    /// The host started and found it in this place.
    Restarted,
    /// It was laid into a watched folder, or found at a watched registry.
    Watched,
}

/// Who made a transition happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The host by itself.
    Host,
    /// Somebody who may operate the host.
    Operator,
    /// Somebody who published a version.
    Publisher,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Discovered,
        Self::Verified,
        Self::Loaded,
        Self::Active,
        Self::Suspended,
        Self::Unloaded,
        Self::Quarantined,
    ];

    /// Whether a capsule may go from one state to another; from none, it begins.
    pub const fn may_follow(self, from: Option<Self>) -> bool {
        use State::{Active, Discovered, Loaded, Quarantined, Suspended, Unloaded, Verified};
        match from {
            // What was quarantined comes back as other bytes, which are another capsule, or by a signed override.
            None | Some(Unloaded | Quarantined) => matches!(self, Discovered),
            Some(Discovered) => matches!(self, Verified | Unloaded | Quarantined),
            Some(Verified) => matches!(self, Loaded | Unloaded | Quarantined),
            Some(Loaded) => matches!(self, Active | Unloaded | Quarantined),
            Some(Active) => matches!(self, Suspended | Unloaded | Quarantined),
            Some(Suspended) => matches!(self, Active | Unloaded | Quarantined),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discovered => "discovered",
            Self::Verified => "verified",
            Self::Loaded => "loaded",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Unloaded => "unloaded",
            Self::Quarantined => "quarantined",
        })
    }
}
