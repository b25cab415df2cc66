//! Tenants: what each may use, what it uses, and its calls that wait, in one line for each zone.

use std::collections::{BTreeMap, HashMap};

use kinetic_model::TrustZone;

use super::fuel::{Bucket, Rate};
use super::per_zone::PerZone;
use super::settings::{Division, Quota};

/// The tenant of all that runs in zone `system`.
pub(super) const SYSTEM_TENANT: &str = "kinetic";
/// What tenants beyond [`TENANTS_MAX`] are called; no namespace is: it has no parenthesis.
const OTHERS: &str = "(others)";
/// Tenants that are told apart; what comes after them shares one quota, so that names cannot fill the memory.
const TENANTS_MAX: usize = 1_024;
/// What a call of a tenant is taken to last before one was seen, in nanoseconds.
const ESTIMATE_NS: u64 = 1_000_000;
/// A call that was nothing costs something all the same.
const COST_NS_MIN: u64 = 1_000;
/// One call in so many: how fast the estimate follows.
const ESTIMATE_CALLS: u64 = 8;
/// Virtual time is counted in thousandths, so that the largest weight divides it.
const VIRTUAL_SCALE: u128 = 1_000;

/// Who waits, told what becomes of it.
pub(super) trait Seat {
    /// Says it.
    fn tell(&self, verdict: Verdict);
}

/// What is said to who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is in.
    Admitted(Grant),
    /// The line was full and others had waited with fewer calls.
    PushedOut,
    /// Something changed about when it can be in.
    Look,
}

/// A slot that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    /// When.
    pub(super) began_ns: u64,
    /// What the call was taken to cost; corrected when it ends.
    pub(super) estimate_ns: u64,
}

/// Where a tenant stands in the list; beyond its end are the others.
pub(super) type TenantId = usize;

/// A call that waits.
pub(super) struct Waiter<S> {
    pub(super) memory_bytes: u64,
    pub(super) seat: S,
}

/// Why a tenant's next call cannot run, whatever room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// So many of its calls run.
    Calls,
    /// Its calls may use so much memory.
    Memory,
    /// It is in debt until then.
    Fuel(u64),
}

/// A tenant's calls in one zone.
pub(super) struct Lane<S> {
    /// Its virtual time: what it was served, by its weight. Whose is least is next.
    pub(super) tag: u128,
    /// Whether it is among those who can be next.
    pub(super) ready: bool,
    /// Whether its tenant's quota held it when that was looked at last.
    pub(super) held: bool,
    /// First come, first served.
    pub(super) queue: BTreeMap<u64, Waiter<S>>,
    pub(super) running: u32,
    pub(super) refused: u64,
    pub(super) fuel: Rate,
    pub(super) estimate_ns: u64,
}

impl<S> Default for Lane<S> {
    fn default() -> Self {
        Self {
            tag: 0,
            ready: false,
            held: false,
            queue: BTreeMap::new(),
            running: 0,
            refused: 0,
            fuel: Rate::default(),
            estimate_ns: ESTIMATE_NS,
        }
    }
}

impl<S> Lane<S> {
    /// Whether it ever had a call.
    pub(super) fn was_used(&self) -> bool {
        self.tag > 0 || self.refused > 0 || !self.queue.is_empty()
    }

    /// Corrects what the call was taken to cost; gives the tag it has then.
    pub(super) fn correct(&mut self, grant: Grant, cost_ns: u64, weight: u32) -> u128 {
        let cost_ns = cost_ns.max(COST_NS_MIN);
        let others = self.estimate_ns.saturating_mul(ESTIMATE_CALLS - 1);
        self.estimate_ns = others.saturating_add(cost_ns) / ESTIMATE_CALLS;
        let charged = virtual_time(grant.estimate_ns, weight);
        self.tag
            .saturating_sub(charged)
            .saturating_add(virtual_time(cost_ns, weight))
    }
}

