//! The gate without a clock, and with one.

mod fairness;
mod laws;
mod quotas;
mod waiting;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use kinetic_model::TrustZone;

use super::gate::{Ask, Gate};
use super::per_zone::PerZone;
use super::settings::{Division, Quota, ZonePool, ZoneSettings};
use super::tenant::{Grant, Seat, Verdict};
use crate::KernelError;

/// A seat that remembers what it was told.
#[derive(Clone, Default)]
struct Chair(Rc<Cell<Option<Verdict>>>);

impl Seat for Chair {
    fn tell(&self, verdict: Verdict) {
        self.0.set(Some(verdict));
    }
}

impl Chair {
    fn granted(&self) -> Option<Grant> {
        match self.0.get() {
            Some(Verdict::Admitted(grant)) => Some(grant),
            _ => None,
        }
    }
}

const QUOTA: Quota = Quota {
    weight: 1,
    calls_running_max: 1_000,
    fuel_per_s_max: 1_000_000_000_000,
    memory_bytes_max: 1_000_000,
};

/// Zones with so many slots and so much room to wait each, tenants as named, everybody else with [`QUOTA`].
fn settings(slots: u32, waiting: u32, tenants: &[(&str, Quota)]) -> ZoneSettings {
    let pool = ZonePool {
        calls_running_max: slots,
        calls_waiting_max: waiting,
        wait_ms_max: 50,
    };
    ZoneSettings {
        pools: PerZone::of(|_| pool),
        quota: QUOTA,
        tenants: tenants
            .iter()
            .map(|(name, quota)| ((*name).to_string(), *quota))
            .collect::<BTreeMap<_, _>>(),
    }
}

fn gate(settings: &ZoneSettings) -> Gate<Chair> {
    Gate::new(Division::of(settings, 1_000, 10).unwrap())
}

/// Asks for a slot in zone `tenant`.
fn ask(gate: &mut Gate<Chair>, tenant: &str, memory_bytes: u64) -> Ask {
    ask_in(gate, TrustZone::Tenant, tenant, memory_bytes)
}

fn ask_in(gate: &mut Gate<Chair>, zone: TrustZone, tenant: &str, memory_bytes: u64) -> Ask {
    let place = gate.place(zone, tenant);
    Ask { place, memory_bytes }
}

/// In at once, or in the line.
enum Came {
    In(Grant),
    Waits(u64, Chair),
}

fn come(gate: &mut Gate<Chair>, ask: &Ask, now_ns: u64) -> Result<Came, KernelError> {
    if let Some(grant) = gate.enter(ask, now_ns)? {
        return Ok(Came::In(grant));
    }
    let chair = Chair::default();
    let number = gate.queue(ask, chair.clone(), now_ns)?;
    gate.look(ask.place, number, now_ns);
    Ok(Came::Waits(number, chair))
}

fn comes_in(gate: &mut Gate<Chair>, ask: &Ask, now_ns: u64) -> Grant {
    match come(gate, ask, now_ns).unwrap() {
        Came::In(grant) => grant,
        Came::Waits(..) => panic!("it has to wait"),
    }
}

fn waits(gate: &mut Gate<Chair>, ask: &Ask, now_ns: u64) -> (u64, Chair) {
    match come(gate, ask, now_ns).unwrap() {
        Came::In(_) => panic!("it is in at once"),
        Came::Waits(number, chair) => (number, chair),
    }
}
