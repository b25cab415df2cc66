//! The log: segment files, group commit, recovery. It knows records and their hashes, not what is in them.

mod append;
mod disk;
mod frame;
mod marks;
mod recovery;
mod retain;
mod scan;
mod segment;
mod sync;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use append::{Log, Ticket};
pub use disk::{Disk, DiskFile, SystemDisk};
pub(crate) use frame::Leaf;
pub(crate) use scan::Frames;
pub use scan::Record;
pub(crate) use segment::{SEGMENT_HEADER_BYTES, SegmentHeader, list_segments};

use std::time::Duration;

/// Settings of the log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Size at which a new segment file begins, in bytes; a larger record gets a file of its own.
    pub segment_bytes: u64,
    /// How soon what was only written is synced.
    pub sync_within: Duration,
    /// How long the syncing thread waits for more commits to share one sync.
    pub linger_max: Duration,
    /// A checkpoint is signed after so many records...
    pub checkpoint_records: u64,
    /// ...or so much time after the last, whichever comes first, if there is something new.
    pub checkpoint_within: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            sync_within: Duration::from_millis(10),
            linger_max: Duration::from_micros(200),
            checkpoint_records: 65_536,
            checkpoint_within: Duration::from_secs(1),
        }
    }
}
