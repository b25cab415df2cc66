//! The gate every call passes before it reaches the engine: pools of slots by trust zone, quotas by tenant, fair queues.
//!
//! One short lock and a few look-ups in memory where there is room. Who waits holds nothing but a place in the line: no task,
//! no thread; a caller who goes away leaves no trace.

mod fuel;
mod gate;
mod nested;
mod per_zone;
mod settings;
mod status;
mod tenant;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kinetic_model::{TrustZone, Usage};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

pub use gate::Place;
pub use per_zone::PerZone;
pub use settings::{Quota, ZonePool, ZoneSettings};
pub(crate) use status::tenant_of;
pub use status::{TenantStatus, ZoneStatus};

use gate::{Ask, Gate};
use settings::Division;
use tenant::{Grant, Seat, Verdict};

use crate::{Capsule, KernelError};

/// Zones and tenants of a host.
pub struct Zones {
    gate: Mutex<Gate<Arc<Chair>>>,
    started: Instant,
}

/// Where a call waits.
#[derive(Default)]
struct Chair {
    verdict: Mutex<Option<Verdict>>,
    changed: Notify,
}

impl Seat for Arc<Chair> {
    fn tell(&self, verdict: Verdict) {
        if verdict != Verdict::Look {
            *self.verdict.lock() = Some(verdict);
        }
        self.changed.notify_one();
    }
}

/// A call's place in the line; it leaves when this is dropped.
struct Waiting<'z> {
    zones: &'z Zones,
    ask: Ask,
    number: u64,
    chair: Arc<Chair>,
    done: bool,
}

/// A slot, or the right of a nested call to run; given back when it is dropped.
#[must_use = "the slot is given back at once"]
pub struct Permit<'z> {
    zones: &'z Zones,
    ask: Ask,
    /// None for nested calls.
    grant: Option<Grant>,
    /// The most fuel one run can burn.
    fuel_max: u64,
    /// What the runs that ended burnt.
    fuel: u64,
    /// When the run began that has not ended.
    runs_since_ns: Option<u64>,
}

impl Zones {
    /// Divides a pool of so many sandboxes, of which so many may be held by instances that stay.
    ///
    /// # Errors
    /// `ZonesTooLarge` when the zones do not fit into it.
    pub(crate) fn new(settings: &ZoneSettings, sandboxes: u32, residents_max: u32) -> Result<Self, KernelError> {
        let division = Division::of(settings, sandboxes, residents_max)?;
        Ok(Self {
            gate: Mutex::new(Gate::new(division)),
            started: Instant::now(),
        })
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Waits for a slot for a call of this capsule.
    ///
    /// # Errors
    /// `QueueFull` and `CallTooLarge` at once, `WaitedTooLong` after the zone's longest wait.
    pub(crate) async fn enter(&self, capsule: &Capsule) -> Result<Permit<'_>, KernelError> {
        let zone = capsule.manifest.governance.trust_zone;
        let limits = &capsule.limits;
        self.enter_as(zone, tenant_of(&capsule.manifest), limits.memory_bytes, limits.fuel)
            .await
    }

    async fn enter_as(
        &self,
        zone: TrustZone,
        tenant: &str,
        memory_bytes: u64,
        fuel_max: u64,
    ) -> Result<Permit<'_>, KernelError> {
        let now_ns = self.now_ns();
        let (ask, wait_ms_max) = {
            let mut gate = self.gate.lock();
            let place = gate.place(zone, tenant);
            let ask = Ask { place, memory_bytes };
            if let Some(grant) = gate.enter(&ask, now_ns)? {
                return Ok(self.permit(ask, grant, fuel_max));
            }
            (ask, gate.zones.get(zone).pool.wait_ms_max)
        };
        let deadline = Instant::now() + Duration::from_millis(wait_ms_max);
        let grant = Waiting::begin(self, ask, now_ns)?.until(deadline).await?;
        Ok(self.permit(ask, grant, fuel_max))
    }

    const fn permit(&self, ask: Ask, grant: Grant, fuel_max: u64) -> Permit<'_> {
        Permit {
            zones: self,
            ask,
            grant: Some(grant),
            fuel_max,
            fuel: 0,
            runs_since_ns: None,
        }
    }

    /// Lets a call in that a running call makes. It counts for the caller's tenant in fuel and memory and takes no slot, so
    /// it cannot wait for the slot of its own caller; it waits for a debt of fuel alone, and not beyond the deadline.
    ///
    /// # Errors
    /// `NestedFull` at once, when the tenant has no memory left; `WaitedTooLong`.
    pub async fn enter_nested(
        &self,
        caller: Place,
        memory_bytes: u64,
        fuel_max: u64,
        deadline: Instant,
    ) -> Result<Permit<'_>, KernelError> {
        let ask = Ask {
            place: caller,
            memory_bytes,
        };
        let asked = Instant::now();
        loop {
            let now_ns = self.now_ns();
            let Some(paid_at_ns) = self.gate.lock().enter_nested(&ask, now_ns)? else {
                return Ok(self.nested_permit(ask, fuel_max, None));
            };
            if Instant::now() >= deadline {
                return Err(self.gate.lock().nested_waited(caller, asked.elapsed()));
            }
            tokio::time::sleep_until(self.at(paid_at_ns).min(deadline)).await;
        }
    }

    /// As [`Zones::enter_nested`] for a call that can run at once; none when it would be refused or have to wait.
    pub(crate) fn try_enter_nested(&self, caller: Place, memory_bytes: u64, fuel_max: u64) -> Option<Permit<'_>> {
        let ask = Ask {
            place: caller,
            memory_bytes,
        };
        let now_ns = self.now_ns();
        let entered = self.gate.lock().enter_nested(&ask, now_ns);
        matches!(entered, Ok(None)).then(|| self.nested_permit(ask, fuel_max, Some(now_ns)))
    }

    const fn nested_permit(&self, ask: Ask, fuel_max: u64, runs_since_ns: Option<u64>) -> Permit<'_> {
        Permit {
            zones: self,
            ask,
            grant: None,
            fuel_max,
            fuel: 0,
            runs_since_ns,
        }
    }

    /// A moment of the gate's clock; one that is too far away is far away.
    fn at(&self, ns: u64) -> Instant {
        const FAR: Duration = Duration::from_hours(24);
        let moment = self.started.checked_add(Duration::from_nanos(ns));
        moment.unwrap_or_else(|| Instant::now() + FAR)
    }
}

