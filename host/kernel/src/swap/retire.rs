//! The end of a probation: the version before comes back, or is let go and fenced.

use std::sync::Arc;
use std::time::Duration;

use kinetic_engine::{EngineError, beside, spawn_at_home};
use kinetic_model::{Digest, Fault, Urn};
use serde_json::json;

use super::{Probation, Shadow, Steps, Swapped};
use crate::admission::Loaded;
use crate::intake::Closed;
use crate::life::{Move, Named};
use crate::parts::Successor;
use crate::quarantine::{Step, entry};
use crate::{Actor, Capsule, Cause, Kernel, KernelError, State, unix_ms};

/// Why a version gives its place back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Why<'a> {
    /// It failed.
    Failed(&'a Fault),
    /// Somebody asked for it, and may have said that what it holds can be lost.
    Asked { discard_state: bool },
}

impl Kernel {
    /// After a restart in the middle of a probation: the version before is loaded again, and stands by again. Where it
    /// cannot be, the new version is on its own.
    pub(crate) async fn stand_by_again(&self, capsule: &Arc<Capsule>) {
        let urn = &capsule.manifest.id;
        let Ok(former) = self.former(urn) else { return };
        match self.load_former(urn, &former).await {
            Ok(loaded) => {
                let former = Arc::new(Capsule::new(loaded, 0));
                former.intake.close(Closed::Gone);
                self.stands_by(capsule, former);
                self.begin_probation(capsule);
            }
            Err(fault) => tracing::warn!(%urn, "the version before cannot stand by: {fault}"),
        }
    }

    /// From now on the version before answers what the new one fails, and comes back when that is too often. To be said
    /// before calls find the new one.
    pub(super) fn stands_by(&self, capsule: &Capsule, former: Arc<Capsule>) {
        let probation = Probation::new(former, self.settings());
        capsule.probation.store(Some(Arc::new(probation)));
    }

    /// Lets the version before go when the new one's time is over.
    pub(super) fn begin_probation(&self, capsule: &Arc<Capsule>) {
        let time = Duration::from_millis(self.settings().probation_ms);
        let (kernel, urn, generation) = (self.downgrade(), capsule.manifest.id.clone(), capsule.generation);
        spawn_at_home(async move {
            tokio::time::sleep(time).await;
            if let Some(kernel) = kernel.upgrade()
                && let Err(fault) = kernel.proven(&urn, generation).await
            {
                tracing::warn!("the end of a probation could not be recorded: {fault}");
            }
        });
    }

    /// The version is proven: the one before is let go.
    async fn proven(&self, urn: &Urn, generation: u64) -> Result<(), Fault> {
        let _turn = self.turn(urn).await;
        let current = self.current(urn).ok();
        let Some(capsule) = current.filter(|capsule| capsule.generation == generation) else {
            return Ok(());
        };
        let Some(probation) = capsule.probation.load_full() else {
            return Ok(());
        };
        let mut binding = self.binding(urn).unwrap_or_else(|| self.binding_of(&capsule, true));
        binding.probation = false;
        let document = json!({ "event": "swap", "step": "proven" });
        self.journal().bind(&capsule.named, &binding, document).await?;
        self.put_binding(urn, binding);
        capsule.probation.store(None);
        self.retire(probation.former.clone(), Actor::Host);
        Ok(())
    }

    /// Gives a failed version's place back to the one before, and quarantines it, while calls go on.
    pub(crate) fn roll_back_failed(&self, capsule: &Arc<Capsule>, why: String) {
        let (kernel, capsule) = (self.clone(), capsule.clone());
        spawn_at_home(async move {
            tracing::warn!(urn = %capsule.manifest.id, version = %capsule.manifest.version, "rolled back: {why}");
            let fault = Fault::from(KernelError::ProbationFailed {
                what: capsule.manifest.id.to_string(),
                version: capsule.manifest.version.to_string(),
                why,
            });
            let back = kernel
                .go_back(&capsule, Cause::RolledBack, Actor::Host, Why::Failed(&fault))
                .await;
            if let Err(fault) = back {
                tracing::error!(urn = %capsule.manifest.id, "it could not be rolled back: {fault}");
            }
        });
    }

