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

/// Guest time after which a call may be a long one, and goes on in threads of low priority if it is.
const LONG_AFTER: Duration = Duration::from_millis(2);
/// What it then has to take of a processor to be one: guest time goes on for a guest whose thread waits for a processor, and
/// a quick one that is taken for a long one would wait even longer.
const BURNS: Duration = Duration::from_millis(1);
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

/// What came of work, and whether it was a long one.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended<T> {
    /// Its result.
    pub result: T,
    /// It took a processor for milliseconds.
    pub was_long: bool,
}

/// What this thread took of a processor so far. A call of the system: not for every call.
fn burnt() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

/// Work as it runs aside. The order counts: dropped before it began, the work goes first as well.
struct Gone<T> {
    work: Work<T>,
    burnt: Duration,
    _counted: Counted,
}

impl<T> Future for Gone<T> {
    type Output = Ended<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended<T>> {
        let before = burnt();
        let polled = self.work.as_mut().poll(context);
        self.burnt += burnt().saturating_sub(before);
        let was_long = self.burnt >= LONG_AFTER;
        polled.map(|result| Ended { result, was_long })
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
    ) -> Option<Ended<T>> {
        let work: Work<T> = Box::pin(work);
        let at = match self.handle_if(at_once) {
            Some(handle) => At::Aside(self.spawn(handle, work)),
            None => At::Here(work, None),
        };
        let moving = Moving {
            aside: self,
            at,
            moved: false,
        };
        moving.await
    }

    fn spawn<T: Send + 'static>(&self, handle: &Handle, work: Work<T>) -> JoinHandle<Ended<T>> {
        handle.spawn(Gone {
            work,
            burnt: Duration::ZERO,
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
    /// With what it took of a processor since it looked like a long one.
    Here(Work<T>, Option<Duration>),
    Aside(JoinHandle<Ended<T>>),
    Over,
}

/// Work that moves when it is noticed.
struct Moving<'a, T> {
    aside: &'a Aside,
    at: At<T>,
    moved: bool,
}

impl<T: Send + 'static> Moving<'_, T> {
    /// One step of work that is here. Pending, it may be aside afterwards.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<T> {
        let At::Here(work, suspected) = &mut self.at else {
            return Poll::Pending;
        };
        let before = suspected.map(|_| burnt());
        NOTICED.set(false);
        if let Poll::Ready(result) = work.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        let noticed = NOTICED.take();
        if let (Some(sum), Some(before)) = (suspected.as_mut(), before) {
            *sum += burnt().saturating_sub(before);
        } else if noticed {
            *suspected = Some(Duration::ZERO);
        }
        let is_long = noticed && suspected.is_some_and(|sum| sum >= BURNS);
        if let Some(handle) = self.aside.handle_if(is_long)
            && let At::Here(work, _) = std::mem::replace(&mut self.at, At::Over)
        {
            self.at = At::Aside(self.aside.spawn(handle, work));
            self.moved = true;
        }
        Poll::Pending
    }
}

impl<T: Send + 'static> Future for Moving<'_, T> {
    type Output = Option<Ended<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Ended<T>>> {
        let this = &mut *self;
        if let Poll::Ready(result) = this.step(context) {
            this.at = At::Over;
            let was_long = false;
            return Poll::Ready(Some(Ended { result, was_long }));
        }
        let joined = match &mut this.at {
            At::Here(..) => return Poll::Pending,
            At::Aside(joined) => joined,
            At::Over => return Poll::Ready(None),
        };
        let Poll::Ready(ended) = Pin::new(joined).poll(context) else {
            return Poll::Pending;
        };
        this.at = At::Over;
        Poll::Ready(ended.ok().map(|ended| Ended {
            was_long: ended.was_long || this.moved,
            ..ended
        }))
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

    /// Takes so much of a processor, however long that lasts.
    fn burn(wanted: Duration) {
        let before = burnt();
        while burnt().saturating_sub(before) < wanted {
            std::hint::spin_loop();
        }
    }

    async fn long() -> bool {
        for _ in 0..2 {
            burn(LONG_AFTER);
            yields(LONG_AFTER);
            tokio::task::yield_now().await;
        }
        ASIDE.get()
    }

    fn ended<T>(result: T, was_long: bool) -> Option<Ended<T>> {
        Some(Ended { result, was_long })
    }

    #[tokio::test]
    async fn work_moves_when_a_guest_in_it_ran_for_long_and_stays_when_it_did_not() {
        let aside = Aside::default();
        assert_eq!(aside.run(false, long()).await, ended(true, true));
        let short = async {
            burn(LONG_AFTER);
            yields(Duration::from_micros(1999));
            tokio::task::yield_now().await;
            ASIDE.get()
        };
        assert_eq!(aside.run(false, short).await, ended(false, false));
    }

    #[tokio::test]
    async fn work_that_only_waited_for_a_processor_stays() {
        let aside = Aside::default();
        let waited = async {
            for _ in 0..8 {
                yields(LONG_AFTER);
                tokio::task::yield_now().await;
            }
            ASIDE.get()
        };
        assert_eq!(aside.run(false, waited).await, ended(false, false));
    }

    #[tokio::test]
    async fn work_that_begins_aside_is_long_by_what_it_takes() {
        let aside = Aside::default();
        assert_eq!(aside.run(true, async { ASIDE.get() }).await, ended(true, false));
        let busy = async {
            burn(LONG_AFTER);
            ASIDE.get()
        };
        assert_eq!(aside.run(true, busy).await, ended(true, true));
    }

    #[tokio::test]
    async fn work_within_moved_work_does_not_move_again() {
        let aside = Arc::new(Aside::default());
        let within = aside.clone();
        let work = async move { (long().await, within.run(true, long()).await) };
        let moved = aside.run(false, work).await.unwrap();
        assert_eq!(moved.result, (true, ended(true, false)));
        assert!(moved.was_long);
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
        assert!(aside.run(true, work).await.unwrap().result);
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
        struct Mark(Arc<AtomicBool>);
        impl Drop for Mark {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let (aside, ended) = (Aside::default(), Arc::new(AtomicBool::new(false)));
        let mark = Mark(ended.clone());
        let forever = async move {
            let _mark = mark;
            loop {
                long().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_millis(50), aside.run(true, forever)).await;
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
        let lowered = aside.run(true, async move { nice() }).await.unwrap();
        assert_eq!(lowered.result, (before + NICE).min(19));
        assert_eq!(nice(), before);
    }
}
