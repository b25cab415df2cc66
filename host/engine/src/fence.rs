//! The fence of one loaded component: once closed its running calls are refused, and nothing of them is committed.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::{Capability, EngineError};

/// Set for good when the fence closes; the bits below count the commits under way.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// One word, so that no commit can begin between the closing and the counting.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    word: AtomicUsize,
    idle: Notify,
    shut: Notify,
}

/// Ends a call whose fence was closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FenceClosed;

impl std::fmt::Display for FenceClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the component was replaced")
    }
}

impl std::error::Error for FenceClosed {}

/// A commit under way: while one is held, closing the fence waits.
#[must_use = "the commit is under way only while this is held"]
#[derive(Debug)]
pub struct Committing<'a>(&'a Fence);

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        if self.0.word.fetch_sub(1, Ordering::AcqRel) == CLOSED + 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Fence {
    pub(crate) fn is_closed(&self) -> bool {
        self.word.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Refuses what would begin behind a closed fence.
    pub(crate) fn pass(&self) -> Result<(), EngineError> {
        if self.is_closed() {
            return Err(EngineError::Fenced {});
        }
        Ok(())
    }

    fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
        self.shut.notify_waiters();
    }

    fn committing(&self) -> Result<Committing<'_>, EngineError> {
        let begun = |word: usize| (word & CLOSED == 0).then_some(word + 1);
        match self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, begun) {
            Ok(_) => Ok(Committing(self)),
            Err(_) => Err(EngineError::Fenced {}),
        }
    }

    /// Returns when it is closed.
    pub(crate) async fn closed(&self) {
        let mut notified = pin!(self.shut.notified());
        // Before the look: a closing in between would wake nobody.
        notified.as_mut().enable();
        if !self.is_closed() {
            notified.await;
        }
    }

    /// Returns when no commit is under way; only behind a closed fence does it stay so.
    async fn drained(&self) {
        loop {
            let mut notified = pin!(self.idle.notified());
            // Before the look: a commit that ends in between would wake nobody.
            notified.as_mut().enable();
            if self.word.load(Ordering::Acquire) & !CLOSED == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Capability {
    /// Closes the fence for good, at once; the future ends when no commit is under way any more, and none can begin after.
    ///
    /// Calls that are still running are refused at their next host call, at the latest at the next tick; calls that would
    /// begin are refused. All that came from one load is behind the same fence, whatever limits it has.
    pub fn fence(&self) -> impl Future<Output = ()> + Send + use<> {
        let fence = self.0.fence.clone();
        fence.close();
        async move { fence.drained().await }
    }

    /// Whether the fence is closed.
    pub fn is_fenced(&self) -> bool {
        self.0.fence.is_closed()
    }

    /// Says that what a call did is being made lasting, until the guard is dropped. Keep it short: the fence waits for it.
    ///
    /// # Errors
    /// `Fenced`: it must not be made lasting any more.
    pub fn committing(&self) -> Result<Committing<'_>, EngineError> {
        self.0.fence.committing()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn behind_a_closed_fence_nothing_is_committed() {
        let fence = Fence::default();
        drop(fence.committing().unwrap());
        assert!(fence.pass().is_ok());
        fence.close();
        assert!(matches!(fence.committing(), Err(EngineError::Fenced {})));
        assert!(matches!(fence.pass(), Err(EngineError::Fenced {})));
    }

    #[tokio::test]
    async fn whoever_waits_for_the_fence_to_close_is_woken_also_when_it_is_closed_already() {
        let fence = Fence::default();
        let mut closed = pin!(fence.closed());
        let soon = Duration::from_millis(5);
        assert!(tokio::time::timeout(soon, closed.as_mut()).await.is_err());
        fence.close();
        closed.await;
        fence.closed().await;
    }

    #[tokio::test]
    async fn the_fence_waits_for_every_commit_that_began_before_it_closed() {
        let fence = Fence::default();
        let (first, second) = (fence.committing().unwrap(), fence.committing().unwrap());
        fence.close();
        let mut drained = pin!(fence.drained());
        let soon = Duration::from_millis(5);
        assert!(tokio::time::timeout(soon, drained.as_mut()).await.is_err());
        drop(first);
        assert!(tokio::time::timeout(soon, drained.as_mut()).await.is_err());
        drop(second);
        drained.await;
        fence.drained().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_commit_is_seen_after_the_fence_has_drained() {
        for _ in 0..200 {
            let fence = Arc::new(Fence::default());
            let under_way = Arc::new(AtomicUsize::new(0));
            let committer = tokio::spawn({
                let (fence, under_way) = (fence.clone(), under_way.clone());
                async move {
                    while let Ok(_guard) = fence.committing() {
                        under_way.fetch_add(1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        under_way.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            });
            tokio::task::yield_now().await;
            fence.close();
            fence.drained().await;
            assert_eq!(under_way.load(Ordering::SeqCst), 0);
            committer.await.unwrap();
        }
    }
}
