//! Another silver gate: handing over to it, and making silver anew where its ids are of another scheme.

use kinetic_kernel::Occupant;
use tokio::sync::oneshot;

use super::super::{HandingOver, SILVER_GATE};
use super::Storage;
use crate::MedallionError;

impl Storage {
    /// Starts another gate, and stores nothing until it begins or is dropped.
    pub(super) async fn hand_over(
        &mut self,
        component: Occupant,
        anew: bool,
        answer: oneshot::Sender<Result<HandingOver, MedallionError>>,
    ) {
        let prepared = self.refiner.prepare(component, anew).await;
        // Before anything changes: silver that cannot be made anew is not given up.
        let prepared = prepared.and_then(|next| {
            if next.changed {
                self.silver_is_other(&next.schema)
                    .map_err(|error| MedallionError::SwapRefused {
                        subsystem: SILVER_GATE.into(),
                        why: error.to_string(),
                    })?;
            }
            Ok(next)
        });
        let next = match prepared {
            Ok(next) => next,
            Err(refused) => {
                let _ = answer.send(Err(refused));
                return;
            }
        };
        let (handing_over, begun) = HandingOver::ready(None);
        let _ = answer.send(Ok(handing_over));
        if begun.await.is_err() {
            return;
        }
        let changed = next.changed;
        self.refiner.take_in(next);
        if changed {
            let stored = self.state.stored_offset;
            let reopened = self.reopen(stored).await;
            // Boxed: repairing answers questions too.
            Box::pin(self.after(reopened, stored)).await;
        }
    }
}
