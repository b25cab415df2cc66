//! Who is let in: a state without clock or threads, so that a test can run hours of it in a moment.
//!
//! Within a zone, tenants that wait are served by start-time fair queueing: each has a virtual time that advances by the
//! time its calls hold a slot, divided by its weight, and who is furthest behind is next. What a call will cost is not known
//! when it begins: it is taken for what the tenant's calls cost lately and corrected when it ends. A tenant that had nothing
//! to do, or was held by its own quota, goes on from where the others are and has saved up nothing.

use std::collections::BTreeSet;

use kinetic_model::TrustZone;

use super::per_zone::{PerZone, ZONES};
use super::settings::{Division, Quota, ZonePool};
use super::tenant::{Grant, Hold, Lane, Seat, Tenant, TenantId, Tenants, Verdict, Waiter, virtual_time};
use crate::KernelError;

/// In which zone and for whom a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(super) zone: TrustZone,
    pub(super) tenant: TenantId,
}

impl Place {
    /// As a number that the engine passes on to calls within this one; never 0.
    pub(crate) fn token(self) -> u64 {
        let zone = ZONES.iter().position(|zone| *zone == self.zone).unwrap_or(0) as u64;
        // There are far fewer tenants; what is beyond the list is one for all.
        let tenant = u32::try_from(self.tenant).unwrap_or(u32::MAX);
        (u64::from(tenant) << 8) | (zone + 1)
    }

    /// The place of [`Place::token`].
    pub(crate) fn of_token(token: u64) -> Option<Self> {
        let zone = usize::try_from((token & 0xff).checked_sub(1)?).ok()?;
        let tenant = u32::try_from(token >> 8).ok()?;
        Some(Self {
            zone: *ZONES.get(zone)?,
            tenant: usize::try_from(tenant)
                .ok()
                .filter(|_| tenant != u32::MAX)
                .unwrap_or(TenantId::MAX),
        })
    }
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) place: Place,
    /// Its memory limit.
    pub(super) memory_bytes: u64,
}

/// One zone.
pub(super) struct Zone {
    pub(super) pool: ZonePool,
    pub(super) running: u32,
    pub(super) waiting: u32,
    pub(super) nested: u32,
    /// Virtual time: that of the tenant served last, when it was.
    clock: u128,
    /// The furthest virtual time of any tenant.
    latest: u128,
    /// Tenants whose next call needs nothing but a slot, by virtual time.
    ready: BTreeSet<(u128, TenantId)>,
    /// Tenants by how many of their calls wait.
    lengths: BTreeSet<(usize, TenantId)>,
}

impl Zone {
    fn new(pool: ZonePool) -> Self {
        Self {
            pool,
            running: 0,
            waiting: 0,
            nested: 0,
            clock: 0,
            latest: 0,
            ready: BTreeSet::new(),
            lengths: BTreeSet::new(),
        }
    }

    /// Whether nobody is in it or waits for it.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let calls = self.running + self.waiting + self.nested;
        calls == 0 && self.ready.is_empty() && self.lengths.is_empty()
    }

    const fn has_room(&self) -> bool {
        self.running < self.pool.calls_running_max
    }

    /// Who had nothing to do goes on from where the others are.
    fn catch_up<S>(&self, lane: &mut Lane<S>) {
        lane.tag = lane.tag.max(self.clock);
    }

    /// Gives a slot.
    fn grant<S>(&mut self, tenant: &mut Tenant<S>, ask: &Ask, now_ns: u64) -> Grant {
        let weight = tenant.quota.weight;
        tenant.running += 1;
        tenant.memory_bytes = tenant.memory_bytes.saturating_add(ask.memory_bytes);
        let lane = tenant.lanes.get_mut(ask.place.zone);
        lane.running += 1;
        self.running += 1;
        self.clock = self.clock.max(lane.tag);
        lane.tag = lane.tag.saturating_add(virtual_time(lane.estimate_ns, weight));
        self.latest = self.latest.max(lane.tag);
        Grant {
            began_ns: now_ns,
            estimate_ns: lane.estimate_ns,
        }
    }

    /// Keeps the lengths when the line of a tenant grew or shrank.
    fn resized(&mut self, tenant: TenantId, before: usize, after: usize) {
        self.lengths.remove(&(before, tenant));
        if after > 0 {
            self.lengths.insert((after, tenant));
        }
    }
}

