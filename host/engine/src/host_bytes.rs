//! Bytes a guest hands to host streams during one call, summed against one limit.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what goes from guest to host through streams (logs, request bodies); shared by all of a call's streams.
#[derive(Debug)]
pub struct HostBytes {
    used: AtomicU64,
    /// What the same call has spent in another process.
    elsewhere: AtomicU64,
    bytes_max: AtomicU64,
}

/// The limit on bytes to host functions is reached; ends the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostBytesExceeded;

impl std::fmt::Display for HostBytesExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many bytes to host functions")
    }
}

impl std::error::Error for HostBytesExceeded {}

impl HostBytes {
    /// A meter that allows so many bytes.
    pub fn new(bytes_max: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            bytes_max: AtomicU64::new(bytes_max),
        }
    }

    /// Spends bytes.
    ///
    /// # Errors
    /// When the sum passes the limit; the error ends the call as `HostCallTooLarge`.
    pub fn spend(&self, bytes: usize) -> Result<(), impl std::error::Error + Send + Sync + 'static + use<>> {
        let used = self
            .used
            .fetch_add(bytes as u64, Ordering::Relaxed)
            .saturating_add(bytes as u64)
            .saturating_add(self.elsewhere.load(Ordering::Relaxed));
        if used > self.bytes_max.load(Ordering::Relaxed) {
            Err(HostBytesExceeded)
        } else {
            Ok(())
        }
    }

    /// Bytes that can still be spent.
    pub fn left(&self) -> u64 {
        let used = self.used().saturating_add(self.elsewhere.load(Ordering::Relaxed));
        self.bytes_max.load(Ordering::Relaxed).saturating_sub(used)
    }

    /// What was spent before is not this call's.
    pub(crate) fn begin_call(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
    }

    /// What the same call has spent in another process counts against the same limit; it never becomes less.
    pub(crate) fn spent_elsewhere(&self, bytes: u64) {
        self.elsewhere.fetch_max(bytes, Ordering::Relaxed);
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
