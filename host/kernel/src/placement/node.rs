//! What placement knows of the nodes: plain data, gathered before anything is decided.

use std::collections::{BTreeMap, BTreeSet};

use kinetic_model::{Digest, GovernanceTier, TrustZone};

use super::Architecture;

/// What the operator says of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Its name in records; default "local".
    pub id: String,
    /// What capsules may ask for by `placement.labels`; default none.
    pub labels: BTreeSet<String>,
    /// The zones whose capsules it takes; default all.
    pub zones: Vec<TrustZone>,
    /// The governance tiers whose capsules it takes; default all.
    pub tiers: Vec<GovernanceTier>,
    /// Whether it has a GPU for capsules; default no.
    pub gpu: bool,
    /// Memory that calls may take together, in bytes; default without a bound.
    pub memory_bytes: u64,
}

impl Default for NodeSettings {
    fn default() -> Self {
        use GovernanceTier::{Core, Experimental, Extension, Local, Platform};
        use TrustZone::{Ephemeral, Session, System, Tenant};
        Self {
            id: "local".into(),
            labels: BTreeSet::new(),
            zones: vec![System, Tenant, Session, Ephemeral],
            tiers: vec![Core, Platform, Extension, Experimental, Local],
            gpu: false,
            memory_bytes: u64::MAX,
        }
    }
}

/// A machine that runs capsules, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: String,
    /// None when it is a kind nobody asks for.
    pub(crate) arch: Option<Architecture>,
    pub(crate) labels: BTreeSet<String>,
    pub(crate) zones: Vec<TrustZone>,
    pub(crate) tiers: Vec<GovernanceTier>,
    pub(crate) gpu: bool,
    /// Memory that calls may take together, in bytes.
    pub(crate) memory_bytes: u64,
    /// What those that run now take, in bytes.
    pub(crate) memory_used_bytes: u64,
    pub(crate) calls_running: u64,
    pub(crate) calls_running_max: u64,
    /// Whose capsules are active there, but for the host's own.
    pub(crate) tenants: BTreeSet<String>,
    /// Components whose code is compiled there.
    pub(crate) warm: BTreeSet<Digest>,
}

impl Node {
    /// Memory that is left, in bytes.
    pub(crate) const fn memory_free_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.memory_used_bytes)
    }
}

/// All nodes at one moment, each id once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<String, Node>);

impl Snapshot {
    /// The nodes by id.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.0.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl FromIterator<Node> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Node>>(nodes: I) -> Self {
        Self(nodes.into_iter().map(|node| (node.id.clone(), node)).collect())
    }
}
