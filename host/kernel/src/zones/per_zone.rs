//! One thing for each trust zone, found without an index that could miss.

use kinetic_model::TrustZone;

/// Every zone, the most trusted first.
pub(crate) const ZONES: [TrustZone; 4] = [
    TrustZone::System,
    TrustZone::Tenant,
    TrustZone::Session,
    TrustZone::Ephemeral,
];

/// One thing for each trust zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerZone<T> {
    /// Of zone `system`.
    pub system: T,
    /// Of zone `tenant`.
    pub tenant: T,
    /// Of zone `session`.
    pub session: T,
    /// Of zone `ephemeral`.
    pub ephemeral: T,
}

impl<T> PerZone<T> {
    /// What is made for each zone.
    pub fn of(mut make: impl FnMut(TrustZone) -> T) -> Self {
        Self {
            system: make(TrustZone::System),
            tenant: make(TrustZone::Tenant),
            session: make(TrustZone::Session),
            ephemeral: make(TrustZone::Ephemeral),
        }
    }

    /// Of this zone.
    pub const fn get(&self, zone: TrustZone) -> &T {
        match zone {
            TrustZone::System => &self.system,
            TrustZone::Tenant => &self.tenant,
            TrustZone::Session => &self.session,
            TrustZone::Ephemeral => &self.ephemeral,
        }
    }

    /// Of this zone, to be changed.
    pub const fn get_mut(&mut self, zone: TrustZone) -> &mut T {
        match zone {
            TrustZone::System => &mut self.system,
            TrustZone::Tenant => &mut self.tenant,
            TrustZone::Session => &mut self.session,
            TrustZone::Ephemeral => &mut self.ephemeral,
        }
    }

    /// All of them, the most trusted zone first.
    pub const fn all(&self) -> [&T; 4] {
        [&self.system, &self.tenant, &self.session, &self.ephemeral]
    }
}
