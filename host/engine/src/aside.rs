//! Calls that run for long go on aside, in threads of low priority: whoever is quick never waits for whoever is not.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Guest time after which a call is a long one, and goes on in threads of low priority.
pub const LONG_AFTER: Duration = Duration::from_millis(2);
/// Nice levels below the host's own threads: a tenth of their share where they want all, everything where they do not.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

thread_local! {
    /// A guest that runs for long just let others run, in this thread.
    static NOTICED: Cell<bool> = const { Cell::new(false) };
    /// This is one of the threads aside.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
    /// In such a thread: the host's own threads, whose calls come here.
    static HOME: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Called when a guest lets others run, with the time it ran for.
pub(crate) fn yields(spent: Duration) {
    if spent >= LONG_AFTER {
        NOTICED.set(true);
    }
}

/// Begins work that outlasts the call in which it begins and serves others as well: among the host's own threads, also when
/// that call runs aside. Begun there, it would keep the low priority, and so would every process that it starts. Only within
/// a runtime, as with every task.
pub fn spawn_at_home<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let home = HOME.with_borrow(Clone::clone);
    match home {
        Some(home) => home.spawn(work),
        None => tokio::spawn(work),
    }
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The threads aside; there are none before the first long call.
#[derive(Default)]
pub(crate) struct Aside {
    threads: OnceLock<Option<Runtime>>,
    there: Arc<There>,
}

/// How much work is aside, also what nobody waits for any more.
#[derive(Default)]
struct There {
    count: AtomicUsize,
    none: Notify,
}

/// Work aside is counted until all that it held is given back.
struct Counted(Arc<There>);

impl Counted {
    fn of(there: &Arc<There>) -> Self {
        there.count.fetch_add(1, Ordering::AcqRel);
        Self(there.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

/// Work as it runs aside. The order counts: dropped before it began, the work goes first as well.
struct Gone<T> {
    work: Work<T>,
    _counted: Counted,
}

impl<T> Future for Gone<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.work.as_mut().poll(context)
    }
}

impl Aside {
    fn handle(&self) -> Option<&Handle> {
        let runtime = self.threads.get_or_init(|| {
            let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let home = Handle::try_current().ok();
            let started = Builder::new_multi_thread()
                .worker_threads(threads)
                .thread_name("long-calls")
                .on_thread_start(move || lower(home.clone()))
                .enable_all()
                .build();
            started
                .inspect_err(|error| {
                    tracing::warn!("long calls stay among the short ones: no threads for them: {error}")
                })
                .ok()
        });
        runtime.as_ref().map(Runtime::handle)
    }

    /// Runs work here until a guest in it has run for long, then aside; `at_once` begins there. None when the work ended
    /// without a result.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        at_once: bool,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let work: Work<T> = Box::pin(work);
        let at = match self.handle_if(at_once) {
            Some(handle) => At::Aside(self.spawn(handle, work)),
            None => At::Here(work),
        };
        Moving { aside: self, at }.await
    }

    fn spawn<T: Send + 'static>(&self, handle: &Handle, work: Work<T>) -> JoinHandle<T> {
        handle.spawn(Gone {
            work,
            _counted: Counted::of(&self.there),
        })
    }

    /// Returns when no work is aside; `false` when that took longer.
    pub(crate) async fn is_over(&self, within: Duration) -> bool {
        let over = async {
            loop {
                let mut none = pin!(self.there.none.notified());
                // Before the look: what ends in between would wake nobody.
                none.as_mut().enable();
                if self.there.count.load(Ordering::Acquire) == 0 {
                    return;
                }
                none.await;
            }
        };
        tokio::time::timeout(within, over).await.is_ok()
    }

    fn handle_if(&self, wanted: bool) -> Option<&Handle> {
        if wanted && !ASIDE.get() { self.handle() } else { None }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Not by itself: a runtime that is dropped waits for its threads, which no async thread may do.
        if let Some(runtime) = self.threads.take().flatten() {
            runtime.shutdown_background();
        }
    }
}

/// Gives this thread way before all others. Linux alone has priorities of threads.
fn lower(home: Option<Handle>) {
    ASIDE.set(true);
    HOME.set(home);
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!("long calls run beside short ones as equals: {error}");
    }
}