    /// Puts the version that stands by back in its place; none when none does. A version that failed is quarantined.
    ///
    /// # Errors
    /// `StateLost` when somebody asked for it and the state cannot go back with it; the version goes on.
    pub(crate) async fn go_back(
        &self,
        capsule: &Arc<Capsule>,
        cause: Cause,
        actor: Actor,
        why: Why<'_>,
    ) -> Result<Option<Swapped>, Fault> {
        let urn = &capsule.manifest.id;
        let _turn = self.turn(urn).await;
        // What was asked for may be over: only the very generation that is active goes back.
        let current = self.current(urn).ok();
        let Some(capsule) = current.filter(|current| current.generation == capsule.generation) else {
            return Ok(None);
        };
        let capsule = &capsule;
        let Some(probation) = capsule.probation.load_full() else {
            return Ok(None);
        };
        let mut steps = Steps::begin();
        let former = &probation.former;
        let before = capsule.intake.closed();
        let seat = self.seat_of(urn);
        let mut successor = None;
        let moved = match &seat {
            None => self.state_back(capsule, former, &mut steps).await,
            // Without a successor nothing may be flipped: the seat would hold another one than the URN means.
            Some(seat) => {
                let discard_state = !matches!(why, Why::Asked { discard_state: false });
                let next = seat.hand_over(self.occupant_of(former), discard_state).await?;
                steps.done("hand-over");
                let state_bytes = next.state_bytes();
                successor = Some(next);
                Ok(state_bytes)
            }
        };
        let state_bytes = match (moved, why) {
            (Ok(state_bytes), _) => state_bytes,
            (Err(lost), Why::Asked { discard_state: false }) => {
                capsule.intake.restore(before);
                return Err(lost);
            }
            (Err(lost), _) => {
                tracing::warn!(%urn, "the version before goes on from where it stopped: {lost}");
                None
            }
        };
        let limits = self.limits_by_operator(&former.manifest);
        let back = Arc::new(former.again(self.next_generation(urn), limits));
        let (to, reason) = match why {
            Why::Failed(fault) => (
                State::Quarantined,
                json!({ "code": fault.code, "message": fault.message }),
            ),
            Why::Asked { .. } => (State::Suspended, json!("its predecessor was asked back")),
        };
        let mut moves = vec![
            Move {
                what: &capsule.named,
                to,
                cause,
                actor,
                reason,
            },
            Move {
                what: &back.named,
                to: State::Active,
                cause,
                actor,
                reason: json!(null),
            },
        ];
        moves.retain(|step| self.journal().state(step.what) != Some(step.to));
        let flipped = self.flip(&moves, &back, &self.binding_of(&back, true)).await;
        if let Err(fault) = flipped {
            capsule.intake.restore(before);
            return Err(fault);
        }
        if let Some(successor) = successor {
            Successor::begin(successor);
        }
        capsule.intake.close(Closed::Gone);
        capsule.probation.store(None);
        steps.done("flip");
        if let Why::Failed(fault) = why {
            self.keep_out(&capsule.named, capsule.manifest_digest, Step::Probation, fault)
                .await?;
        }
        self.retire(capsule.clone(), actor);
        Ok(Some(self.swapped(
            capsule,
            &back,
            steps,
            Shadow::default(),
            state_bytes,
        )))
    }

    /// What the version that goes came to hold goes back with its place.
    ///
    /// # Errors
    /// `StateLost`: it cannot give it, or the other one cannot read it.
    async fn state_back(&self, capsule: &Capsule, former: &Capsule, steps: &mut Steps) -> Result<Option<u64>, Fault> {
        if !capsule.stays() {
            return Ok(None);
        }
        capsule.intake.close(Closed::Moving);
        let drain_ms = self.settings().drain_ms;
        capsule.intake.drained(Duration::from_millis(drain_ms)).await;
        steps.done("drain");
        let lost = |why: EngineError| {
            Fault::from(KernelError::StateLost {
                what: former.manifest.id.to_string(),
                why: why.to_string(),
            })
        };
        let snapshot = capsule.capability.export_state().await.map_err(lost)?;
        let bytes = snapshot.as_ref().map(|snapshot| snapshot.bytes.len() as u64);
        if let Some(snapshot) = snapshot {
            former.capability.begin_from(snapshot).await.map_err(lost)?;
        }
        steps.done("hand-over");
        Ok(bytes)
    }

    /// Lets a version go that calls do not reach any more: they may end, then it is fenced.
    pub(crate) fn retire(&self, capsule: Arc<Capsule>, actor: Actor) {
        let kernel = self.downgrade();
        let within = Duration::from_millis(self.settings().drain_ms);
        spawn_at_home(async move {
            let in_time = capsule.intake.drained(within).await;
            let left = capsule.intake.calls();
            capsule.capability.fence().await;
            // Giving a large memory back takes a thread a while, and others are called by now.
            let going = capsule.clone();
            if capsule.stays() && beside(async move { going.capability.stop().await }).await.is_err() {
                capsule.capability.stop().await;
            }
            let Some(kernel) = kernel.upgrade() else { return };
            // A version that was quarantined is at its end already.
            if kernel.journal().state(&capsule.named).is_none() {
                return;
            }
            let unloaded = Move {
                what: &capsule.named,
                to: State::Unloaded,
                cause: Cause::Retired,
                actor,
                reason: json!({ "drained": in_time, "calls_cut_off": left }),
            };
            if let Err(fault) = kernel.journal().step(unloaded).await {
                tracing::warn!(urn = %capsule.manifest.id, "its end could not be recorded: {fault}");
            }
        });
    }

    /// Lets a version go that never was active.
    pub(crate) async fn let_go(&self, loaded: &Loaded, actor: Actor) -> Result<(), Fault> {
        loaded.capability.stop().await;
        self.journal()
            .step(Move {
                what: &loaded.named,
                to: State::Unloaded,
                cause: Cause::Asked,
                actor,
                reason: json!(null),
            })
            .await
    }

    /// Quarantines a version that could not take over.
    pub(crate) async fn quarantine_loaded(&self, loaded: &Loaded, fault: &Fault, actor: Actor) -> Result<(), Fault> {
        loaded.capability.stop().await;
        self.journal()
            .step(Move {
                what: &loaded.named,
                to: State::Quarantined,
                cause: Cause::Refused,
                actor,
                reason: json!({ "code": fault.code, "message": fault.message }),
            })
            .await?;
        self.keep_out(&loaded.named, loaded.manifest_digest, Step::Swap, fault)
            .await
    }

    /// Keeps a version that failed from coming back.
    pub(crate) async fn keep_out(
        &self,
        what: &Named,
        manifest: Digest,
        step: Step,
        fault: &Fault,
    ) -> Result<(), Fault> {
        if self.parts().carried().holds(&what.digest, &manifest) {
            // There has to be something that comes back when all else fails.
            return Ok(());
        }
        let names = (what.urn.to_string(), what.version.to_string());
        let kept_out = self
            .quarantine()
            .add(entry((what.digest, manifest), names, step, fault, unix_ms()));
        // A receipt that is not good says nothing about a component: anybody can lay it beside a good one's digest.
        if step != Step::Receipt {
            self.forget_kept(what.digest).await;
        }
        Ok(kept_out?)
    }
}
