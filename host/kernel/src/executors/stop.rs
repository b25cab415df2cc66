//! Asking a task to stop: it ends between two calls, never within one.

use std::time::Duration;

use tokio::sync::watch;

/// Whether a task was asked to stop; so it is, too, when nobody is left who could ask.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it is asked.
    pub(crate) async fn asked(&mut self) {
        // An error means that nobody is left.
        let _ = self.0.wait_for(|asked| *asked).await;
    }

    /// Waits so long; `true` when it was asked meanwhile.
    pub(crate) async fn within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.asked()).await.is_ok()
    }
}
