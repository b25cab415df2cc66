//! The sandboxes of a call: its own, and those of the calls it makes of other capsules.

use tokio::sync::SemaphorePermit;

use crate::{Capability, EngineError};

impl Capability {
    /// How many calls deep a call may go: 1 where it calls no other capsule.
    pub fn depth(&self) -> u32 {
        let deepest = self.0.peers.iter().map(|peer| peer.depth()).max();
        deepest.unwrap_or(0).saturating_add(1)
    }

    /// The sandboxes of a call and of all calls it may make below it, taken at once: calls that each hold one and wait for
    /// another would wait for ever. A call that was given some by its caller takes none.
    pub(crate) async fn sandboxes(
        &self,
        given: u32,
        deadline: tokio::time::Instant,
    ) -> Result<(Option<SemaphorePermit<'_>>, u32), EngineError> {
        if given > 0 {
            return Ok((None, given));
        }
        let (shared, wanted) = (&self.0.shared, self.depth());
        let full = || EngineError::PoolFull {
            instances: shared.config.pool_instances.into(),
        };
        if wanted > shared.config.pool_instances {
            return Err(full());
        }
        let permits = match shared.permits.try_acquire_many(wanted) {
            Ok(permits) => permits,
            Err(_) => match tokio::time::timeout_at(deadline, shared.permits.acquire_many(wanted)).await {
                Ok(Ok(permits)) => permits,
                _ => return Err(full()),
            },
        };
        Ok((Some(permits), wanted))
    }
}
