//! The shadow run: recorded calls are made again with the new version, without effects, before anybody relies on it.

use std::sync::Arc;

use kinetic_engine::behind;
use kinetic_model::{Determinism, Fault};

use super::Shadow;
use crate::admission::Loaded;
use crate::{Capsule, Kernel, Replayed};

/// Records looked at, from the newest one back.
const RECORDS_MAX: u64 = 20_000;
/// Records read at once.
const PAGE: u64 = 256;

impl Kernel {
    /// Makes the last recorded calls again with the new version, where the tier promises that they can be.
    pub(super) async fn shadow(&self, current: &Capsule, loaded: &Loaded) -> Result<Shadow, Fault> {
        let mut shadow = Shadow::default();
        let promises = |tier| matches!(tier, Determinism::D0BitExact | Determinism::D1NumericallyStable);
        let tiers = [&current.manifest, &loaded.manifest].map(|manifest| manifest.governance.determinism);
        let (Some(ledger), [true, true]) = (self.ledger(), tiers.map(promises)) else {
            return Ok(shadow);
        };
        let calls_max = self.settings().shadow_calls;
        // A capsule of its own: nothing of the run counts as a call of the version.
        let candidate = Arc::new(Capsule::new(loaded.clone(), 0));
        let mut end = ledger.visible();
        let oldest = end.saturating_sub(RECORDS_MAX).max(ledger.horizon());
        while shadow.calls < calls_max && end > oldest {
            let from = end.saturating_sub(PAGE).max(oldest);
            let (reading, count) = (ledger.clone(), usize::try_from(end - from).unwrap_or(0));
            let records = behind(async move { reading.read(from, count) })
                .await
                .map_err(|error| Fault::from(&error))??;
            for record in records.iter().rev() {
                if shadow.calls >= calls_max {
                    break;
                }
                // Between any two of them a call may take the thread.
                tokio::task::yield_now().await;
                let replayed = self.replay(record, &current.manifest.id, Some(&candidate)).await;
                match replayed {
                    Ok(Replayed::Same) => shadow.calls += 1,
                    Ok(Replayed::Diverged { then, now, why }) => {
                        shadow.calls += 1;
                        shadow.differences += 1;
                        shadow.first.get_or_insert_with(|| {
                            let (then, now) = (then.brief(), now.brief());
                            let why = why.map_or_else(String::new, |why| format!(" ({why})"));
                            format!("record {}: then {then}, now {now}{why}", record.seq)
                        });
                    }
                    // One that cannot be read or made again says nothing about the new version.
                    Ok(Replayed::Other | Replayed::Skipped(_)) | Err(_) => {}
                }
            }
            end = from;
        }
        Ok(shadow)
    }
}
