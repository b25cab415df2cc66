//! How well a node suits a capsule, in whole numbers: the same on every machine.

use serde::Serialize;

use super::{Node, PlacementPolicy, Wants};

/// The most a single score can be.
pub(super) const FULL: u64 = 1_000;

/// A node and how it scored: each score is 0 to 1,000, the total is their sum by the policy's weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Scored {
    pub(crate) node: String,
    /// At most 4 weights of 16 bits times 1,000: it cannot overflow.
    pub(crate) total: u64,
    /// Memory that stays free when a call runs.
    pub(crate) memory: u64,
    /// Sandboxes that are free.
    pub(crate) load: u64,
    /// Labels it would like to be near; full when it names none.
    pub(crate) locality: u64,
    /// Whether its code is compiled there.
    pub(crate) warm: u64,
}

impl Scored {
    pub(super) fn of(node: &Node, wants: &Wants<'_>, policy: &PlacementPolicy) -> Self {
        let left = node.memory_free_bytes().saturating_sub(wants.memory_bytes);
        let memory = share(left, node.memory_bytes);
        let idle = node.calls_running_max.saturating_sub(node.calls_running);
        let load = share(idle, node.calls_running_max);
        let near = &wants.ask.near;
        let there = near.iter().filter(|label| node.labels.contains(*label)).count();
        let locality = if near.is_empty() {
            FULL
        } else {
            share(there as u64, near.len() as u64)
        };
        let warm = if node.warm.contains(&wants.digest) { FULL } else { 0 };
        let total = u64::from(policy.weight_memory) * memory
            + u64::from(policy.weight_load) * load
            + u64::from(policy.weight_locality) * locality
            + u64::from(policy.weight_warm) * warm;
        Self {
            node: node.id.clone(),
            total,
            memory,
            load,
            locality,
            warm,
        }
    }
}

/// A part of a whole, of [`FULL`]; of nothing there is none.
fn share(part: u64, whole: u64) -> u64 {
    let scaled = u128::from(part.min(whole)) * u128::from(FULL);
    scaled
        .checked_div(u128::from(whole))
        .map_or(0, |share| u64::try_from(share).unwrap_or(FULL))
}
