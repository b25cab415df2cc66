//! An instance that is made before its predecessor stops, so that nobody has to wait for what can be done ahead.

use kinetic_model::Usage;

use crate::capability::Loaded;
use crate::lifecycle::Lifecycle;
use crate::resident::Live;
use crate::{Capability, EngineError};

/// From how many bytes on memory is asked for ahead: below, touching it takes less than asking.
const AHEAD_BYTES_MIN: usize = 256 << 10;

impl Capability {
    /// Makes and starts the one instance for a [`Capability::begin_from`] that comes soon, with a state of about so many
    /// bytes; zero when nobody knows. No call reaches it before the state does. Nothing where no instance stays or there is
    /// no lifecycle.
    ///
    /// # Errors
    /// `LifecycleRefused`, and what else ends a call; `begin_from` then makes an instance itself.
    pub async fn get_ready(&self, state_bytes: usize) -> Result<(), EngineError> {
        let loaded = &*self.0;
        let (Some(kept), Some(lifecycle)) = (&loaded.kept, &loaded.lifecycle) else {
            return Ok(());
        };
        let mut slot = kept.slot_for_host(loaded).await?;
        loaded.fence.pass()?;
        let _running = loaded.shared.ticker.running();
        let ready = loaded.begun(None, loaded.deadline(), &mut Usage::default()).await?;
        slot.ready = match with_memory(ready, loaded, lifecycle, state_bytes).await {
            Some(ready) => Some(ready),
            None => Some(loaded.begun(None, loaded.deadline(), &mut Usage::default()).await?),
        };
        Ok(())
    }

    /// How large the state of the one instance may be, in bytes: as large as the one it began with, and where it began
    /// without, as the memory it has; no larger than it may be. Zero without an instance.
    pub async fn state_bytes_likely(&self) -> usize {
        let Some(kept) = &self.0.kept else { return 0 };
        let Ok(slot) = kept.slot_for_host(&self.0).await else {
            return 0;
        };
        let bytes = match (&slot.beginning, &slot.live) {
            (Some(beginning), _) => beginning.bytes.len() as u64,
            (None, Some(live)) => live.store.data().memory.bytes(),
            (None, None) => 0,
        };
        usize::try_from(bytes.min(self.0.limits.output_bytes)).unwrap_or(usize::MAX)
    }
}

/// Has the memory of an instance grown and touched for a state of so many bytes, and for what the component makes of it:
/// pages that nobody touched yet cost several times what copying into them does. It is shown bytes in a format that no
/// version reads; the contract has it say so, and be as before. None when it said anything else: then it is not known to be
/// as before.
async fn with_memory(mut ready: Live, loaded: &Loaded, lifecycle: &Lifecycle, state_bytes: usize) -> Option<Live> {
    let memory_bytes = usize::try_from(loaded.limits.memory_bytes).unwrap_or(usize::MAX);
    // The state as it is given, and as it is kept. No more than half of what it may have: the rest is for its work.
    let bytes = state_bytes
        .saturating_mul(2)
        .saturating_add(state_bytes / 4)
        .min(memory_bytes / 2);
    if state_bytes < AHEAD_BYTES_MIN {
        return Some(ready);
    }
    match ready.refuse_state(loaded, lifecycle, bytes, loaded.deadline()).await {
        Ok(true) => Some(ready),
        Ok(false) => None,
        Err(error) => {
            tracing::debug!("no memory was made ahead: {error}");
            None
        }
    }
}