/// What service costs a tenant of this weight.
pub(super) fn virtual_time(service_ns: u64, weight: u32) -> u128 {
    u128::from(service_ns.max(COST_NS_MIN)) * VIRTUAL_SCALE / u128::from(weight.max(1))
}

/// A tenant.
pub(super) struct Tenant<S> {
    pub(super) name: Box<str>,
    pub(super) quota: Quota,
    pub(super) running: u32,
    /// The memory limits of its running calls together.
    pub(super) memory_bytes: u64,
    /// Its calls that wait, in all zones.
    pub(super) waiting: u32,
    pub(super) fuel: Bucket,
    pub(super) lanes: PerZone<Lane<S>>,
}

impl<S> Tenant<S> {
    fn new(name: &str, quota: Quota) -> Self {
        Self {
            name: name.into(),
            fuel: Bucket::new(quota.fuel_per_s_max),
            quota,
            running: 0,
            memory_bytes: 0,
            waiting: 0,
            lanes: PerZone::of(|_| Lane::default()),
        }
    }

    /// What keeps a call with so much memory out, if anything of its own does.
    pub(super) fn hold(&mut self, memory_bytes: u64, now_ns: u64) -> Option<Hold> {
        if self.running >= self.quota.calls_running_max {
            return Some(Hold::Calls);
        }
        if !self.has_memory(memory_bytes) {
            return Some(Hold::Memory);
        }
        self.fuel.paid_at_ns(now_ns).map(Hold::Fuel)
    }

    /// Whether so much memory is left of its quota.
    pub(super) const fn has_memory(&self, memory_bytes: u64) -> bool {
        self.memory_bytes.saturating_add(memory_bytes) <= self.quota.memory_bytes_max
    }

    /// Charges what a call burnt in a zone.
    pub(super) fn burn(&mut self, zone: TrustZone, fuel: u64, now_ns: u64) {
        self.fuel.charge(fuel, now_ns);
        self.lanes.get_mut(zone).fuel.note(fuel, now_ns);
    }
}

/// All tenants.
pub(super) struct Tenants<S> {
    by_name: HashMap<Box<str>, TenantId>,
    all: Vec<Tenant<S>>,
    others: Tenant<S>,
}

impl<S> Tenants<S> {
    /// The one of zone `system` stands first: no quota bounds it, and what runs elsewhere under the same name is not counted
    /// with it, so that nobody but the system uses up what the system may. After it those with a quota of their own.
    pub(super) fn new(division: &Division) -> Self {
        let mut tenants = Self {
            by_name: HashMap::new(),
            all: vec![Tenant::new(SYSTEM_TENANT, Quota::UNBOUNDED)],
            others: Tenant::new(OTHERS, division.quota(OTHERS)),
        };
        for name in division.named() {
            tenants.add(name, division);
        }
        tenants
    }

    fn add(&mut self, name: &str, division: &Division) -> TenantId {
        let id = self.all.len();
        self.all.push(Tenant::new(name, division.quota(name)));
        self.by_name.insert(name.into(), id);
        id
    }

    /// The tenant of what runs in a zone under a namespace.
    pub(super) fn find(&mut self, zone: TrustZone, namespace: &str, division: &Division) -> TenantId {
        if zone == TrustZone::System {
            return 0;
        }
        match self.by_name.get(namespace) {
            Some(id) => *id,
            None if self.all.len() >= TENANTS_MAX => TenantId::MAX,
            None => self.add(namespace, division),
        }
    }

    pub(super) fn get(&self, id: TenantId) -> &Tenant<S> {
        self.all.get(id).unwrap_or(&self.others)
    }

    pub(super) fn get_mut(&mut self, id: TenantId) -> &mut Tenant<S> {
        self.all.get_mut(id).unwrap_or(&mut self.others)
    }

    /// All of them, in the order they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Tenant<S>> {
        self.all.iter().chain([&self.others])
    }
}
