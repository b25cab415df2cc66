//! Handing each event to a hundred who watch: in memory, and as server-sent events from a real host.

pub mod http;
pub mod memory;
mod watchers;

/// Those who watch.
const WATCHERS: usize = 100;
