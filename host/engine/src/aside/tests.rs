//! Where long calls go, and that quick ones stay.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::apart::NICENESS;

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

fn ended<T>(result: T, was_long: bool) -> Ended<T> {
    Ended { result, was_long }
}

#[tokio::test]
async fn work_moves_when_a_guest_in_it_ran_for_long_and_stays_when_it_did_not() {
    let aside = Aside::default();
    assert_eq!(aside.run(false, long()).await, Some(ended(true, true)));
    let short = async {
        burn(LONG_AFTER);
        yields(Duration::from_micros(1999));
        tokio::task::yield_now().await;
        ASIDE.get()
    };
    assert_eq!(aside.run(false, short).await, Some(ended(false, false)));
}

#[tokio::test]
async fn what_a_guest_takes_of_a_processor_counts_from_its_first_tick() {
    let aside = Aside::default();
    let work = async {
        yields(LONG_AFTER / 2);
        tokio::task::yield_now().await;
        burn(BURNS);
        yields(LONG_AFTER);
        tokio::task::yield_now().await;
        ASIDE.get()
    };
    assert_eq!(aside.run(false, work).await, Some(ended(true, true)));
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
    assert_eq!(aside.run(false, waited).await, Some(ended(false, false)));
}

#[tokio::test]
async fn work_that_begins_aside_is_long_by_what_it_takes() {
    let aside = Aside::default();
    assert_eq!(aside.run(true, async { ASIDE.get() }).await, Some(ended(true, false)));
    let busy = async {
        burn(LONG_AFTER);
        ASIDE.get()
    };
    assert_eq!(aside.run(true, busy).await, Some(ended(true, true)));
}

#[tokio::test]
async fn work_within_moved_work_does_not_move_again() {
    let aside = Arc::new(Aside::default());
    let within = aside.clone();
    let work = async move { (long().await, within.run(true, long()).await) };
    let moved = aside.run(false, work).await.unwrap();
    assert_eq!(moved.result, (true, Some(ended(true, false))));
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

#[tokio::test]
async fn threads_that_are_asked_for_are_there_before_the_first_long_call() {
    let aside = Aside::of(1);
    assert!(aside.ready(Duration::from_secs(30)).await);
    assert_eq!(aside.begun.load(Ordering::Acquire), 1);
    assert_eq!(aside.run(false, long()).await, Some(ended(true, true)));
    assert_eq!(aside.begun.load(Ordering::Acquire), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn threads_aside_have_low_priority_and_the_others_keep_theirs() {
    let nice = || rustix::process::getpriority_process(None).unwrap();
    let before = nice();
    let aside = Aside::default();
    let lowered = aside.run(true, async move { nice() }).await.unwrap();
    assert_eq!(lowered.result, before.max(NICENESS));
    assert_eq!(nice(), before);
}
