//! How the sandboxes are divided: pools of the zones, quotas of the tenants, and what they are when nobody says.

use std::collections::BTreeMap;

use kinetic_model::TrustZone;

use super::per_zone::{PerZone, ZONES};
use crate::KernelError;

/// What zones whose sizes are left open do not divide among them: one part of so many. Nothing is counted against it. A
/// call that calls others takes the sandboxes of its whole chain, and finds them here when all slots are taken.
const NESTED_PARTS: u32 = 8;
/// Parts of the pool that zones get when their sizes are left open.
const PARTS: PerZone<u32> = PerZone {
    system: 1,
    tenant: 3,
    session: 3,
    ephemeral: 1,
};

/// The ceilings of one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZonePool {
    /// Calls that run at once; 0: a part of what the other zones leave.
    pub calls_running_max: u32,
    /// Calls that wait at once.
    pub calls_waiting_max: u32,
    /// How long a call waits at most, in milliseconds.
    pub wait_ms_max: u64,
}

/// What one tenant may use at once, in all zones but `system` together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its share where tenants wait for the same slots, against the weights of the others.
    pub weight: u32,
    /// Calls that run at once; 0: three quarters of the largest zone of tenants.
    pub calls_running_max: u32,
    /// Fuel a second. A call is charged when it ends, so a tenant may be in debt; it waits until that is paid.
    pub fuel_per_s_max: u64,
    /// The memory limits of its running calls together, in bytes.
    pub memory_bytes_max: u64,
}

/// How the sandboxes of a host are divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSettings {
    /// The ceilings of the zones.
    pub pools: PerZone<ZonePool>,
    /// What a tenant gets that is not in `tenants`.
    pub quota: Quota,
    /// Quotas of single tenants, by namespace.
    pub tenants: BTreeMap<String, Quota>,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            weight: 100,
            calls_running_max: 0,
            fuel_per_s_max: 1_000_000_000_000,
            memory_bytes_max: 16 << 30,
        }
    }
}

impl Quota {
    /// Of the tenant of zone `system`, which that zone's pool alone bounds.
    pub(super) const UNBOUNDED: Self = Self {
        weight: 1,
        calls_running_max: u32::MAX,
        fuel_per_s_max: u64::MAX,
        memory_bytes_max: u64::MAX,
    };
}

impl Default for ZoneSettings {
    fn default() -> Self {
        let pool = |calls_waiting_max| ZonePool {
            calls_running_max: 0,
            calls_waiting_max,
            wait_ms_max: 10_000,
        };
        Self {
            pools: PerZone {
                system: pool(128),
                tenant: pool(384),
                session: pool(384),
                ephemeral: pool(64),
            },
            quota: Quota::default(),
            tenants: BTreeMap::new(),
        }
    }
}

/// The sandboxes, divided.
#[derive(Clone, Debug)]
pub(super) struct Division {
    /// The ceilings, none left open.
    pub(super) pools: PerZone<ZonePool>,
    settings: ZoneSettings,
}

impl Division {
    /// Divides a pool of so many sandboxes, of which so many may be held by instances that stay.
    ///
    /// # Errors
    /// `ZonesTooLarge` when the zones do not fit into it.
    pub(super) fn of(settings: &ZoneSettings, sandboxes: u32, residents_max: u32) -> Result<Self, KernelError> {
        let available = sandboxes.saturating_sub(residents_max);
        let asked = |zone| settings.pools.get(zone).calls_running_max;
        let open = |zone: &TrustZone| asked(*zone) == 0;
        let taken: u64 = ZONES.into_iter().map(|zone| u64::from(asked(zone))).sum();
        let parts: u64 = ZONES
            .iter()
            .filter(|zone| open(zone))
            .map(|zone| u64::from(*PARTS.get(*zone)))
            .sum();
        let left = u64::from(available.saturating_sub(sandboxes / NESTED_PARTS)).saturating_sub(taken);
        let running_max = |zone: TrustZone| {
            if !open(&zone) {
                return asked(zone);
            }
            let share = (left * u64::from(*PARTS.get(zone))).checked_div(parts).unwrap_or(0);
            u32::try_from(share).unwrap_or(u32::MAX).max(1)
        };
        let pools = PerZone::of(|zone| ZonePool {
            calls_running_max: running_max(zone),
            ..*settings.pools.get(zone)
        });
        let calls: u64 = pools.all().iter().map(|pool| u64::from(pool.calls_running_max)).sum();
        if calls > u64::from(available) {
            return Err(KernelError::ZonesTooLarge {
                calls,
                available,
                sandboxes,
                residents: residents_max,
            });
        }
        Ok(Self {
            pools,
            settings: settings.clone(),
        })
    }

