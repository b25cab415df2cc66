//! Calls that running calls make: they count for the caller's tenant, and take none of the zone's slots.

use std::time::Duration;

use super::gate::{Ask, Gate, Place, in_debt};
use super::tenant::Seat;
use crate::KernelError;

impl<S: Seat> Gate<S> {
    /// Lets a call in that a running call makes: no slot is asked for, so it cannot wait for its own caller. None when it is
    /// in, else when the debt is paid that keeps it out.
    ///
    /// # Errors
    /// `NestedFull` when the tenant has no memory left.
    pub(super) fn enter_nested(&mut self, ask: &Ask, now_ns: u64) -> Result<Option<u64>, KernelError> {
        let zone = self.zones.get_mut(ask.place.zone);
        let tenant = self.tenants.get_mut(ask.place.tenant);
        let full = |why: String| {
            Err(KernelError::NestedFull {
                tenant: tenant.name.to_string(),
                why,
            })
        };
        if !tenant.has_memory(ask.memory_bytes) {
            return full(format!("its calls already use {} bytes of memory", tenant.memory_bytes));
        }
        if let Some(paid_at_ns) = tenant.fuel.paid_at_ns(now_ns) {
            return Ok(Some(paid_at_ns));
        }
        tenant.memory_bytes = tenant.memory_bytes.saturating_add(ask.memory_bytes);
        zone.nested += 1;
        self.refresh_all(ask.place.tenant, now_ns);
        Ok(None)
    }

    /// A nested call ended that burnt so much.
    pub(super) fn release_nested(&mut self, ask: &Ask, fuel: u64, now_ns: u64) {
        let zone = self.zones.get_mut(ask.place.zone);
        let tenant = self.tenants.get_mut(ask.place.tenant);
        tenant.burn(ask.place.zone, fuel, now_ns);
        tenant.memory_bytes = tenant.memory_bytes.saturating_sub(ask.memory_bytes);
        zone.nested = zone.nested.saturating_sub(1);
        // It held no slot: there is room only for what waits for its own tenant's memory.
        if tenant.waiting > 0 {
            self.made_room(ask.place.tenant, now_ns);
        }
    }

    /// A nested call waited for fuel until its deadline.
    pub(super) fn nested_waited(&self, place: Place, waited: Duration) -> KernelError {
        let tenant = self.tenants.get(place.tenant);
        KernelError::WaitedTooLong {
            zone: place.zone.as_str().into(),
            tenant: tenant.name.to_string(),
            wait_ms_max: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            why: in_debt(&tenant.quota),
        }
    }
}