impl<'z> Waiting<'z> {
    fn begin(zones: &'z Zones, ask: Ask, now_ns: u64) -> Result<Self, KernelError> {
        let chair = Arc::<Chair>::default();
        let number = zones.gate.lock().queue(&ask, chair.clone(), now_ns)?;
        Ok(Self {
            zones,
            ask,
            number,
            chair,
            done: false,
        })
    }

    async fn until(mut self, deadline: Instant) -> Result<Grant, KernelError> {
        loop {
            let look_at = {
                // What was said is read under the gate's lock, so that nothing is said between reading and giving up.
                let mut gate = self.zones.gate.lock();
                let (place, now_ns) = (self.ask.place, self.zones.now_ns());
                let look_at_ns = gate.look(place, self.number, now_ns);
                let verdict = *self.chair.verdict.lock();
                match verdict {
                    Some(Verdict::Admitted(grant)) => {
                        self.done = true;
                        return Ok(grant);
                    }
                    Some(Verdict::PushedOut) => {
                        self.done = true;
                        return Err(gate.full(place));
                    }
                    Some(Verdict::Look) | None if Instant::now() >= deadline => {
                        self.done = true;
                        return Err(gate.give_up(place, self.number, now_ns));
                    }
                    Some(Verdict::Look) | None => look_at_ns.map(|ns| self.zones.at(ns)),
                }
            };
            let until = look_at.map_or(deadline, |look_at| look_at.min(deadline));
            // Told or not: it looks again.
            let _ = timeout_at(until, self.chair.changed.notified()).await;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let now_ns = self.zones.now_ns();
        let mut gate = self.zones.gate.lock();
        let verdict = *self.chair.verdict.lock();
        match verdict {
            // It went away in the moment it was let in.
            Some(Verdict::Admitted(grant)) => gate.release(&self.ask, grant, 0, now_ns),
            Some(Verdict::PushedOut) => {}
            Some(Verdict::Look) | None => gate.leave(self.ask.place, self.number, now_ns),
        }
    }
}

impl Permit<'_> {
    /// Where the call runs, for the calls it makes itself.
    pub const fn place(&self) -> Place {
        self.ask.place
    }

    /// A run begins: a call can take several. The first of one that was let in to run at once began then.
    pub(crate) fn runs(&mut self) {
        let zones = self.zones;
        self.runs_since_ns.get_or_insert_with(|| zones.now_ns());
    }

    /// The run ended, and what it burnt is known.
    pub(crate) const fn burnt(&mut self, usage: &Usage) {
        self.runs_since_ns = None;
        let fuel = usage.fuel.saturating_add(usage.instantiation_fuel);
        self.fuel = self.fuel.saturating_add(fuel);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let now_ns = self.zones.now_ns();
        // Nobody knows what a run burnt whose caller went away: a unit of fuel takes about a nanosecond. Charged nothing, it
        // would be a way around the quota.
        let ran_ns = self.runs_since_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns));
        let fuel = self.fuel.saturating_add(ran_ns.min(self.fuel_max));
        let mut gate = self.zones.gate.lock();
        match self.grant {
            Some(grant) => gate.release(&self.ask, grant, fuel, now_ns),
            None => gate.release_nested(&self.ask, fuel, now_ns),
        }
    }
}
