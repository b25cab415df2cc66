//! Relieving a part that failed for good, or may not run any more: what the program carries takes its place.

use std::sync::Arc;

use kinetic_model::Fault;
use serde_json::json;

use crate::life::Move;
use crate::quarantine::Step;
use crate::{Actor, Capsule, Cause, Kernel, KernelError, State};

impl Kernel {
    /// Puts what the program carries in the place of a version that is quarantined for that. What the failed one cannot
    /// hand over is lost; the keeper of the seat goes on from what it knows itself.
    ///
    /// # Errors
    /// `NoFormer` when it is the program's own that failed; what the seat says; a ledger that takes no records.
    pub(crate) async fn relieve(
        &self,
        failed: &Arc<Capsule>,
        cause: Cause,
        step: Step,
        fault: &Fault,
    ) -> Result<(), Fault> {
        let urn = &failed.manifest.id;
        let _turn = self.turn(urn).await;
        let current = self.current(urn).ok();
        let Some(failed) = current.filter(|current| current.named.life == failed.named.life) else {
            return Ok(());
        };
        let nobody = || KernelError::NoFormer { what: urn.to_string() };
        let own_digest = self.parts().own(urn).map(|own| own.digest);
        let seat = self.seat_of(urn).filter(|_| own_digest != Some(failed.digest));
        let seat = seat.ok_or_else(nobody)?;
        let loaded = self.own_fitting(&*seat, urn).await?;
        let successor = match seat.hand_over(self.occupant(&loaded), true).await {
            Ok(successor) => successor,
            Err(refused) => {
                self.let_go(&loaded, Actor::Host).await?;
                return Err(refused);
            }
        };
        let own = Arc::new(Capsule::new(loaded, self.next_generation(urn)));
        let moves = [
            Move {
                what: &failed.named,
                to: State::Quarantined,
                cause,
                actor: Actor::Host,
                reason: json!({ "code": fault.code, "message": fault.message }),
            },
            Move {
                what: &own.named,
                to: State::Active,
                cause,
                actor: Actor::Host,
                reason: json!(null),
            },
        ];
        self.flip(&moves, &own, &self.binding_of(&own, true)).await?;
        successor.begin();
        tracing::warn!(%urn, version = %failed.manifest.version, "what this program carries took its place: {fault}");
        if let Some(probation) = failed.probation.swap(None) {
            self.retire(probation.former.clone(), Actor::Host);
        }
        self.retire(failed.clone(), Actor::Host);
        self.keep_out(&failed.named, failed.manifest_digest, step, fault).await
    }
}
