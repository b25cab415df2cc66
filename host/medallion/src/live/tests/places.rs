//! Where watching begins and goes on, and what is refused.

use super::*;

fn events(count: usize) -> Vec<Event> {
    (0..count)
        .map(|n| Event::new("a.b.v1", Some(&format!("w{}", n % 3)), 1, &format!("{{\"n\":{n}}}")))
        .collect()
}

fn id(offset: u64, row: u32) -> EventId {
    EventId { offset, row }
}

#[tokio::test]
async fn who_watches_from_now_on_gets_what_is_published_then() {
    let mut host = Host::new(LiveSettings::default());
    assert_eq!(host.watch(Start::Now).position(), None);
    host.publish(&events(3));
    let mut watching = host.watch(Start::Now);
    assert_eq!(watching.position(), Some(id(0, 2)));
    assert!(is_quiet(&mut watching));
    host.publish(&events(2));
    assert_eq!(take(&mut watching, 2).await[0].id(), id(1, 0));
    assert!(is_quiet(&mut watching));
}

#[tokio::test]
async fn who_comes_back_misses_nothing_and_sees_nothing_twice() {
    let mut host = Host::new(LiveSettings::default());
    for count in [3, 0, 2000, 1] {
        host.publish(&events(count));
    }
    let all: Vec<EventId> = take(&mut host.watch(Start::Oldest), 2004)
        .await
        .iter()
        .map(Shown::id)
        .collect();
    let host = host.restarted();
    for seen in [0, 1, 2, 3, 1026, 1027, 2000, 2003] {
        let mut again = host.watch(Start::After(all[seen]));
        if seen + 1 < all.len() {
            let rest: Vec<EventId> = take(&mut again, all.len() - seen - 1)
                .await
                .iter()
                .map(Shown::id)
                .collect();
            assert_eq!(rest, all[seen + 1..]);
        }
        assert_eq!(again.position(), Some(id(3, 0)));
        assert!(is_quiet(&mut again));
    }
}

#[tokio::test]
async fn a_place_behind_a_whole_batch_is_one_to_come_back_to() {
    let mut host = Host::new(LiveSettings::default());
    host.publish(&events(3));
    let mut host = host.restarted();
    let place = host.watch(Start::Now).position().unwrap();
    assert_eq!(place, id(0, u32::MAX));
    host.publish(&events(1));
    assert_eq!(take(&mut host.watch(Start::After(place)), 1).await[0].id(), id(1, 0));
}

#[tokio::test]
async fn who_waits_for_what_hardly_comes_keeps_its_place() {
    let mut host = Host::new(LiveSettings::default());
    let rare = Filter::default().priority_min(4).unwrap();
    let mut watching = host.live.subscribe(rare, Start::Now).unwrap();
    for _ in 0..3 {
        host.publish(&events(1500));
    }
    // It goes past what it does not want, which takes as long as it takes.
    for _ in 0..600 {
        let waiting = tokio::time::timeout(Duration::from_millis(50), watching.next());
        assert!(waiting.await.is_err());
        if watching.position() == Some(id(2, 1499)) {
            break;
        }
    }
    assert_eq!(watching.position(), Some(id(2, 1499)));
}

#[tokio::test]
async fn who_reads_slowly_is_read_for_from_the_history_and_costs_nobody_else() {
    let mut host = Host::new(LiveSettings {
        ring_bytes_max: 100_000,
        ..LiveSettings::default()
    });
    let mut slow = host.watch(Start::Now);
    let mut quick = host.watch(Start::Now);
    for n in 0..200 {
        host.publish(&events(100));
        assert_eq!(take(&mut quick, 100).await[99].id(), id(n, 99));
        assert!(host.live.bytes().0 <= 200_000, "{:?}", host.live.bytes());
    }
    assert_eq!(host.kept.reads.load(Ordering::Relaxed), 0);
    let all = take(&mut slow, 20_000).await;
    assert!(all.windows(2).all(|pair| pair[0].id() < pair[1].id()));
    assert!((150..200).contains(&host.kept.reads.load(Ordering::Relaxed)));
}

#[tokio::test]
async fn little_is_gathered_and_what_is_large_is_shared_by_all() {
    let mut host = Host::new(LiveSettings::default());
    let mut all: Vec<Subscriber> = (0..3).map(|_| host.watch(Start::Now)).collect();
    for count in [1, 1, 200, 1] {
        host.publish(&events(count));
    }
    let mut large = Vec::new();
    for watching in &mut all {
        let mut counts = Vec::new();
        for _ in 0..3 {
            let frames = next(watching).await.unwrap();
            counts.push(frames.events);
            large.extend(Some(frames.bytes).filter(|_| frames.events == 200));
        }
        assert_eq!((counts, is_quiet(watching)), (vec![2, 200, 1], true));
    }
    assert!(large.windows(2).all(|pair| pair[0].as_ptr() == pair[1].as_ptr()));
}