enum At<T> {
    Here(Work<T>),
    Aside(JoinHandle<T>),
    Over,
}

/// Work that moves when it is noticed.
struct Moving<'a, T> {
    aside: &'a Aside,
    at: At<T>,
}

impl<T: Send + 'static> Future for Moving<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let aside = this.aside;
        if let At::Here(work) = &mut this.at {
            NOTICED.set(false);
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                this.at = At::Over;
                return Poll::Ready(Some(result));
            }
            let Some(handle) = aside.handle_if(NOTICED.take()) else {
                return Poll::Pending;
            };
            match std::mem::replace(&mut this.at, At::Over) {
                At::Here(work) => this.at = At::Aside(aside.spawn(handle, work)),
                other => this.at = other,
            }
        }
        let At::Aside(joined) = &mut this.at else {
            return Poll::Ready(None);
        };
        let Poll::Ready(result) = Pin::new(joined).poll(context) else {
            return Poll::Pending;
        };
        this.at = At::Over;
        Poll::Ready(result.ok())
    }
}

impl<T> Drop for Moving<'_, T> {
    fn drop(&mut self) {
        // Whoever waits is gone, and the guest with them: at its next look at the clock, a tick away at most.
        if let At::Aside(joined) = &self.at {
            joined.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    async fn long() -> bool {
        yields(LONG_AFTER);
        tokio::task::yield_now().await;
        ASIDE.get()
    }

    #[tokio::test]
    async fn work_moves_when_a_guest_in_it_ran_for_long_and_stays_when_it_did_not() {
        let aside = Aside::default();
        assert_eq!(aside.run(false, long()).await, Some(true));
        let short = async {
            yields(Duration::from_micros(1999));
            tokio::task::yield_now().await;
            ASIDE.get()
        };
        assert_eq!(aside.run(false, short).await, Some(false));
        assert_eq!(aside.run(true, async { ASIDE.get() }).await, Some(true));
    }

    #[tokio::test]
    async fn work_within_moved_work_does_not_move_again() {
        let aside = Arc::new(Aside::default());
        let within = aside.clone();
        let work = async move { (long().await, within.run(true, long()).await) };
        assert_eq!(aside.run(false, work).await, Some((true, Some(true))));
    }

    #[tokio::test]
    async fn what_outlasts_a_call_aside_begins_among_the_others() {
        let aside = Aside::default();
        let (tell, told) = tokio::sync::oneshot::channel();
        let work = async move {
            spawn_at_home(async move {
                let _ = tell.send(ASIDE.get());
            });
            ASIDE.get()
        };
        assert_eq!(aside.run(true, work).await, Some(true));
        assert_eq!(told.await, Ok(false));
    }

    #[tokio::test]
    async fn work_that_panics_aside_gives_nothing() {
        let aside = Aside::default();
        let work = async {
            assert!(!long().await, "on purpose");
        };
        assert_eq!(aside.run(false, work).await, None);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_ends() {
        struct Ended(Arc<AtomicBool>);
        impl Drop for Ended {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (aside, ended) = (Aside::default(), Arc::new(AtomicBool::new(false)));
        let mark = Ended(ended.clone());
        let forever = async move {
            let _mark = mark;
            loop {
                long().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_millis(50), aside.run(false, forever)).await;
        assert!(waited.is_err());
        assert!(aside.is_over(Duration::from_secs(30)).await, "it goes on");
        assert!(
            ended.load(Ordering::SeqCst),
            "it is over when all that it held is given back"
        );
    }

    #[tokio::test]
    async fn it_is_not_over_as_long_as_work_is_aside() {
        let aside = Aside::default();
        assert!(aside.is_over(Duration::ZERO).await, "nothing was ever aside");
        let mut work = pin!(aside.run(true, std::future::pending::<()>()));
        let soon = Duration::from_millis(5);
        assert!(tokio::time::timeout(soon, work.as_mut()).await.is_err());
        assert!(!aside.is_over(soon).await);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn threads_aside_have_low_priority_and_the_others_keep_theirs() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let aside = Aside::default();
        assert_eq!(
            aside.run(true, async move { nice() }).await,
            Some((before + NICE).min(19))
        );
        assert_eq!(nice(), before);
    }
}