    /// The quota of a tenant, nothing of it left open.
    pub(super) fn quota(&self, tenant: &str) -> Quota {
        let quota = self.settings.tenants.get(tenant).unwrap_or(&self.settings.quota);
        // A quarter of a zone is always left to the other tenants, where a zone has so many slots.
        let largest = self
            .pools
            .tenant
            .calls_running_max
            .max(self.pools.session.calls_running_max);
        let calls_running_max = match quota.calls_running_max {
            0 => (largest - largest / 4).max(1),
            set => set,
        };
        Quota {
            calls_running_max,
            weight: quota.weight.max(1),
            ..*quota
        }
    }

    /// The tenants that have a quota of their own.
    pub(super) fn named(&self) -> impl Iterator<Item = &str> {
        self.settings.tenants.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(settings: &ZoneSettings, sandboxes: u32) -> Result<(Vec<u32>, u32), KernelError> {
        let division = Division::of(settings, sandboxes, (sandboxes / 4).max(1))?;
        let running = division.pools.all().map(|pool| pool.calls_running_max);
        let left = sandboxes - (sandboxes / 4).max(1) - running.iter().sum::<u32>();
        Ok((running.to_vec(), left))
    }

    #[test]
    fn what_is_left_open_fits_into_every_pool_that_has_room_for_four_zones() {
        assert_eq!(
            divided(&ZoneSettings::default(), 256).unwrap(),
            (vec![20, 60, 60, 20], 32)
        );
        for sandboxes in 5..600 {
            let (running, _) = divided(&ZoneSettings::default(), sandboxes).unwrap();
            assert!(running.iter().all(|calls| *calls > 0), "{sandboxes}: {running:?}");
        }
        assert!(divided(&ZoneSettings::default(), 4).is_err());
    }

    #[test]
    fn a_zone_with_a_size_of_its_own_leaves_the_rest_to_the_others() {
        let mut settings = ZoneSettings::default();
        settings.pools.session.calls_running_max = 120;
        assert_eq!(divided(&settings, 256).unwrap(), (vec![8, 24, 120, 8], 32));
    }

    #[test]
    fn zones_that_do_not_fit_into_the_pool_are_refused_with_the_numbers() {
        let mut settings = ZoneSettings::default();
        settings.pools = PerZone::of(|zone| ZonePool {
            calls_running_max: 50,
            ..*settings.pools.get(zone)
        });
        let refused = divided(&settings, 256).unwrap_err();
        assert_eq!(
            refused,
            KernelError::ZonesTooLarge {
                calls: 200,
                available: 192,
                sandboxes: 256,
                residents: 64
            }
        );
    }

    #[test]
    fn a_tenant_alone_leaves_a_quarter_of_a_zone_to_those_who_come() {
        let division = Division::of(&ZoneSettings::default(), 256, 64).unwrap();
        assert_eq!(division.quota("acme").calls_running_max, 45);
        let mut settings = ZoneSettings::default();
        let own = Quota {
            calls_running_max: 3,
            ..Quota::default()
        };
        settings.tenants.insert("acme".into(), own);
        let division = Division::of(&settings, 256, 64).unwrap();
        assert_eq!(division.quota("acme").calls_running_max, 3);
        assert_eq!(division.quota("other").calls_running_max, 45);
    }
}
