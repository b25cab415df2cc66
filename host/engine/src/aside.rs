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

use crate::apart::lower_priority;

/// Guest time after which a call may be a long one, and goes on in threads of low priority if it is.
const LONG_AFTER: Duration = Duration::from_millis(2);
/// What it then has to take of a processor to be one: guest time goes on for a guest whose thread waits for a processor, and
/// a quick one that is taken for a long one would wait even longer.
const BURNS: Duration = Duration::from_millis(1);

/// What a guest that just let others run was seen to have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Noticed {
    /// It did not let others run at a tick; it waits, or is over.
    #[default]
    Nothing,
    /// It ran until a tick came.
    Ran,
    /// It ran for long, if its thread had a processor all the while.
    MayBeLong,
}

thread_local! {
    /// Of the guest that was polled last in this thread.
    static NOTICED: Cell<Noticed> = const { Cell::new(Noticed::Nothing) };
    /// This is one of the threads aside.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
    /// In such a thread: the host's own threads, whose calls come here.
    static HOME: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Called when a guest lets others run, with the time it ran for.
pub(crate) fn yields(spent: Duration) {
    NOTICED.set(if spent >= LONG_AFTER {
        Noticed::MayBeLong
    } else {
        Noticed::Ran
    });
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

/// The threads aside; there are none before the first long call, or before [`Aside::ready`].
pub(crate) struct Aside {
    threads_max: usize,
    threads: OnceLock<Option<Runtime>>,
    /// How many of them have begun, and have their priority.
    begun: Arc<AtomicUsize>,
    there: Arc<There>,
}

impl Default for Aside {
    fn default() -> Self {
        Self::of(usize::MAX)
    }
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
    /// One thread for each processor, and no more than that.
    pub(crate) fn of(threads_max: usize) -> Self {
        Self {
            threads_max,
            threads: OnceLock::new(),
            begun: Arc::default(),
            there: Arc::default(),
        }
    }

    fn count(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        processors.min(self.threads_max).max(1)
    }

    /// Has the threads begin now, and returns when each has its priority; `false` when that took longer. For a process that
    /// gives up starting threads, and changing priorities.
    pub(crate) async fn ready(&self, within: Duration) -> bool {
        if self.handle().is_none() {
            return false;
        }
        let ready = async {
            while self.begun.load(Ordering::Acquire) < self.count() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(within, ready).await.is_ok()
    }

    fn handle(&self) -> Option<&Handle> {
        let runtime = self.threads.get_or_init(|| {
            let (home, begun) = (Handle::try_current().ok(), self.begun.clone());
            let started = Builder::new_multi_thread()
                .worker_threads(self.count())
                .thread_name("long-calls")
                .on_thread_start(move || {
                    begin_aside(home.clone());
                    begun.fetch_add(1, Ordering::AcqRel);
                })
                .enable_all()
                .build();
            started
                .inspect_err(|error| {
                    tracing::warn!("long calls stay among the short ones: no threads for them: {error}");
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

/// Makes this thread one of those aside.
fn begin_aside(home: Option<Handle>) {
    ASIDE.set(true);
    HOME.set(home);
    lower_priority();
}

enum At<T> {
    /// With what it took of a processor since its first tick: before, a call is not worth the clock.
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
        NOTICED.set(Noticed::Nothing);
        if let Poll::Ready(result) = work.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        let noticed = NOTICED.take();
        if let (Some(sum), Some(before)) = (suspected.as_mut(), before) {
            *sum += burnt().saturating_sub(before);
        } else if noticed != Noticed::Nothing {
            *suspected = Some(Duration::ZERO);
        }
        let is_long = noticed == Noticed::MayBeLong && suspected.is_some_and(|sum| sum >= BURNS);
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
mod tests;
