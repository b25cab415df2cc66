//! Parts of the host itself that are capsules: the host keeps a seat for each and calls what sits there, and nobody else
//! does. Everything else is as for any capsule: admission, binding, swap, probation, rollback, one record each.
//!
//! The program carries one version of every part. It is trusted as the program is, and comes back when no other can do
//! the work.

mod fill;
mod relief;
mod reports;
mod seat;

use std::collections::BTreeMap;
use std::sync::Arc;

use kinetic_model::{CapsuleRef, Fault, TrustZone, Urn};
use kinetic_registry::{Carried, Descriptor};
use parking_lot::RwLock;

pub use self::reports::Reports;
pub use self::seat::{Occupant, Seat, Successor};
use crate::admission::Loaded;
use crate::{Actor, Capsule, Kernel, KernelError};

/// Who signed a capsule that the program carries.
pub(crate) const CARRIED_SIGNER: &str = "this program";

/// The parts there are, and the seats that are kept for them.
pub(crate) struct Parts {
    carried: Arc<Carried>,
    seats: RwLock<BTreeMap<Urn, Arc<dyn Seat>>>,
    /// Why a part does not work, by its URN and the life of the version that did not.
    troubles: RwLock<BTreeMap<Urn, (u64, String)>>,
}

impl Parts {
    pub(crate) fn new(carried: Arc<Carried>) -> Self {
        Self {
            carried,
            seats: RwLock::default(),
            troubles: RwLock::default(),
        }
    }

    /// What the program carries.
    pub(crate) const fn carried(&self) -> &Arc<Carried> {
        &self.carried
    }

    /// The version of a part that the program carries; none when the URN is no part.
    pub(crate) fn own(&self, urn: &Urn) -> Option<&Descriptor> {
        self.carried.of(urn)
    }

    fn seat(&self, urn: &Urn) -> Option<Arc<dyn Seat>> {
        self.seats.read().get(urn).cloned()
    }
}

impl Kernel {
    /// Whether a URN is a part of the host.
    pub(crate) fn is_part(&self, urn: &Urn) -> bool {
        self.parts().own(urn).is_some()
    }

    /// The capsule a reference means, to be looked at: as [`Kernel::activate`], and parts of the host are shown too. A version
    /// of one that does no work now is made ready for the look alone.
    ///
    /// # Errors
    /// As [`Kernel::activate`]'s.
    pub async fn inspect(&self, what: &CapsuleRef) -> Result<Arc<Capsule>, Fault> {
        if !self.is_part(&what.urn) {
            return self.activate(what).await;
        }
        if let Some(capsule) = self.resolve(what) {
            return Ok(capsule);
        }
        let (source, descriptor) = self.find(what).await?;
        let loaded = self.load(&*source, descriptor, Actor::Host).await?;
        let shown = Arc::new(Capsule::new(loaded.clone(), 0));
        self.let_go(&loaded, Actor::Host).await?;
        Ok(shown)
    }

    /// Refuses what is done to capsules and not to parts of the host.
    ///
    /// # Errors
    /// `PartOfHost`.
    pub(crate) fn not_a_part(&self, urn: &Urn) -> Result<(), KernelError> {
        if self.is_part(urn) {
            return Err(KernelError::PartOfHost { what: urn.to_string() });
        }
        Ok(())
    }

    /// The seat of a part; none when the URN is no part, or nobody keeps a seat for it.
    pub(crate) fn seat_of(&self, urn: &Urn) -> Option<Arc<dyn Seat>> {
        self.parts().seat(urn)
    }

    /// A loaded version as the keeper of the seat gets it.
    pub(crate) fn occupant(&self, loaded: &Loaded) -> Occupant {
        Occupant {
            capability: loaded.capability.clone(),
            digest: loaded.digest,
            reports: Reports::of(self, &loaded.named),
        }
    }

    /// A version that is or was active, as the keeper of the seat gets it.
    pub(crate) fn occupant_of(&self, capsule: &Capsule) -> Occupant {
        Occupant {
            capability: capsule.capability.clone(),
            digest: capsule.digest,
            reports: Reports::of(self, &capsule.named),
        }
    }

    /// Whether a version can be this part: as its manifest says, by what it exports, and tried out.
    ///
    /// # Errors
    /// `PartUnfit`, and what trying it out says.
    pub(crate) async fn fits(&self, seat: &dyn Seat, loaded: &Loaded) -> Result<(), Fault> {
        if let Some(why) = unfit(seat, loaded) {
            return Err(KernelError::PartUnfit {
                what: loaded.manifest.id.to_string(),
                version: loaded.manifest.version.to_string(),
                why,
            }
            .into());
        }
        seat.try_out(&self.occupant(loaded)).await
    }
}

/// What of a version does not fit, by its words and its exports alone.
fn unfit(seat: &dyn Seat, loaded: &Loaded) -> Option<String> {
    let zone = loaded.manifest.governance.trust_zone;
    if zone != TrustZone::System {
        return Some("its manifest does not say trust_zone \"system\"".into());
    }
    if !loaded.stays() {
        return Some("its manifest does not say instance \"resident\"".into());
    }
    if !loaded.manifest.imports.is_empty() {
        return Some("its manifest asks for imports, and a part reaches nothing but what it is handed".into());
    }
    let exports = &loaded.capability.interface().exports;
    let missing = seat
        .interfaces()
        .iter()
        .find(|wanted| !exports.iter().any(|export| export == *wanted));
    missing.map(|wanted| format!("it does not export {wanted}"))
}
