//! What Prometheus reads of zones and tenants, read anew each time from the gate itself.

use std::collections::BTreeSet;

use kinetic_kernel::{TenantStatus, ZoneStatus};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The most tenants with series of their own; the others share one, so that publishing cannot fill a collector's disk.
const TENANTS_MAX: usize = 64;
/// What tenants beyond that are called.
const OTHER: &str = "other";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ZoneLabels {
    zone: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TenantLabels {
    zone: &'static str,
    tenant: String,
}

/// The metrics as they are now.
pub(crate) fn registry(zones: &[ZoneStatus]) -> Registry {
    let mut registry = Registry::with_prefix("kinetic_zone");
    let mut by_zone = |name: &str, help: &str, of: fn(&ZoneStatus) -> u32| {
        let family = Family::<ZoneLabels, Gauge>::default();
        for zone in zones {
            let labels = ZoneLabels {
                zone: zone.zone.as_str(),
            };
            family.get_or_create_owned(&labels).set(of(zone).into());
        }
        registry.register(name, help, family);
    };
    by_zone("calls_running_max", "Calls that may run at once", |zone| {
        zone.calls_running_max
    });
    by_zone("calls_waiting_max", "Calls that may wait at once", |zone| {
        zone.calls_waiting_max
    });
    by_zone("calls_nested", "Calls that calls make", |zone| zone.calls_nested);
    let mut gauges = |name: &str, help: &str, of: fn(&TenantStatus) -> u32| {
        let family = Family::<TenantLabels, Gauge>::default();
        each(zones, |labels, tenant| {
            family.get_or_create_owned(labels).inc_by(of(tenant).into());
        });
        registry.register(name, help, family);
    };
    gauges("calls_running", "Calls that run, by tenant", |tenant| {
        tenant.calls_running
    });
    gauges("calls_waiting", "Calls that wait for a slot, by tenant", |tenant| {
        tenant.calls_waiting
    });
    let mut counters = |name: &str, help: &str, of: fn(&TenantStatus) -> u64| {
        let family = Family::<TenantLabels, Counter>::default();
        each(zones, |labels, tenant| {
            family.get_or_create_owned(labels).inc_by(of(tenant));
        });
        registry.register(name, help, family);
    };
    counters("calls_refused", "Calls that got no slot, by tenant", |tenant| {
        tenant.calls_refused
    });
    counters("fuel", "Fuel that was burnt, by tenant", |tenant| tenant.fuel);
    registry
}

/// Every tenant of every zone with its labels: those who came first keep their names.
fn each(zones: &[ZoneStatus], mut visit: impl FnMut(&TenantLabels, &TenantStatus)) {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for zone in zones {
        for tenant in &zone.tenants {
            let name = tenant.tenant.as_str();
            let known = named.contains(name) || (named.len() < TENANTS_MAX && named.insert(name));
            let labels = TenantLabels {
                zone: zone.zone.as_str(),
                tenant: if known { name } else { OTHER }.to_string(),
            };
            visit(&labels, tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use kinetic_model::TrustZone;
    use prometheus_client::encoding::text;

    use super::*;

    fn tenant(name: &str) -> TenantStatus {
        TenantStatus {
            tenant: name.into(),
            calls_running: 2,
            calls_running_max: Some(9),
            calls_waiting: 3,
            calls_refused: 4,
            fuel_last_second: 5,
            fuel: 6,
            fuel_per_s_max: Some(7),
            memory_bytes: 8,
            memory_bytes_max: Some(9),
            weight: 100,
        }
    }

    fn written(tenants: Vec<TenantStatus>) -> String {
        let zone = ZoneStatus {
            zone: TrustZone::Tenant,
            calls_running: 2,
            calls_running_max: 60,
            calls_waiting: 3,
            calls_waiting_max: 384,
            wait_ms_max: 10_000,
            calls_nested: 1,
            calls_refused: 4,
            fuel_last_second: 5,
            tenants,
        };
        let mut written = String::new();
        text::encode(&mut written, &registry(&[zone])).unwrap();
        written
    }

    #[test]
    fn who_runs_waits_and_was_refused_is_told_by_zone_and_tenant() {
        let written = written(vec![tenant("acme")]);
        for line in [
            r#"kinetic_zone_calls_running_max{zone="tenant"} 60"#,
            r#"kinetic_zone_calls_nested{zone="tenant"} 1"#,
            r#"kinetic_zone_calls_running{zone="tenant",tenant="acme"} 2"#,
            r#"kinetic_zone_calls_waiting{zone="tenant",tenant="acme"} 3"#,
            r#"kinetic_zone_calls_refused_total{zone="tenant",tenant="acme"} 4"#,
            r#"kinetic_zone_fuel_total{zone="tenant",tenant="acme"} 6"#,
        ] {
            assert!(
                written.lines().any(|shown| shown == line),
                "{line} is not in\n{written}"
            );
        }
    }

    #[test]
    fn tenants_beyond_the_bound_are_added_up() {
        let tenants = (0..TENANTS_MAX + 10).map(|n| tenant(&format!("t{n}"))).collect();
        let written = written(tenants);
        assert_eq!(written.matches("kinetic_zone_fuel_total{").count(), TENANTS_MAX + 1);
        assert!(written.contains(r#"kinetic_zone_fuel_total{zone="tenant",tenant="other"} 60"#));
    }
}
