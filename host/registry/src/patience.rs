//! How long a registry is waited for, and how slowly what it sends may come.

use std::time::Duration;

/// How long a registry is waited for. By default a minute for what it says, and 16 KiB in ten seconds of what it sends, which
/// are about 1.6 KiB/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The longest it may take to say what it has, over all it is asked for that. Everyone is waited for, so one that
    /// trickles would keep what the others have from being called.
    pub answer: Duration,
    /// In each span of this length...
    pub window: Duration,
    /// ...so many bytes of a component must come, unless that was all of it.
    pub window_bytes_min: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_mins(1),
            window: Duration::from_secs(10),
            window_bytes_min: 16_384,
        }
    }
}