pub(super) fn in_debt(quota: &Quota) -> String {
    format!("the tenant burnt more than its {} fuel a second", quota.fuel_per_s_max)
}

/// The gate.
pub(super) struct Gate<S> {
    pub(super) division: Division,
    pub(super) zones: PerZone<Zone>,
    pub(super) tenants: Tenants<S>,
    next_number: u64,
}

impl<S: Seat> Gate<S> {
    pub(super) fn new(division: Division) -> Self {
        Self {
            zones: PerZone::of(|zone| Zone::new(*division.pools.get(zone))),
            tenants: Tenants::new(&division),
            division,
            next_number: 0,
        }
    }

    /// Where calls of this zone and namespace run.
    pub(super) fn place(&mut self, zone: TrustZone, namespace: &str) -> Place {
        let tenant = self.tenants.find(zone, namespace, &self.division);
        Place { zone, tenant }
    }

    /// Lets a call in, if there is a slot and nobody before it; none when it has to wait.
    ///
    /// # Errors
    /// `CallTooLarge`: it never could.
    pub(super) fn enter(&mut self, ask: &Ask, now_ns: u64) -> Result<Option<Grant>, KernelError> {
        let zone = self.zones.get_mut(ask.place.zone);
        let tenant = self.tenants.get_mut(ask.place.tenant);
        if ask.memory_bytes > tenant.quota.memory_bytes_max {
            tenant.lanes.get_mut(ask.place.zone).refused += 1;
            return Err(KernelError::CallTooLarge {
                tenant: tenant.name.to_string(),
                memory_bytes: ask.memory_bytes,
                memory_bytes_max: tenant.quota.memory_bytes_max,
            });
        }
        let is_first = tenant.lanes.get(ask.place.zone).queue.is_empty();
        if !is_first || !zone.has_room() || tenant.hold(ask.memory_bytes, now_ns).is_some() {
            return Ok(None);
        }
        zone.catch_up(tenant.lanes.get_mut(ask.place.zone));
        let grant = zone.grant(tenant, ask, now_ns);
        self.refresh_all(ask.place.tenant, now_ns);
        Ok(Some(grant))
    }

    /// Puts a call at the end of its tenant's line; gives its number.
    ///
    /// # Errors
    /// `QueueFull`, unless another tenant has more calls in the line: its last one makes room.
    pub(super) fn queue(&mut self, ask: &Ask, seat: S, now_ns: u64) -> Result<u64, KernelError> {
        let place = ask.place;
        let zone = self.zones.get(place.zone);
        if zone.waiting >= zone.pool.calls_waiting_max && !self.push_out(place, now_ns) {
            self.tenants.get_mut(place.tenant).lanes.get_mut(place.zone).refused += 1;
            return Err(self.full(place));
        }
        let number = self.next_number;
        self.next_number += 1;
        let zone = self.zones.get_mut(place.zone);
        let tenant = self.tenants.get_mut(place.tenant);
        let lane = tenant.lanes.get_mut(place.zone);
        if lane.queue.is_empty() {
            zone.catch_up(lane);
        }
        let waiter = Waiter {
            memory_bytes: ask.memory_bytes,
            seat,
        };
        lane.queue.insert(number, waiter);
        zone.resized(place.tenant, lane.queue.len() - 1, lane.queue.len());
        zone.waiting += 1;
        tenant.waiting += 1;
        self.refresh(place, now_ns);
        Ok(number)
    }

