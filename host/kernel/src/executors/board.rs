//! How each trigger's last call went, for whoever looks.

use std::collections::BTreeMap;

use kinetic_model::Urn;
use parking_lot::Mutex;
use serde::Serialize;

use super::Trigger;
use crate::unix_ms;

/// What is kept of why a call did not go well.
const WHY_CHARS_MAX: usize = 300;

/// How a trigger stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriggerState {
    /// When it calls: `topic orders.placed.v1`, `every 60 s`, `cron */5 * * * *`.
    pub when: String,
    /// The function it calls.
    pub function: String,
    /// How its last call went; none when there was none since the host started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastCall>,
}

/// How a trigger's last call went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastCall {
    /// When it ended, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// How it went.
    pub result: LastResult,
    /// Why it did not go well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The name of its receipt in the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt_id: Option<String>,
}

/// How a call went that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LastResult {
    /// It returned well.
    Ok,
    /// It returned an error, trapped, or passed a limit.
    Failed,
    /// It was not made, or not to its end, for no fault of its own: the capsule is suspended, the host busy, the topic
    /// not there.
    Waiting,
}

/// The last call of each trigger.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<(Urn, Trigger), LastCall>>);

impl Board {
    pub(super) fn note(&self, key: &(Urn, Trigger), result: LastResult, why: Option<&str>, receipt_id: Option<String>) {
        let last = LastCall {
            at_unix_ms: unix_ms(),
            result,
            why: why.map(|why| why.chars().take(WHY_CHARS_MAX).collect()),
            receipt_id,
        };
        self.0.lock().insert(key.clone(), last);
    }

    pub(super) fn forget(&self, key: &(Urn, Trigger)) {
        self.0.lock().remove(key);
    }

    /// How the triggers of a capsule stand.
    pub(crate) fn states(&self, urn: &Urn, triggers: &[Trigger]) -> Vec<TriggerState> {
        let lasts = self.0.lock();
        let state = |trigger: &Trigger| TriggerState {
            when: trigger.when.to_string(),
            function: trigger.function.clone(),
            last: lasts.get(&(urn.clone(), trigger.clone())).cloned(),
        };
        triggers.iter().map(state).collect()
    }
}
