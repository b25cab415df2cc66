//! What a URN means on this host, as the ledger keeps it: written in the very record of the flip, so that a restart
//! finds the old version or the new one, never both and never neither.

use std::collections::BTreeMap;

use kinetic_model::{Digest, LimitsAsk, Urn};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::State;

/// What calls of a URN reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Binding {
    /// Active or suspended; quarantined when nothing answers the URN any more; unloaded when nothing did yet, and nothing is
    /// to until somebody calls it.
    pub(crate) state: State,
    /// Why it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Counts the flips of this URN on this host, from 1; 0 as long as there was none.
    pub(crate) generation: u64,
    pub(crate) version: Version,
    pub(crate) digest: Digest,
    /// Somebody chose this version, or a rollback did: a newer one in the store does not take its place by itself.
    #[serde(default)]
    pub(crate) chosen: bool,
    /// What it took the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) former: Option<Former>,
    /// It is on probation: when it fails, its predecessor comes back.
    #[serde(default)]
    pub(crate) probation: bool,
    /// Which capsule an operator chose to provide an interface, by the requirement.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) providers: BTreeMap<String, Urn>,
    /// Limits an operator set below what the manifest gets.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) limits: LimitsAsk,
}

/// A version that was active before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(crate) version: Version,
    pub(crate) digest: Digest,
}

impl Binding {
    /// What it was, seen from what follows it.
    pub(crate) fn as_former(&self) -> Former {
        Former {
            version: self.version.clone(),
            digest: self.digest,
        }
    }
}

fn is_default(limits: &LimitsAsk) -> bool {
    *limits == LimitsAsk::default()
}

/// The key of a binding: a capsule's URN behind this.
pub(crate) const PREFIX: &[u8] = b"binding/";

pub(crate) fn key(urn: &Urn) -> Vec<u8> {
    [PREFIX, urn.as_str().as_bytes()].concat()
}
