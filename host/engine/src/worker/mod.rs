//! Calls in processes of their own: a guest that breaks out of its sandbox, or takes the process down, finds no host there.
//!
//! A worker process runs calls of one tenant and no other. It is the host's own program, started with nothing but one end
//! of a socket, confined before it is handed code. What a guest imports beyond inert WASI it asks of the host, which has the
//! call's providers and its links to other capsules; what a provider cannot answer so, only the host's own process
//! provides. [`Capability::runs_in`](crate::Capability::runs_in) says where a component runs.

mod asking;
mod client;
mod frame;
mod imports;
mod line;
#[cfg(test)]
mod played;
mod pool;
mod process;
mod protocol;
mod sandbox;
mod server;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use kinetic_model::{InstanceMode, TrustZone};
use serde::{Deserialize, Serialize};

use crate::interface::Interface;
use crate::{EngineError, Grantee, link};

pub(crate) use client::{Ask, Remote};
pub(crate) use line::HostLine;
pub(crate) use pool::Workers;
pub(crate) use process::NESTED_FACTOR;
pub use process::WorkerStatus;
pub(crate) use protocol::{About, Start};
pub use server::worker_main;

/// Where the calls of a zone's capsules are to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunIn {
    /// In the host's own process.
    #[default]
    Process,
    /// In a worker where the component can and this machine starts one, else in the host's own process.
    Worker,
    /// In a worker; a component that cannot is refused.
    WorkerOnly,
}

/// Where the calls of a capability run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunsIn {
    /// In the host's own process.
    Process,
    /// In a process of their own.
    Worker,
}

/// Settings of worker processes.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The program, with arguments that make it call [`worker_main`].
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where capsules of zone "system" run.
    pub system: RunIn,
    /// Where capsules of zone "tenant" run.
    pub tenant: RunIn,
    /// Where capsules of zone "session" run.
    pub session: RunIn,
    /// Where capsules of zone "ephemeral" run.
    pub ephemeral: RunIn,
    /// Processes at once; half of them at most are one tenant's.
    pub processes_max: u32,
    /// Calls at once in one process; those made within others find as much room again.
    pub calls_per_process_max: u32,
    /// What the limits of the calls in one process may add up to, in bytes of memory. At least the ceiling of one call.
    pub memory_bytes_max: u64,
    /// How long a process stays with nothing to do.
    pub idle: Duration,
}

impl Default for WorkerConfig {
    /// No zone runs in a worker.
    fn default() -> Self {
        Self {
            program: PathBuf::new(),
            args: Vec::new(),
            system: RunIn::Process,
            tenant: RunIn::Process,
            session: RunIn::Process,
            ephemeral: RunIn::Process,
            processes_max: 8,
            calls_per_process_max: 16,
            memory_bytes_max: 2 << 30,
            idle: Duration::from_mins(1),
        }
    }
}

impl WorkerConfig {
    /// Whether what cannot run in a worker is refused.
    pub(crate) fn insists(&self, zone: TrustZone) -> bool {
        self.of(zone) == RunIn::WorkerOnly
    }

    /// Whether some zone refuses what cannot run in a worker.
    pub fn insists_anywhere(&self) -> bool {
        [self.system, self.tenant, self.session, self.ephemeral].contains(&RunIn::WorkerOnly)
    }

    const fn of(&self, zone: TrustZone) -> RunIn {
        match zone {
            TrustZone::System => self.system,
            TrustZone::Tenant => self.tenant,
            TrustZone::Session => self.session,
            TrustZone::Ephemeral => self.ephemeral,
        }
    }

