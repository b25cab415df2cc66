//! This host as a node, and the question that is asked before each activation.

use std::collections::BTreeSet;

use kinetic_model::Fault;

use super::{Architecture, Node, Plan, Snapshot, Wants, place};
use crate::admission::Loaded;
use crate::{Actor, Capsule, Kernel, KernelError, Manifest, NodeSettings};

impl Kernel {
    /// Where a capsule is to run, by what is known now; none where it is only tried out. One that no node may run is let go.
    ///
    /// # Errors
    /// `NoPlace`, with the reasons of the nodes; those of the ledger.
    pub(crate) async fn placed(&self, loaded: &Loaded, actor: Actor) -> Result<Option<Plan>, Fault> {
        // Parts of the host are where the host is.
        let Some(here) = self.node().filter(|_| !self.is_part(&loaded.manifest.id)) else {
            return Ok(None);
        };
        let manifest = &loaded.manifest;
        let governance = &manifest.governance;
        let wants = Wants {
            digest: loaded.digest,
            zone: governance.trust_zone,
            tier: governance.tier,
            tenant: self.tenant(manifest),
            memory_bytes: loaded.limits.memory_bytes,
            ask: &manifest.placement,
        };
        match place(&self.snapshot(here), &wants, &self.policy().placement) {
            Ok(plan) => Ok(Some(plan)),
            Err(none) => {
                self.let_go(loaded, actor).await?;
                let what = format!("{}@{}", manifest.id, manifest.version);
                Err(KernelError::NoPlace { what, why: none.why() }.into())
            }
        }
    }

    /// Whose a capsule is; none for the host's own.
    fn tenant<'m>(&self, manifest: &'m Manifest) -> Option<&'m str> {
        let namespace = manifest.id.namespace();
        let own = self.policy().system_namespaces.iter().any(|own| own == namespace);
        (!own).then_some(namespace)
    }

    /// The nodes there are: this one.
    fn snapshot(&self, here: &NodeSettings) -> Snapshot {
        let capsules = [self.list(), self.pinned()].concat();
        let tenants: BTreeSet<String> = capsules
            .iter()
            .filter_map(|capsule| self.tenant(&capsule.manifest))
            .map(String::from)
            .collect();
        let node = Node {
            id: here.id.clone(),
            arch: Architecture::here(),
            labels: here.labels.clone(),
            zones: here.zones.clone(),
            tiers: here.tiers.clone(),
            gpu: here.gpu,
            memory_bytes: here.memory_bytes,
            memory_used_bytes: capsules
                .iter()
                .fold(0_u64, |sum, capsule| sum.saturating_add(used_bytes(capsule))),
            calls_running: capsules.iter().map(|capsule| capsule.calls_running()).sum(),
            calls_running_max: self.engine().config().pool_instances.into(),
            tenants,
            warm: capsules.iter().map(|capsule| capsule.digest).collect(),
        };
        [node].into_iter().collect()
    }
}

/// What the calls of a capsule take now: as much as the one that took most, each. An instance that stays keeps its memory.
fn used_bytes(capsule: &Capsule) -> u64 {
    let instances = capsule.calls_running().max(u64::from(capsule.stays()));
    capsule.stats.memory_peak_bytes().saturating_mul(instances)
}
