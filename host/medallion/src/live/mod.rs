//! Hands events to those who watch, as server-sent events (WHATWG HTML, 9.2), the newest from memory and all others from
//! what is kept.
//!
//! Events come in batches of [`crate::event::schema`], numbered one after the other by an offset. The newest lie in a ring
//! bounded in bytes, and whoever watches is no more than a place in them and a filter: no events are queued for anybody,
//! so who reads slowly costs nobody else, and reads from the [`History`] what has left the ring. The text of events is
//! made when somebody first wants it, and then shared.
//!
//! A frame is `id: {offset}-{row}`, `event: {topic}` and `data: ` with one line of JSON: `stream`, `sequence`, `priority`
//! (its name), `received_unix_ns`, `workflow_id`, `intent_id`, `node_cid`, `kind` and `data`, which is the event's own JSON
//! where that is an object or an array (its line breaks as blanks), and a text otherwise. What is missing is null.

mod batch;
mod cursor;
mod filter;
mod frame;
mod hub;
mod id;
mod numbered;
mod pending;
mod ring;
mod subscriber;
#[cfg(test)]
mod tests;
mod throttle;
mod topic;

use arrow_array::RecordBatch;
use bytes::Bytes;

pub use filter::{FILTER_TERMS_MAX, Filter};
pub use hub::Live;
pub use id::EventId;
pub use subscriber::Subscriber;
pub use throttle::{HZ_MAX, HZ_MIN, Throttle, Throttled};

use crate::MedallionError;

/// Bounds of what is held for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// The newest events and their texts, in bytes; 64 MiB by default. The newest batch stays whatever it takes.
    pub ring_bytes_max: u64,
    /// What was lately read from the history, and its texts, in bytes; 64 MiB by default. The last batch stays whatever it
    /// takes.
    pub replay_bytes_max: u64,
    /// How many may watch at once; 1,024 by default.
    pub subscribers_max: usize,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            ring_bytes_max: 64 << 20,
            replay_bytes_max: 64 << 20,
            subscribers_max: 1_024,
        }
    }
}

/// Where events are read from that are no longer in memory.
pub trait History: Send + Sync + 'static {
    /// The kept events of a batch, in the schema of events: one of no rows where none of its events were kept, and none
    /// when there is no such batch (yet). It may block.
    ///
    /// # Errors
    /// [`MedallionError::Removed`] for a batch that retention removed; any other when it cannot be read.
    fn batch(&self, offset: u64) -> Result<Option<RecordBatch>, MedallionError>;

    /// The oldest batch that can be read. It does not block.
    fn oldest(&self) -> u64;
}

/// Where watching begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With the next event.
    #[default]
    Now,
    /// Behind this one.
    After(EventId),
    /// With the oldest event that is kept.
    Oldest,
}

/// Frames, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    /// Whole frames of server-sent events, each with the empty line behind it.
    pub bytes: Bytes,
    /// How many events they hold.
    pub events: u64,
    /// The last of these.
    pub last: EventId,
}