#[tokio::test]
async fn batches_of_one_event_count_for_what_they_take_beside_it() {
    let mut host = Host::new(LiveSettings {
        ring_bytes_max: 1 << 20,
        ..LiveSettings::default()
    });
    let mut slow = host.watch(Start::Now);
    for _ in 0..1_000 {
        host.publish(&events(1));
    }
    take(&mut slow, 1_000).await;
    // No more than 256 of them were in memory.
    assert!(host.kept.reads.load(Ordering::Relaxed) > 1_000 - 256);
}

#[tokio::test]
async fn a_reader_that_retention_overtook_is_told_the_oldest_offset() {
    let mut host = Host::forgetful();
    let mut slow = host.watch(Start::Oldest);
    for _ in 0..10 {
        host.publish(&events(2));
    }
    assert_eq!(take(&mut slow, 2).await[0].id(), id(0, 0));
    host.kept.oldest.store(5, Ordering::Relaxed);
    let Err(MedallionError::Removed { offset: 1, oldest: 5 }) = next(&mut slow).await else {
        panic!("it was read")
    };
    let after = |id| host.live.subscribe(Filter::default(), Start::After(id));
    assert!(matches!(
        after(id(3, 1)),
        Err(MedallionError::Removed { offset: 3, oldest: 5 })
    ));
    assert_eq!(take(&mut after(id(4, u32::MAX)).unwrap(), 10).await[0].id(), id(5, 0));
    assert_eq!(take(&mut host.watch(Start::Oldest), 10).await[0].id(), id(5, 0));
}

#[tokio::test]
async fn a_batch_that_is_missing_is_an_error_and_not_passed() {
    let mut host = Host::forgetful();
    for _ in 0..3 {
        host.publish(&events(1));
    }
    let lost = host.kept.batches.lock().remove(&1).unwrap();
    let mut watching = host.watch(Start::Oldest);
    take(&mut watching, 1).await;
    assert!(matches!(
        next(&mut watching).await,
        Err(MedallionError::NoBatch { offset: 1 })
    ));
    host.kept.batches.lock().insert(1, lost);
    assert_eq!(take(&mut watching, 2).await[0].id(), id(1, 0));
}

#[tokio::test]
async fn what_was_not_shown_in_order_is_read_from_the_history() {
    let host = Host::new(LiveSettings::default());
    let mut watching = host.watch(Start::Now);
    for offset in 0..5 {
        host.kept.batches.lock().insert(offset, batch(&events(1)));
    }
    for offset in [0, 3, 3, 1, 4] {
        host.live.publish(offset, batch(&events(1)));
    }
    let ids: Vec<EventId> = take(&mut watching, 5).await.iter().map(Shown::id).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4].map(|offset| id(offset, 0)));
}

#[tokio::test]
async fn an_event_that_never_was_is_no_place_to_begin() {
    let mut host = Host::new(LiveSettings::default());
    host.publish(&events(1));
    let ahead = host.live.subscribe(Filter::default(), Start::After(id(1, 0)));
    assert!(matches!(ahead, Err(MedallionError::NotYet { next_offset: 1, .. })));
}

#[tokio::test]
async fn only_so_many_watch_at_once() {
    let host = Host::new(LiveSettings {
        subscribers_max: 2,
        ..LiveSettings::default()
    });
    let (one, two) = (host.watch(Start::Now), host.watch(Start::Now));
    let third = || host.live.subscribe(Filter::default(), Start::Now);
    assert!(matches!(
        third(),
        Err(MedallionError::TooManySubscribers { subscribers_max: 2 })
    ));
    drop(one);
    assert!(third().is_ok());
    drop(two);
}

#[test]
fn a_filter_that_lets_nothing_through_is_refused() {
    let filter = Filter::default;
    for bad in ["", "a..v1", "a.>.v1", "A.b.v1", "a.b*", "a b", "a,b"] {
        assert!(filter().topic(bad).is_err(), "{bad}");
    }
    assert!(filter().priority_min(5).is_err() && filter().priorities([]).is_err());
    assert!(filter().priority_min(3).unwrap().priorities([1, 2]).is_err());
    let many = (0..=FILTER_TERMS_MAX).try_fold(filter(), |filter, n| filter.workflow(&n.to_string()));
    assert!(matches!(many, Err(MedallionError::BadFilter { .. })));
    assert!(filter().priority_min(0).unwrap().is_everything());
}
