//! How zones and tenants stand, for operators.

use kinetic_model::TrustZone;
use serde::Serialize;

use super::Zones;
use super::per_zone::ZONES;
use super::tenant::{SYSTEM_TENANT, Tenant};
use crate::Manifest;

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ZoneStatus {
    /// Which.
    pub zone: TrustZone,
    /// Calls that run.
    pub calls_running: u32,
    /// The most that may.
    pub calls_running_max: u32,
    /// Calls that wait.
    pub calls_waiting: u32,
    /// The most that may.
    pub calls_waiting_max: u32,
    /// How long a call waits at most, in milliseconds.
    pub wait_ms_max: u64,
    /// Calls that calls of the zone make.
    pub calls_nested: u32,
    /// Calls that were refused since the host started: the line was full, they waited too long, they never could run.
    pub calls_refused: u64,
    /// Fuel of the last whole second.
    pub fuel_last_second: u64,
    /// Those who had calls in it.
    pub tenants: Vec<TenantStatus>,
}

/// A tenant in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantStatus {
    /// Its name: a namespace.
    pub tenant: String,
    /// Its calls that run in this zone.
    pub calls_running: u32,
    /// The most that may, in all zones together; absent where only the zone bounds it, as what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_running_max: Option<u32>,
    /// Its calls that wait in this zone.
    pub calls_waiting: u32,
    /// Its calls that were refused in this zone since the host started.
    pub calls_refused: u64,
    /// Fuel of the last whole second in this zone.
    pub fuel_last_second: u64,
    /// Fuel in this zone since the host started.
    pub fuel: u64,
    /// The most a second, in all zones together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_per_s_max: Option<u64>,
    /// The memory limits of its running calls, in all zones together.
    pub memory_bytes: u64,
    /// The most these may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
    /// Its share where tenants wait, against the weights of the others.
    pub weight: u32,
}

/// The tenant a capsule's calls are counted for: the namespace of its URN; all of zone `system` is one.
pub(crate) fn tenant_of(manifest: &Manifest) -> &str {
    match manifest.governance.trust_zone {
        TrustZone::System => SYSTEM_TENANT,
        TrustZone::Tenant | TrustZone::Session | TrustZone::Ephemeral => manifest.id.namespace(),
    }
}

fn tenant_status<S>(tenant: &Tenant<S>, zone: TrustZone, now_ns: u64) -> TenantStatus {
    let lane = tenant.lanes.get(zone);
    let quota = tenant.quota;
    let bounded = zone != TrustZone::System;
    TenantStatus {
        tenant: tenant.name.to_string(),
        calls_running: lane.running,
        calls_running_max: bounded.then_some(quota.calls_running_max),
        calls_waiting: u32::try_from(lane.queue.len()).unwrap_or(u32::MAX),
        calls_refused: lane.refused,
        fuel_last_second: lane.fuel.last_second(now_ns),
        fuel: lane.fuel.total(),
        fuel_per_s_max: bounded.then_some(quota.fuel_per_s_max),
        memory_bytes: tenant.memory_bytes,
        memory_bytes_max: bounded.then_some(quota.memory_bytes_max),
        weight: quota.weight,
    }
}

impl Zones {
    /// How every zone stands, and who had calls in it; the most trusted first.
    pub fn status(&self) -> Vec<ZoneStatus> {
        let now_ns = self.now_ns();
        let gate = self.gate.lock();
        let status = |name: TrustZone| {
            let zone = gate.zones.get(name);
            let tenants: Vec<_> = gate
                .tenants
                .iter()
                .filter(|tenant| tenant.lanes.get(name).was_used())
                .map(|tenant| tenant_status(tenant, name, now_ns))
                .collect();
            ZoneStatus {
                zone: name,
                calls_running: zone.running,
                calls_running_max: zone.pool.calls_running_max,
                calls_waiting: zone.waiting,
                calls_waiting_max: zone.pool.calls_waiting_max,
                wait_ms_max: zone.pool.wait_ms_max,
                calls_nested: zone.nested,
                calls_refused: tenants.iter().map(|tenant| tenant.calls_refused).sum(),
                fuel_last_second: tenants.iter().map(|tenant| tenant.fuel_last_second).sum(),
                tenants,
            }
        };
        ZONES.into_iter().map(status).collect()
    }
}
