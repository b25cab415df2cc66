//! Handing a component's work over: another one is brought to where it stopped, and the work waits until the choice stands
//! in the ledger.

use tokio::sync::oneshot;

/// A component that stands ready; the work waits for it. Dropped, the one before goes on.
#[derive(Debug)]
pub struct HandingOver {
    state_bytes: Option<u64>,
    begins: oneshot::Sender<()>,
}

impl HandingOver {
    /// It took over so many bytes of state. The other end hears when it begins, or that it never will.
    pub(crate) fn ready(state_bytes: Option<u64>) -> (Self, oneshot::Receiver<()>) {
        let (begins, begun) = oneshot::channel();
        (Self { state_bytes, begins }, begun)
    }

    /// Bytes of state it took over; none when there was none to take.
    pub const fn state_bytes(&self) -> Option<u64> {
        self.state_bytes
    }

    /// It works from here on.
    pub fn begin(self) {
        // Nobody hears it when the host is stopping: at the next start the ledger says who works.
        let _ = self.begins.send(());
    }
}
