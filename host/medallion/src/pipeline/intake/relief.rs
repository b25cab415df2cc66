//! Another stream buffer: handing over to it, and waiting for it where the one before failed.

use kinetic_kernel::Occupant;
use tokio::sync::oneshot;

use super::super::HandingOver;
use super::Intake;
use crate::MedallionError;

impl Intake {
    /// Brings another buffer to where this one is, and takes nothing until it begins or is dropped.
    pub(super) async fn hand_over(
        &mut self,
        component: Occupant,
        discard_state: bool,
        answer: oneshot::Sender<Result<HandingOver, MedallionError>>,
    ) {
        let place = (self.next_offset, self.totals);
        let next = match self.keeper.prepare(component, place, discard_state).await {
            Ok(next) => next,
            Err(refused) => {
                let _ = answer.send(Err(refused));
                return;
            }
        };
        let (handing_over, begun) = HandingOver::ready(next.state_bytes());
        let _ = answer.send(Ok(handing_over));
        if begun.await.is_ok() {
            self.keeper.take_in(next);
        }
    }

    /// Waits for the component that comes in the place of one that failed; answers others meanwhile.
    pub(super) async fn wait_relief(&mut self) {
        while let Some(left) = self.keeper.strikes().relief() {
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                Some(ask) = self.asks.recv() => self.answer(ask).await,
            }
        }
    }
}
