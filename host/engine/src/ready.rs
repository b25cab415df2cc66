//! An instance that is made before its predecessor stops, so that nobody has to wait for what can be done ahead.

use kinetic_model::Usage;

use crate::{Capability, EngineError};

impl Capability {
    /// Makes and starts the one instance for a [`Capability::begin_from`] that comes soon. No call reaches it before the
    /// state does. Nothing where no instance stays or there is no lifecycle.
    ///
    /// # Errors
    /// `LifecycleRefused`, and what else ends a call; `begin_from` then makes an instance itself.
    pub async fn get_ready(&self) -> Result<(), EngineError> {
        let loaded = &*self.0;
        let (Some(kept), Some(_)) = (&loaded.kept, &loaded.lifecycle) else {
            return Ok(());
        };
        let mut slot = kept.slot_for_host(loaded).await?;
        loaded.fence.pass()?;
        let _running = loaded.shared.ticker.running();
        slot.ready = Some(loaded.begun(None, loaded.deadline(), &mut Usage::default()).await?);
        Ok(())
    }

    /// How large the state was that the one instance began with, in bytes; zero when it began without.
    pub async fn began_with_bytes(&self) -> usize {
        let Some(kept) = &self.0.kept else { return 0 };
        let slot = kept.slot_for_host(&self.0).await;
        slot.map_or(0, |slot| slot.beginning.as_ref().map_or(0, |state| state.bytes.len()))
    }
}
