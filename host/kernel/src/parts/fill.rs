//! Filling a seat at the start: with what the ledger says its URN means, else with what the program carries.

use std::sync::Arc;

use kinetic_model::{CapsuleRef, Digest, Fault, Urn};
use serde_json::json;

use super::{Occupant, Seat};
use crate::admission::Loaded;
use crate::install::{First, is_passing};
use crate::quarantine::Step;
use crate::{Actor, Cause, Kernel, KernelError};

impl Kernel {
    /// Keeps a seat for a part of the host from now on, and says who is to sit in it: the version that was there when the
    /// host last ran, or the newest one. When that one cannot be had, or cannot do the work, it is the one the program
    /// carries, which is recorded.
    ///
    /// # Errors
    /// `NotAPart`; when not even the program's own can do the work; a ledger that takes no records.
    pub async fn seat(&self, urn: &Urn, seat: Arc<dyn Seat>) -> Result<Occupant, Fault> {
        let (kernel, urn) = (self.clone(), urn.clone());
        self.to_the_end(Box::pin(async move { kernel.fill(&urn, seat).await }))
            .await
    }

    async fn fill(&self, urn: &Urn, seat: Arc<dyn Seat>) -> Result<Occupant, Fault> {
        if !self.is_part(urn) {
            return Err(KernelError::NotAPart { what: urn.to_string() }.into());
        }
        let what = CapsuleRef::from(urn.clone());
        let _alone = self.flight(&what).await;
        let meant = match self.find_meant(&what).await {
            Ok(loaded) => self.fitting(&*seat, loaded).await,
            Err(fault) => Err(fault),
        };
        let (loaded, how) = match meant {
            Ok(loaded) => (loaded, First::default()),
            Err(fault) => {
                tracing::warn!(%urn, "what this program carries does the work: {fault}");
                let own = self.own_fitting(&*seat, urn).await?;
                let because = (
                    Cause::RolledBack,
                    json!({ "code": fault.code, "message": fault.message }),
                );
                (
                    own,
                    First {
                        chosen: true,
                        because: Some(because),
                    },
                )
            }
        };
        let _turn = self.turn(urn).await;
        let capsule = self.install_first(loaded, Actor::Host, how).await?;
        self.parts().seats.write().insert(urn.clone(), seat);
        Ok(self.occupant_of(&capsule))
    }

    /// Says of a part that it cannot begin its work at all, and gets who is to do it instead.
    ///
    /// # Errors
    /// The same failure when there is nobody else.
    pub async fn part_failed(&self, urn: &Urn, failed: Digest, fault: &Fault) -> Result<Occupant, Fault> {
        let current = self.current(urn)?;
        if current.digest == failed {
            self.quarantine_active(&current, Step::Strikes, fault).await?;
        }
        let now = self.current(urn)?;
        if now.digest == failed {
            return Err(fault.clone());
        }
        Ok(self.occupant_of(&now))
    }

    /// The version that the program carries, ready.
    pub(super) async fn own_fitting(&self, seat: &dyn Seat, urn: &Urn) -> Result<Loaded, Fault> {
        let carried = self.parts().carried().clone();
        let own = self.parts().own(urn).cloned();
        let own = own.ok_or_else(|| KernelError::NotAPart { what: urn.to_string() })?;
        let loaded = self.load(&*carried, own, Actor::Host).await?;
        self.fitting(seat, loaded).await
    }

    /// Gives it back if it can do the work; else lets it go, or keeps it out when it is to blame.
    async fn fitting(&self, seat: &dyn Seat, loaded: Loaded) -> Result<Loaded, Fault> {
        let Err(fault) = self.fits(seat, &loaded).await else {
            return Ok(loaded);
        };
        if is_passing(&fault) {
            self.let_go(&loaded, Actor::Host).await?;
        } else {
            self.quarantine_loaded(&loaded, &fault, Actor::Host).await?;
        }
        Err(fault)
    }
}