    /// Makes room for a call of a tenant with fewer calls in the line than another one.
    fn push_out(&mut self, place: Place, now_ns: u64) -> bool {
        let own = self.tenants.get(place.tenant).lanes.get(place.zone).queue.len();
        let Some((longest, tenant)) = self.zones.get(place.zone).lengths.last().copied() else {
            return false;
        };
        if longest <= own + 1 {
            return false;
        }
        let from = Place { tenant, ..place };
        let lane = self.tenants.get_mut(tenant).lanes.get_mut(place.zone);
        let Some(number) = lane.queue.last_key_value().map(|(number, _)| *number) else {
            return false;
        };
        lane.refused += 1;
        let waiter = self.withdraw(from, number, now_ns);
        waiter.is_some_and(|waiter| {
            waiter.seat.tell(Verdict::PushedOut);
            true
        })
    }

    /// Takes a call out of the line, if it is still in it.
    fn withdraw(&mut self, place: Place, number: u64, now_ns: u64) -> Option<Waiter<S>> {
        let zone = self.zones.get_mut(place.zone);
        let tenant = self.tenants.get_mut(place.tenant);
        let queue = &mut tenant.lanes.get_mut(place.zone).queue;
        let waiter = queue.remove(&number)?;
        zone.resized(place.tenant, queue.len() + 1, queue.len());
        zone.waiting -= 1;
        tenant.waiting -= 1;
        self.refresh(place, now_ns);
        Some(waiter)
    }

    /// Who waited went away.
    pub(super) fn leave(&mut self, place: Place, number: u64, now_ns: u64) {
        if self.withdraw(place, number, now_ns).is_some() {
            // The one behind it may fit where it did not.
            self.refresh_all(place.tenant, now_ns);
            self.admit_ready(place.zone, now_ns);
        }
    }

    /// Who waits looks again: lets in who can be, and gives the time when there is reason to look the next time.
    pub(super) fn look(&mut self, place: Place, number: u64, now_ns: u64) -> Option<u64> {
        let hold = self.refresh(place, now_ns);
        self.admit_ready(place.zone, now_ns);
        let queue = &self.tenants.get(place.tenant).lanes.get(place.zone).queue;
        let is_head = queue.first_key_value().is_some_and(|(head, _)| *head == number);
        match hold {
            Some(Hold::Fuel(paid_at_ns)) if is_head => Some(paid_at_ns),
            _ => None,
        }
    }

    /// A call ended that burnt so much.
    pub(super) fn release(&mut self, ask: &Ask, grant: Grant, fuel: u64, now_ns: u64) {
        let place = ask.place;
        let zone = self.zones.get_mut(place.zone);
        let tenant = self.tenants.get_mut(place.tenant);
        tenant.burn(place.zone, fuel, now_ns);
        tenant.running = tenant.running.saturating_sub(1);
        tenant.memory_bytes = tenant.memory_bytes.saturating_sub(ask.memory_bytes);
        zone.running = zone.running.saturating_sub(1);
        let weight = tenant.quota.weight;
        let lane = tenant.lanes.get_mut(place.zone);
        lane.running = lane.running.saturating_sub(1);
        let was = (lane.tag, place.tenant);
        lane.tag = lane.correct(grant, now_ns.saturating_sub(grant.began_ns), weight);
        zone.latest = zone.latest.max(lane.tag);
        if lane.ready {
            zone.ready.remove(&was);
            zone.ready.insert((lane.tag, place.tenant));
        }
        if zone.running == 0 && zone.waiting == 0 {
            // Who was served while nobody waited owes nobody anything.
            zone.clock = zone.latest;
        }
        self.made_room(place.tenant, now_ns);
    }

    /// Lets in who can be, after a tenant's use went down.
    pub(super) fn made_room(&mut self, tenant: TenantId, now_ns: u64) {
        self.refresh_all(tenant, now_ns);
        for zone in ZONES {
            self.admit_ready(zone, now_ns);
        }
    }

