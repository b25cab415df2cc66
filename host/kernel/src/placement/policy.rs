//! What the operator prefers when several nodes would do, and what is never shared.

use serde::Serialize;

/// See the module. A weight of 0 leaves its score out; the others count in proportion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PlacementPolicy {
    /// No two tenants on one node; default no. The host's own capsules are nobody's.
    pub isolate_tenants: bool,
    /// For memory that stays free; default 4.
    pub weight_memory: u16,
    /// For sandboxes that stay free; default 3.
    pub weight_load: u16,
    /// For labels the capsule would like to be near; default 2.
    pub weight_locality: u16,
    /// For code that is compiled there already; default 1.
    pub weight_warm: u16,
}

impl Default for PlacementPolicy {
    fn default() -> Self {
        Self {
            isolate_tenants: false,
            weight_memory: 4,
            weight_load: 3,
            weight_locality: 2,
            weight_warm: 1,
        }
    }
}
