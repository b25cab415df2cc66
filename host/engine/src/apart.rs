//! Work that is done apart from the calls: on a thread of its own, so that no call waits for the thread it would run on, and
//! if need be with a lower priority, so that calls come first.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::EngineError;

/// How many nice levels lower the priority is: where calls want a processor for themselves, a tenth of it is left, and all of
/// it where they do not. Not less: on a host that is always busy the work must come to its end, too.
pub(crate) const NICENESS: i32 = 10;
/// How many times as long a step may take whose thread has that priority: it is slow because others were let go first.
const PATIENCE_TIMES: u32 = 4;

/// Does work behind the calls: compiling, checking, linking. A process that it starts has the low priority, too. Nothing
/// that runs a guest belongs here: a guest's time is measured by the clock, and it would be blamed for waiting.
///
/// # Errors
/// `NotApart`, when there is no thread for it or the work panicked.
pub async fn behind<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, EngineError> {
    on_a_thread("kinetic-behind", lower_priority, work).await
}

/// Does work beside the calls, with the same priority: for what keeps a thread busy for milliseconds at a time.
///
/// # Errors
/// As [`behind`]'s.
pub async fn beside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, EngineError> {
    on_a_thread("kinetic-beside", || {}, work).await
}

async fn on_a_thread<T: Send + 'static>(
    name: &str,
    first: impl FnOnce() + Send + 'static,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, EngineError> {
    let runtime = Handle::current();
    let (mut told, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            first();
            let ended = runtime.block_on(async {
                tokio::select! {
                    // First of all: when nobody waits any more the host stops, and nothing may be begun.
                    biased;
                    () = told.closed() => None,
                    ended = work => Some(ended),
                }
            });
            if let Some(ended) = ended {
                let _ = told.send(ended);
            }
        })
        .map_err(|error| EngineError::NotApart { why: error.to_string() })?;
    ended.await.map_err(|_| EngineError::NotApart {
        why: "it ended without a result".into(),
    })
}

/// Gives this thread, and what it starts, way before all others. Linux alone has priorities of threads.
pub(crate) fn lower_priority() {
    // On a host that stands back as far itself, it would be given more.
    #[cfg(target_os = "linux")]
    if rustix::process::getpriority_process(None).is_ok_and(|own| own < NICENESS)
        && let Err(error) = rustix::process::setpriority_process(None, NICENESS)
    {
        tracing::warn!("a thread that should stand back keeps its priority: {error}");
    }
}

/// How long a step may take on this thread.
pub(crate) fn patience(usual: Duration) -> Duration {
    let niceness = rustix::process::getpriority_process(None).unwrap_or(0);
    if niceness >= NICENESS {
        usual.saturating_mul(PATIENCE_TIMES)
    } else {
        usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_done_behind_the_calls_has_a_lower_priority_and_nobody_else_has() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let minute = Duration::from_mins(1);
        let (within, patient) = behind(async move { (niceness(), patience(minute)) }).await.unwrap();
        assert_eq!((within, patient), (before.max(NICENESS), minute * PATIENCE_TIMES));
        assert_eq!(beside(async move { niceness() }).await.unwrap(), before);
        assert_eq!(niceness(), before);
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error_of_who_asked_for_it() {
        let done: Result<(), _> = beside(async { panic!("on purpose") }).await;
        assert!(matches!(done, Err(EngineError::NotApart { .. })), "{done:?}");
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_dropped() {
        struct Told(Option<oneshot::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(());
            }
        }
        let (tell, told) = oneshot::channel();
        let (began, begun) = oneshot::channel();
        let held = Told(Some(tell));
        let work = tokio::spawn(beside(async move {
            let _held = held;
            let _ = began.send(());
            std::future::pending::<()>().await;
        }));
        begun.await.unwrap();
        work.abort();
        tokio::time::timeout(Duration::from_secs(30), told)
            .await
            .unwrap()
            .unwrap();
    }
}
