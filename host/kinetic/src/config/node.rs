//! What this host is as a node: what it takes, how much memory it has for capsules, and how nodes are chosen between.

use kinetic_kernel::{NodeSettings, PlacementPolicy, label_fault};
use kinetic_model::{GovernanceTier, TrustZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine;

/// The most labels.
const LABELS_MAX: usize = 64;

/// What this host is as a node that runs capsules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name in records: a-z, 0-9 and . _ - = /.
    pub id: String,
    /// What capsules may ask for under "placement" in their manifests, like "region=eu".
    pub labels: Vec<String>,
    /// The trust zones whose capsules it takes.
    pub zones: Vec<TrustZone>,
    /// The governance tiers whose capsules it takes.
    pub tiers: Vec<GovernanceTier>,
    /// Whether it has a GPU for capsules that ask for one.
    pub gpu: bool,
    /// Memory that calls may take together, in bytes: a capsule is only activated while one call of it fits beside those that
    /// run. 0: what the machine or its container has.
    pub memory_bytes: u64,
}

impl Default for Node {
    fn default() -> Self {
        let node = NodeSettings::default();
        Self {
            id: node.id,
            labels: Vec::new(),
            zones: node.zones,
            tiers: node.tiers,
            gpu: node.gpu,
            memory_bytes: 0,
        }
    }
}

impl Node {
    /// The settings as the kernel takes them.
    pub fn settings(&self) -> NodeSettings {
        let memory_bytes = match self.memory_bytes {
            0 => machine::memory_bytes().unwrap_or(u64::MAX),
            bytes => bytes,
        };
        NodeSettings {
            id: self.id.clone(),
            labels: self.labels.iter().cloned().collect(),
            zones: self.zones.clone(),
            tiers: self.tiers.clone(),
            gpu: self.gpu,
            memory_bytes,
        }
    }

    /// The first setting that cannot stand, and why.
    pub(super) fn fault(&self) -> Option<(String, String)> {
        if label_fault(&self.id).is_some() {
            return Some(("node.id".into(), "it takes 1 to 64 of a-z, 0-9 and . _ - = /".into()));
        }
        if self.labels.len() > LABELS_MAX {
            return Some(("node.labels".into(), format!("{LABELS_MAX} is the most")));
        }
        let fault = self.labels.iter().find_map(|label| label_fault(label))?;
        Some(("node.labels".into(), fault))
    }
}

/// What decides between nodes that would all do: each weight counts in proportion, 0 leaves it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Never have capsules of two namespaces on one node. With a single node, one namespace beside the host's own.
    pub isolate_tenants: bool,
    /// The weight of memory that stays free.
    pub weight_memory: u16,
    /// The weight of sandboxes that stay free.
    pub weight_load: u16,
    /// The weight of labels that capsules would like to be near.
    pub weight_locality: u16,
    /// The weight of code that is compiled there already.
    pub weight_warm: u16,
}

impl Default for Placement {
    fn default() -> Self {
        let policy = PlacementPolicy::default();
        Self {
            isolate_tenants: policy.isolate_tenants,
            weight_memory: policy.weight_memory,
            weight_load: policy.weight_load,
            weight_locality: policy.weight_locality,
            weight_warm: policy.weight_warm,
        }
    }
}

impl Placement {
    /// The settings as the kernel takes them.
    pub const fn policy(&self) -> PlacementPolicy {
        PlacementPolicy {
            isolate_tenants: self.isolate_tenants,
            weight_memory: self.weight_memory,
            weight_load: self.weight_load,
            weight_locality: self.weight_locality,
            weight_warm: self.weight_warm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_kernels_own_but_for_the_memory_which_is_the_machines() {
        assert_eq!(Placement::default().policy(), PlacementPolicy::default());
        let node = Node::default();
        assert_eq!(node.fault(), None);
        let settings = node.settings();
        assert!(settings.memory_bytes > 0);
        let bounded = Node {
            memory_bytes: 7,
            ..Node::default()
        };
        let expected = NodeSettings {
            memory_bytes: 7,
            ..NodeSettings::default()
        };
        assert_eq!(bounded.settings(), expected);
    }

    #[test]
    fn a_label_that_no_manifest_could_ask_for_is_named() {
        let node = Node {
            labels: vec!["region=eu".into(), "Region EU".into()],
            ..Node::default()
        };
        let (key, why) = node.fault().unwrap();
        assert!(key == "node.labels" && why.contains("Region EU"), "{key}: {why}");
        let nameless = Node {
            id: String::new(),
            ..Node::default()
        };
        assert_eq!(nameless.fault().unwrap().0, "node.id");
    }
}
