//! Handing the state of an instance that stays to its successor: intake stops, calls end, state is exported and taken
//! over. Until the flip the old version can go on as if nothing had happened.

use std::sync::Arc;
use std::time::Duration;

use kinetic_engine::beside;
use kinetic_model::{ErrorKind, Fault};
use serde_json::json;

use super::{Steps, Taking};
use crate::admission::Loaded;
use crate::intake::Closed;
use crate::parts::{Seat, Successor};
use crate::{Capsule, Kernel, KernelError};

/// A version whose intake is stopped, and how it was before; it is so again unless the flip was made.
pub(super) struct Handover {
    stopped: Option<(Arc<Capsule>, Option<Closed>)>,
    /// Of a part of the host: it stands in front of its seat.
    successor: Option<Box<dyn Successor>>,
    state_bytes: Option<u64>,
}

/// Why a handover did not come about, and whether the new version is to blame.
pub(super) struct Refused {
    pub(super) fault: Fault,
    pub(super) its_fault: bool,
}

impl Handover {
    pub(super) const fn state_bytes(&self) -> Option<u64> {
        self.state_bytes
    }

    pub(super) fn done(mut self) {
        self.stopped = None;
        if let Some(successor) = self.successor.take() {
            successor.begin();
        }
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if let Some((stopped, before)) = self.stopped.take() {
            stopped.intake.restore(before);
        }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            its_fault: false,
        }
    }
}

impl Kernel {
    /// Brings the new version to where the old one stopped. Nothing is to be handed over where no instance stays.
    pub(super) async fn hand_over(
        &self,
        current: &Arc<Capsule>,
        loaded: &Loaded,
        taking: Taking,
        steps: &mut Steps,
    ) -> Result<Handover, Refused> {
        if let Some(seat) = self.seat_of(&current.manifest.id) {
            return self.hand_seat_over(&*seat, loaded, taking, steps).await;
        }
        if !current.stays() {
            return Ok(Handover {
                stopped: None,
                successor: None,
                state_bytes: None,
            });
        }
        let (kernel, current, loaded) = (self.clone(), current.clone(), loaded.clone());
        // On one thread from end to end: memory that it gave back is what it is given next.
        let handing = Box::pin(async move { kernel.hand_instance_over(&current, &loaded, taking).await });
        let handed = beside(handing).await;
        let (handover, taken) = handed.map_err(|error| Refused::from(Fault::from(&error)))??;
        steps.go_on(taken);
        Ok(handover)
    }

    async fn hand_instance_over(
        &self,
        current: &Arc<Capsule>,
        loaded: &Loaded,
        taking: Taking,
    ) -> Result<(Handover, Steps), Refused> {
        let mut steps = Steps::begin();
        get_ready(current, loaded).await;
        steps.done("ready");
        let drain_ms = self.settings().drain_ms;
        self.journal()
            .swap_step(&loaded.named, "stop-intake", json!(null))
            .await?;
        steps.done("stop-intake");
        let mut handover = Handover {
            stopped: Some((current.clone(), current.intake.stop())),
            successor: None,
            state_bytes: None,
        };
        if !current.intake.drained(Duration::from_millis(drain_ms)).await {
            let error = KernelError::DrainTimeout {
                what: current.manifest.id.to_string(),
                calls: current.intake.calls(),
                drain_ms,
            };
            return Err(Fault::from(error).into());
        }
        steps.done("drain");
        handover.state_bytes = self.move_state(current, loaded, taking).await?;
        steps.done("hand-over");
        let bytes = handover.state_bytes;
        self.journal()
            .swap_step(&loaded.named, "hand-over", json!({ "state_bytes": bytes }))
            .await?;
        Ok((handover, steps))
    }

    /// Of a part of the host: who keeps its seat stops the work, and moves the state.
    async fn hand_seat_over(
        &self,
        seat: &dyn Seat,
        loaded: &Loaded,
        taking: Taking,
        steps: &mut Steps,
    ) -> Result<Handover, Refused> {
        self.journal()
            .swap_step(&loaded.named, "stop-intake", json!(null))
            .await?;
        let successor = seat.hand_over(self.occupant(loaded), taking.discard_state).await;
        let successor = successor.map_err(|fault| Refused {
            its_fault: fault.kind == ErrorKind::Conformance,
            fault,
        })?;
        steps.done("hand-over");
        let state_bytes = successor.state_bytes();
        let handover = Handover {
            stopped: None,
            successor: Some(successor),
            state_bytes,
        };
        self.journal()
            .swap_step(&loaded.named, "hand-over", json!({ "state_bytes": state_bytes }))
            .await?;
        Ok(handover)
    }

    async fn move_state(&self, current: &Capsule, loaded: &Loaded, taking: Taking) -> Result<Option<u64>, Refused> {
        let what = current.manifest.id.to_string();
        let lost = |why: String| {
            let error = KernelError::StateLost {
                what: what.clone(),
                why,
            };
            Refused::from(Fault::from(error))
        };
        let both = |has: bool| if has { "has" } else { "has not" };
        let (gives, takes) = (
            current.capability.interface().has_lifecycle,
            loaded.capability.interface().has_lifecycle,
        );
        if !gives || !takes {
            if taking.discard_state {
                return Ok(None);
            }
            return Err(lost(format!(
                "the version that goes {} the lifecycle interface, the one that comes {} it",
                both(gives),
                both(takes)
            )));
        }
        let snapshot = match current.capability.export_state().await {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return Ok(None),
            Err(_) if taking.discard_state => return Ok(None),
            Err(error) => return Err(lost(format!("the version that goes cannot export it: {error}"))),
        };
        let bytes = snapshot.bytes.len() as u64;
        match loaded.capability.begin_from(snapshot).await {
            Ok(()) => Ok(Some(bytes)),
            Err(_) if taking.discard_state => Ok(None),
            Err(error) => {
                let error = KernelError::StateRefused {
                    what,
                    version: loaded.manifest.version.to_string(),
                    why: error.to_string(),
                };
                Err(Refused {
                    fault: error.into(),
                    its_fault: true,
                })
            }
        }
    }
}

/// Does what need not wait until the old version stops: the new instance is made and started, and the memory that the state
/// will take on its way is there. Pages that nobody touched yet cost several times what copying into them does. What fails
/// here is found again, with its reason, where it counts.
async fn get_ready(current: &Capsule, loaded: &Loaded) {
    // A guess: to ask the old version for its state would hold up its calls.
    let bytes = current.capability.state_bytes_likely().await;
    if let Err(error) = loaded.capability.get_ready(bytes).await {
        tracing::debug!(urn = %loaded.manifest.id, "no instance was made ahead: {error}");
    }
    // Twice: the first time may only show the allocator how large a piece it is to keep.
    for _ in 0..2 {
        drop(std::hint::black_box(vec![1_u8; bytes.saturating_add(bytes / 8)]));
    }
}
