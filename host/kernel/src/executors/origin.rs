//! What made a call happen, as its record tells it.

use kinetic_ledger::bus::OffsetCommit;
use serde::Serialize;

/// What a call is made for. Nothing, when somebody asked for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// What its receipt names.
    pub(crate) called_by: Option<CalledBy>,
    /// The positions that its record commits when it returns well: it happens once for each event.
    pub(crate) consumed: Vec<OffsetCommit>,
}

/// Who called, when nobody asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CalledBy {
    /// An event.
    Event {
        topic: String,
        partition: u16,
        offset: u64,
        id: String,
    },
    /// The clock. The name of the tick is unique in the ledger and says no time: receipts have none.
    Clock { schedule: String, tick: String },
}

impl Origin {
    /// A tick of the clock.
    pub(super) const fn clock(schedule: String, tick: String) -> Self {
        Self {
            called_by: Some(CalledBy::Clock { schedule, tick }),
            consumed: Vec::new(),
        }
    }
}
