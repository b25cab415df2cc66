//! Settings of zones and tenants: how the sandboxes are divided, and what one tenant may use.

use std::collections::BTreeMap;

use kinetic_kernel::{PerZone, Quota as KernelQuota, ZonePool, ZoneSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest a call may wait, in milliseconds: as long as the longest call runs.
const WAIT_MS_MAX: u64 = 300_000;
/// The largest weight.
const WEIGHT_MAX: u32 = 1_000;
/// The most calls that may wait in a zone: each is an open request.
const WAITING_MAX: u32 = 65_536;
/// Tenants with a quota of their own.
const TENANTS_MAX: usize = 512;

/// The trust zones' shares of the sandboxes. No zone ever takes a slot of another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Zones {
    /// What the platform itself runs.
    pub system: Pool,
    /// What tenants keep.
    pub tenant: Pool,
    /// What is short-lived, of one user or agent.
    pub session: Pool,
    /// What is used once.
    pub ephemeral: Pool,
}

/// The ceilings of one zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Calls that run at once. 0: a part of engine.pool_instances. All zones together and the quarter for instances that
    /// stay must fit into it; what is left is for calls that capsules make themselves.
    pub calls_running_max: u32,
    /// Calls that wait for a slot at once. When it is full, who has most in the line is refused.
    pub calls_waiting_max: u32,
    /// How long a call waits at most, in milliseconds.
    pub wait_ms_max: u64,
}

/// What a tenant may use, the namespace of a URN, that has no quota of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Its share where tenants wait for the same slots, 1 to 1000: twice the weight gets twice the time.
    pub weight: u32,
    /// Calls that run at once, in all zones together. 0: three quarters of the largest zone.
    pub calls_running_max: u32,
    /// Fuel a second. A call is charged when it ends; a tenant in debt waits until that is paid.
    pub fuel_per_s_max: u64,
    /// The memory limits of its running calls together, in bytes.
    pub memory_bytes_max: u64,
}

/// What of its quota a tenant has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_running_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel_per_s_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes_max: Option<u64>,
}

/// Quotas by namespace.
pub type Tenants = BTreeMap<String, Tenant>;

impl From<ZonePool> for Pool {
    fn from(pool: ZonePool) -> Self {
        Self {
            calls_running_max: pool.calls_running_max,
            calls_waiting_max: pool.calls_waiting_max,
            wait_ms_max: pool.wait_ms_max,
        }
    }
}

impl From<&Pool> for ZonePool {
    fn from(pool: &Pool) -> Self {
        Self {
            calls_running_max: pool.calls_running_max,
            calls_waiting_max: pool.calls_waiting_max,
            wait_ms_max: pool.wait_ms_max,
        }
    }
}

impl Default for Zones {
    fn default() -> Self {
        let pools = ZoneSettings::default().pools;
        Self {
            system: pools.system.into(),
            tenant: pools.tenant.into(),
            session: pools.session.into(),
            ephemeral: pools.ephemeral.into(),
        }
    }
}

impl Default for Quota {
    fn default() -> Self {
        let quota = KernelQuota::default();
        Self {
            weight: quota.weight,
            calls_running_max: quota.calls_running_max,
            fuel_per_s_max: quota.fuel_per_s_max,
            memory_bytes_max: quota.memory_bytes_max,
        }
    }
}

impl Quota {
    fn with(&self, own: &Tenant) -> Self {
        Self {
            weight: own.weight.unwrap_or(self.weight),
            calls_running_max: own.calls_running_max.unwrap_or(self.calls_running_max),
            fuel_per_s_max: own.fuel_per_s_max.unwrap_or(self.fuel_per_s_max),
            memory_bytes_max: own.memory_bytes_max.unwrap_or(self.memory_bytes_max),
        }
    }

    const fn kernel(&self) -> KernelQuota {
        KernelQuota {
            weight: self.weight,
            calls_running_max: self.calls_running_max,
            fuel_per_s_max: self.fuel_per_s_max,
            memory_bytes_max: self.memory_bytes_max,
        }
    }