    /// Gives slots to those who are next, while there are any.
    fn admit_ready(&mut self, name: TrustZone, now_ns: u64) {
        loop {
            let zone = self.zones.get_mut(name);
            if !zone.has_room() {
                return;
            }
            let Some((_, id)) = zone.ready.pop_first() else { return };
            let tenant = self.tenants.get_mut(id);
            let lane = tenant.lanes.get_mut(name);
            lane.ready = false;
            let Some((_, waiter)) = lane.queue.pop_first() else {
                continue;
            };
            zone.resized(id, lane.queue.len() + 1, lane.queue.len());
            zone.waiting -= 1;
            tenant.waiting -= 1;
            let ask = Ask {
                place: Place { zone: name, tenant: id },
                memory_bytes: waiter.memory_bytes,
            };
            let grant = zone.grant(tenant, &ask, now_ns);
            waiter.seat.tell(Verdict::Admitted(grant));
            self.refresh_all(id, now_ns);
        }
    }

    /// Puts a tenant's line among those who can be next, or takes it away; says what holds it.
    fn refresh(&mut self, place: Place, now_ns: u64) -> Option<Hold> {
        let zone = self.zones.get_mut(place.zone);
        let tenant = self.tenants.get_mut(place.tenant);
        let head = tenant.lanes.get(place.zone).queue.first_key_value();
        let head_bytes = head.map(|(_, waiter)| waiter.memory_bytes);
        let hold = head_bytes.and_then(|memory_bytes| tenant.hold(memory_bytes, now_ns));
        let lane = tenant.lanes.get_mut(place.zone);
        let ready = head_bytes.is_some() && hold.is_none();
        if ready && !lane.ready {
            if lane.held {
                zone.catch_up(lane);
            }
            zone.ready.insert((lane.tag, place.tenant));
        } else if !ready && lane.ready {
            zone.ready.remove(&(lane.tag, place.tenant));
        }
        lane.ready = ready;
        lane.held = hold.is_some();
        hold
    }

    /// As [`Gate::refresh`], for all lines of a tenant. The first in a line that waits for fuel has to know until when.
    pub(super) fn refresh_all(&mut self, id: TenantId, now_ns: u64) {
        if self.tenants.get(id).waiting == 0 {
            return;
        }
        for zone in ZONES {
            let hold = self.refresh(Place { zone, tenant: id }, now_ns);
            let queue = &self.tenants.get(id).lanes.get(zone).queue;
            if let (Some(Hold::Fuel(_)), Some((_, head))) = (hold, queue.first_key_value()) {
                head.seat.tell(Verdict::Look);
            }
        }
    }

    /// The line is full.
    pub(super) fn full(&self, place: Place) -> KernelError {
        KernelError::QueueFull {
            zone: place.zone.as_str().into(),
            tenant: self.tenants.get(place.tenant).name.to_string(),
            calls: self.zones.get(place.zone).waiting,
        }
    }

    /// A call that waited too long is out; why it was not let in.
    pub(super) fn give_up(&mut self, place: Place, number: u64, now_ns: u64) -> KernelError {
        let hold = self.refresh(place, now_ns);
        let pool = self.zones.get(place.zone).pool;
        let tenant = self.tenants.get_mut(place.tenant);
        tenant.lanes.get_mut(place.zone).refused += 1;
        let quota = tenant.quota;
        let why = match hold {
            Some(Hold::Calls) => format!("the tenant runs {} calls at once already", quota.calls_running_max),
            Some(Hold::Memory) => format!("the tenant's calls use up its {} bytes", quota.memory_bytes_max),
            Some(Hold::Fuel(_)) => in_debt(&quota),
            None => format!("all {} slots of the zone were taken", pool.calls_running_max),
        };
        let error = KernelError::WaitedTooLong {
            zone: place.zone.as_str().into(),
            tenant: tenant.name.to_string(),
            wait_ms_max: pool.wait_ms_max,
            why,
        };
        self.leave(place, number, now_ns);
        error
    }
}