    /// Where a component runs. `crosses` tells which imports are answered from here for guests in workers.
    ///
    /// # Errors
    /// `WorkerOnly` when it is to run in a worker and cannot.
    pub(crate) fn place(
        &self,
        capsule: &Grantee,
        interface: &Interface,
        crosses: impl Fn(&str) -> bool,
    ) -> Result<RunsIn, EngineError> {
        let zone = capsule.trust_zone;
        match (self.of(zone), why_not(capsule, interface, crosses)) {
            (RunIn::Process, _) | (RunIn::Worker, Some(_)) => Ok(RunsIn::Process),
            (RunIn::Worker | RunIn::WorkerOnly, None) => Ok(RunsIn::Worker),
            (RunIn::WorkerOnly, Some(why)) => Err(EngineError::WorkerOnly {
                zone: zone.as_str().into(),
                why,
            }),
        }
    }
}

/// Why a component cannot run in a worker.
fn why_not(capsule: &Grantee, interface: &Interface, crosses: impl Fn(&str) -> bool) -> Option<String> {
    if capsule.instance == InstanceMode::Resident {
        return Some("one instance of it stays across its calls".into());
    }
    if interface.has_lifecycle {
        return Some("it has a lifecycle, by which it hands its state over".into());
    }
    let provided = interface
        .imports
        .iter()
        .find(|import| !link::is_inert(import) && !crosses(import))?;
    Some(format!(
        "it imports {provided}, which only the host's own process provides"
    ))
}

/// Whose processes a capsule's calls run in: its namespace's, apart for each zone.
pub(crate) fn tenant(capsule: &Grantee) -> String {
    format!("{}/{}", capsule.trust_zone.as_str(), capsule.urn.namespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinetic_model::Digest;

    fn capsule(zone: TrustZone, instance: InstanceMode) -> Grantee {
        Grantee {
            trust_zone: zone,
            instance,
            ..Grantee::unnamed(Digest::of(b"")).unwrap()
        }
    }

    fn importing(imports: &[&str]) -> Interface {
        Interface {
            imports: imports.iter().map(ToString::to_string).collect(),
            ..Interface::default()
        }
    }

    #[test]
    fn what_the_host_can_answer_for_runs_in_a_worker_and_a_zone_that_insists_refuses_the_rest() {
        let config = WorkerConfig {
            tenant: RunIn::Worker,
            ephemeral: RunIn::WorkerOnly,
            ..WorkerConfig::default()
        };
        let inert = importing(&["wasi:cli/stderr@0.2.6", "wasi:random/random@0.2.6"]);
        let state = importing(&["wasi:io/streams@0.2.6", "kinetic:state/store@0.1.0"]);
        let http = importing(&["kinetic:state/store@0.1.0", "wasi:http/types@0.2.6"]);
        let lifecycle = Interface {
            has_lifecycle: true,
            ..inert.clone()
        };
        let crosses = |import: &str| import.starts_with("kinetic:state/");
        let place = |zone, instance, interface| config.place(&capsule(zone, instance), interface, crosses);
        let fresh = InstanceMode::Fresh;
        assert_eq!(place(TrustZone::Tenant, fresh, &inert), Ok(RunsIn::Worker));
        assert_eq!(place(TrustZone::Ephemeral, fresh, &inert), Ok(RunsIn::Worker));
        assert_eq!(place(TrustZone::Ephemeral, fresh, &state), Ok(RunsIn::Worker));
        assert_eq!(place(TrustZone::System, fresh, &inert), Ok(RunsIn::Process));
        for (instance, interface) in [(fresh, &http), (fresh, &lifecycle), (InstanceMode::Resident, &inert)] {
            assert_eq!(place(TrustZone::Tenant, instance, interface), Ok(RunsIn::Process));
            let refused = place(TrustZone::Ephemeral, instance, interface);
            assert!(matches!(refused, Err(EngineError::WorkerOnly { .. })), "{refused:?}");
        }
    }

    #[test]
    fn zones_of_one_namespace_are_tenants_of_their_own() {
        let of = |zone| tenant(&capsule(zone, InstanceMode::Fresh));
        assert_eq!(of(TrustZone::Tenant), "tenant/unnamed");
        assert_ne!(of(TrustZone::Tenant), of(TrustZone::Ephemeral));
    }
}