    /// The first setting that cannot stand, and why.
    fn fault(&self) -> Option<(&'static str, String)> {
        if self.weight == 0 || self.weight > WEIGHT_MAX {
            return Some(("weight", format!("it must be 1 to {WEIGHT_MAX}")));
        }
        let at_least_one = [
            ("fuel_per_s_max", self.fuel_per_s_max),
            ("memory_bytes_max", self.memory_bytes_max),
        ];
        let (name, _) = at_least_one.into_iter().find(|(_, value)| *value == 0)?;
        Some((name, "it must be at least 1".into()))
    }
}

/// The settings as the kernel takes them.
pub fn settings(zones: &Zones, quota: &Quota, tenants: &Tenants) -> ZoneSettings {
    ZoneSettings {
        pools: PerZone {
            system: (&zones.system).into(),
            tenant: (&zones.tenant).into(),
            session: (&zones.session).into(),
            ephemeral: (&zones.ephemeral).into(),
        },
        quota: quota.kernel(),
        tenants: tenants
            .iter()
            .map(|(name, own)| (name.clone(), quota.with(own).kernel()))
            .collect(),
    }
}

/// The first setting that cannot stand, and why.
pub(super) fn fault(zones: &Zones, quota: &Quota, tenants: &Tenants) -> Option<(String, String)> {
    let pools = [
        ("system", &zones.system),
        ("tenant", &zones.tenant),
        ("session", &zones.session),
        ("ephemeral", &zones.ephemeral),
    ];
    for (name, pool) in pools {
        if pool.wait_ms_max == 0 || pool.wait_ms_max > WAIT_MS_MAX {
            return Some((
                format!("zones.{name}.wait_ms_max"),
                format!("it must be 1 to {WAIT_MS_MAX}"),
            ));
        }
        if pool.calls_waiting_max == 0 || pool.calls_waiting_max > WAITING_MAX {
            return Some((
                format!("zones.{name}.calls_waiting_max"),
                format!("it must be 1 to {WAITING_MAX}"),
            ));
        }
    }
    if let Some((setting, why)) = quota.fault() {
        return Some((format!("quota.{setting}"), why));
    }
    if tenants.len() > TENANTS_MAX {
        return Some(("tenants".into(), format!("{TENANTS_MAX} are the most")));
    }
    tenants.iter().find_map(|(name, own)| {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(word) {
            let why = "a namespace has lower-case letters, digits and underscores";
            let setting = serde_json::to_value(own).ok()?.as_object()?.keys().next()?.clone();
            return Some((format!("tenants.{name}.{setting}"), why.into()));
        }
        let (setting, why) = quota.with(own).fault()?;
        Some((format!("tenants.{name}.{setting}"), why))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_kernels_own() {
        let (zones, quota) = (Zones::default(), Quota::default());
        assert_eq!(settings(&zones, &quota, &Tenants::new()), ZoneSettings::default());
        assert_eq!(fault(&zones, &quota, &Tenants::new()), None);
    }

    #[test]
    fn a_tenant_keeps_of_the_usual_quota_what_is_not_its_own() {
        let own = Tenant {
            weight: Some(7),
            ..Tenant::default()
        };
        let tenants = Tenants::from([("acme".into(), own)]);
        let settings = settings(&Zones::default(), &Quota::default(), &tenants);
        let expected = KernelQuota {
            weight: 7,
            ..KernelQuota::default()
        };
        assert_eq!(settings.tenants["acme"], expected);
    }

    #[test]
    fn what_cannot_stand_is_named() {
        let named =
            |zones: &Zones, quota: &Quota, tenants: &Tenants| fault(zones, quota, tenants).map(|(name, _)| name);
        let mut zones = Zones::default();
        zones.session.wait_ms_max = WAIT_MS_MAX + 1;
        assert_eq!(
            named(&zones, &Quota::default(), &Tenants::new()).as_deref(),
            Some("zones.session.wait_ms_max")
        );
        let quota = Quota {
            fuel_per_s_max: 0,
            ..Quota::default()
        };
        assert_eq!(
            named(&Zones::default(), &quota, &Tenants::new()).as_deref(),
            Some("quota.fuel_per_s_max")
        );
        let heavy = Tenant {
            weight: Some(1_001),
            ..Tenant::default()
        };
        for (name, setting) in [("acme", "tenants.acme.weight"), ("No Name", "tenants.No Name.weight")] {
            let tenants = Tenants::from([(name.to_string(), heavy)]);
            assert_eq!(
                named(&Zones::default(), &Quota::default(), &tenants).as_deref(),
                Some(setting)
            );
        }
    }
}
