//! At least once: acknowledging, giving back, delivering again, dead letters, fencing.

use super::*;
use crate::bus::{Start, Subscribe};

const TOPIC: &str = "test.numbers.v1";
const DEAD: &str = "deadletter.test.numbers.v1";

fn config(partitions: u16, max_deliveries: u32) -> TopicConfig {
    TopicConfig {
        partitions,
        max_deliveries,
        ack_timeout_ms: 1_000,
        ..TopicConfig::default()
    }
}

/// Where nothing is due again by itself, however long the machine takes.
fn calm(partitions: u16, max_deliveries: u32) -> TopicConfig {
    TopicConfig {
        ack_timeout_ms: 600_000,
        ..config(partitions, max_deliveries)
    }
}

async fn group(host: &Host, name: &str) -> Subscription {
    host.bus.subscribe(Subscribe::to(TOPIC).group(name)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_not_acknowledged_in_time_is_delivered_again() {
    let host = Host::new();
    host.topic(TOPIC, config(1, 0)).await;
    host.publish(events(TOPIC, 0..5)).await.unwrap();
    let consumer = group(&host, "g").await;
    assert_eq!(numbers(&take(&consumer, 3).await), [0, 1, 2]);
    consumer.ack(&[at(0, 0)]).await.unwrap();
    assert_eq!(numbers(&take(&consumer, 10).await), [3, 4]);
    assert!(take(&consumer, 10).await.is_empty());
    // It waits exactly until the first one is due again.
    let before = tokio::time::Instant::now();
    let again = consumer.next(10, u64::MAX, Duration::from_mins(1)).await.unwrap();
    assert_eq!(numbers(&again), [1, 2, 3, 4]);
    assert_eq!(before.elapsed().as_millis(), 1_000);
    consumer.ack(&[at(0, 4)]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(take(&consumer, 10).await.is_empty());
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().groups[0].lag, 0);
}

#[tokio::test(start_paused = true)]
async fn giving_back_acknowledges_what_came_before_and_delivers_again_at_once() {
    let host = Host::new();
    host.topic(TOPIC, config(1, 0)).await;
    host.publish(events(TOPIC, 0..5)).await.unwrap();
    let consumer = group(&host, "g").await;
    take(&consumer, 4).await;
    consumer.nack(at(0, 2)).await.unwrap();
    assert_eq!(
        host.bus.topic_stats(TOPIC).unwrap().groups[0].partitions[0].committed,
        2
    );
    assert_eq!(numbers(&take(&consumer, 10).await), [2, 3, 4]);
    consumer.nack(at(0, 2)).await.unwrap();
    assert_eq!(numbers(&take(&consumer, 10).await), [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_delivered_again_is_and_nothing_is_acknowledged_by_that() {
    let host = Host::new();
    host.topic(TOPIC, config(1, 0)).await;
    host.publish(events(TOPIC, 0..5)).await.unwrap();
    let consumer = group(&host, "g").await;
    take(&consumer, 4).await;
    consumer.redeliver(at(0, 2)).unwrap();
    assert_eq!(
        host.bus.topic_stats(TOPIC).unwrap().groups[0].partitions[0].committed,
        0
    );
    assert_eq!(numbers(&take(&consumer, 10).await), [2, 3, 4]);
    consumer.ack(&[at(0, 2)]).await.unwrap();
    assert!(
        matches!(consumer.redeliver(at(0, 2)), Err(LedgerError::InvalidOffset { .. })),
        "it is acknowledged"
    );
    assert!(
        matches!(consumer.redeliver(at(0, 5)), Err(LedgerError::InvalidOffset { .. })),
        "it was not delivered"
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_too_often_becomes_a_dead_letter_in_the_commit_that_passes_over_it() {
    let host = Host::new();
    host.topic(TOPIC, config(1, 3)).await;
    host.publish(vec![event(TOPIC, 0), event(TOPIC, 1).with_key("k"), event(TOPIC, 2)])
        .await
        .unwrap();
    let consumer = group(&host, "g").await;
    assert_eq!(numbers(&take(&consumer, 10).await), [0, 1, 2]);
    for _ in 0..2 {
        // It fails at the second one, again and again.
        consumer.nack(at(0, 1)).await.unwrap();
        assert_eq!(numbers(&take(&consumer, 10).await), [1, 2]);
    }
    consumer.nack(at(0, 1)).await.unwrap();
    let records = host.records();
    assert_eq!(numbers(&take(&consumer, 10).await), [2]);
    // The topic of dead letters; the dead letter with the position; and that the third event is delivered once more.
    assert_eq!(host.records(), records + 3);
    let stats = host.bus.topic_stats(TOPIC).unwrap();
    assert_eq!((stats.dead_letters, stats.groups[0].partitions[0].committed), (1, 2));
    let dead = host
        .bus
        .subscribe(Subscribe::to(DEAD).start(Start::Earliest))
        .await
        .unwrap();
    let dead = drain(&dead).await;
    assert_eq!(numbers(&dead), [1]);
    assert_eq!(dead[0].key.as_deref(), Some(&b"k"[..]));
    let extensions: Vec<String> = dead[0]
        .envelope
        .extensions()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    assert_eq!(
        extensions,
        [
            "deadletterattempts=Integer(3)",
            "deadlettergroup=Text(\"g\")",
            "deadletteroffset=Text(\"1\")",
            "deadletterpart=Integer(0)",
            "deadlettertopic=Text(\"test.numbers.v1\")"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_across_consumers_that_die_and_across_restarts() {
    let mut host = Host::new();
    host.topic(TOPIC, config(1, 4)).await;
    host.publish(events(TOPIC, 0..2)).await.unwrap();
    // The first delivery is not in the log, so a restart after it does not count.
    for restart in [false, true, false] {
        let consumer = group(&host, "g").await;
        assert_eq!(numbers(&take(&consumer, 1).await), [0]);
        drop(consumer);
        if restart {
            host = host.reopen(false);
        }
    }
    let consumer = group(&host, "g").await;
    assert_eq!(numbers(&take(&consumer, 1).await), [0], "the fourth time");
    drop(consumer);
    let consumer = group(&host, "g").await;
    assert_eq!(numbers(&take(&consumer, 1).await), [1]);
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().dead_letters, 1);
}

#[tokio::test]
async fn a_new_subscription_of_a_group_fences_the_old_one() {
    let host = Host::new();
    host.topic(TOPIC, calm(2, 0)).await;
    host.publish(events(TOPIC, 0..10)).await.unwrap();
    let old = group(&host, "g").await;
    let events = take(&old, 10).await;
    let new = group(&host, "g").await;
    let fenced = |result: Result<(), LedgerError>| {
        matches!(
            result,
            Err(LedgerError::Fenced {
                epoch: 1,
                current: 2,
                ..
            })
        )
    };
    assert!(fenced(old.next(1, 1, Duration::ZERO).await.map(|_| ())));
    assert!(fenced(old.ack(&[events[0].position()]).await));
    assert!(fenced(old.nack(events[0].position()).await));
    let commit = Commit {
        offsets: old.offsets(&events).unwrap(),
        ..Commit::default()
    };
    assert!(fenced(host.commit(commit).await.map(|_| ())));
    assert_eq!(drain(&new).await.len(), 10);
}

#[tokio::test]
async fn a_waiting_consumer_learns_at_once_that_it_is_fenced() {
    let host = Host::new();
    host.topic(TOPIC, calm(1, 0)).await;
    let old = group(&host, "g").await;
    let waiting = tokio::spawn(async move { old.next(1, 1, Duration::from_mins(1)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let _new = group(&host, "g").await;
    assert!(matches!(waiting.await.unwrap(), Err(LedgerError::Fenced { .. })));
}

#[tokio::test]
async fn consumers_of_a_group_share_its_partitions_without_fencing_each_other() {
    let host = Host::new();
    host.topic(TOPIC, calm(4, 0)).await;
    let some = |partitions: &[u16]| {
        host.bus
            .subscribe(Subscribe::to(TOPIC).group("g").partitions(partitions))
    };
    let left = some(&[0, 1]).await.unwrap();
    let right = some(&[2, 3]).await.unwrap();
    host.publish(events(TOPIC, 0..8)).await.unwrap();
    let (one, other) = (drain(&left).await, drain(&right).await);
    assert!(one.iter().all(|event| event.partition < 2) && other.iter().all(|event| event.partition > 1));
    assert_eq!((one.len(), other.len()), (4, 4));
    left.ack(&[at(0, 1), at(1, 1)]).await.unwrap();
    // Who takes over one of the partitions fences the one that had it.
    let _third = some(&[1]).await.unwrap();
    assert!(matches!(
        left.next(1, 1, Duration::ZERO).await,
        Err(LedgerError::Fenced { partition: 1, .. })
    ));
    right.ack(&[at(2, 1)]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_gets_no_more_than_its_credit() {
    let host = Host::new();
    host.topic(TOPIC, config(2, 0)).await;
    host.publish(events(TOPIC, 0..100)).await.unwrap();
    let consumer = host
        .bus
        .subscribe(Subscribe::to(TOPIC).group("g").credit(10, u64::MAX))
        .await
        .unwrap();
    let events = drain(&consumer).await;
    assert_eq!(events.len(), 10);
    let last = events.iter().rfind(|event| event.partition == 0).unwrap();
    consumer.ack(&[last.position()]).await.unwrap();
    let more = drain(&consumer).await;
    assert_eq!(more.len() as u64, last.offset + 1);

    // In bytes: as many as fit, and one at least.
    let weight = events[0].weight();
    let narrow = host
        .bus
        .subscribe(Subscribe::to(TOPIC).group("h").credit(100, 3 * weight + 10))
        .await
        .unwrap();
    assert_eq!(drain(&narrow).await.len(), 3);
    let narrower = host
        .bus
        .subscribe(Subscribe::to(TOPIC).group("i").credit(100, 1))
        .await
        .unwrap();
    let one = drain(&narrower).await;
    assert_eq!(one.len(), 1);
    narrower.ack(&[one[0].position()]).await.unwrap();
    assert_eq!(drain(&narrower).await.len(), 1);
}

#[tokio::test]
async fn an_acknowledgement_wakes_a_consumer_that_waits_for_credit() {
    let host = Host::new();
    host.topic(TOPIC, calm(1, 0)).await;
    host.publish(events(TOPIC, 0..4)).await.unwrap();
    let consumer = host
        .bus
        .subscribe(Subscribe::to(TOPIC).group("g").credit(2, u64::MAX))
        .await
        .unwrap();
    let consumer = Arc::new(consumer);
    assert_eq!(take(&consumer, 10).await.len(), 2);
    let waiting = tokio::spawn({
        let consumer = Arc::clone(&consumer);
        async move { consumer.next(10, u64::MAX, Duration::from_secs(20)).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    consumer.ack(&[at(0, 1)]).await.unwrap();
    assert_eq!(numbers(&waiting.await.unwrap().unwrap()), [2, 3]);
}

#[tokio::test]
async fn only_what_was_delivered_can_be_acknowledged() {
    let host = Host::new();
    host.topic(TOPIC, calm(2, 0)).await;
    host.publish(events(TOPIC, 0..10)).await.unwrap();
    let consumer = group(&host, "g").await;
    let refused = |result: Result<(), LedgerError>| matches!(result, Err(LedgerError::InvalidOffset { .. }));
    assert!(refused(consumer.ack(&[at(0, 0)]).await));
    take(&consumer, 2).await;
    assert!(refused(consumer.ack(&[at(0, 4)]).await));
    assert!(refused(consumer.nack(at(0, 4)).await));
    assert!(refused(consumer.ack(&[at(7, 0)]).await));
    let reader = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Earliest))
        .await
        .unwrap();
    take(&reader, 1).await;
    assert!(matches!(
        reader.ack(&[at(0, 0)]).await,
        Err(LedgerError::InvalidSubscription { .. })
    ));
}

#[tokio::test]
async fn a_group_resumes_where_it_stood_and_a_new_one_begins_where_it_says() {
    let host = Host::new();
    host.topic(TOPIC, calm(1, 0)).await;
    host.publish(events(TOPIC, 0..10)).await.unwrap();
    let starting = |name: &str, start| host.bus.subscribe(Subscribe::to(TOPIC).group(name).start(start));
    let consumer = starting("g", Start::Offset(4)).await.unwrap();
    let events = take(&consumer, 3).await;
    assert_eq!(numbers(&events), [4, 5, 6]);
    consumer.ack(&[at(0, 5)]).await.unwrap();
    let consumer = starting("g", Start::Earliest).await.unwrap();
    assert_eq!(numbers(&take(&consumer, 1).await), [6]);
    let latest = starting("h", Start::Latest).await.unwrap();
    assert!(take(&latest, 1).await.is_empty());
    assert!(matches!(
        starting("i", Start::Offset(11)).await,
        Err(LedgerError::InvalidOffset { .. })
    ));
    host.bus.forget_group(TOPIC, "g").await.unwrap();
    assert!(matches!(
        consumer.next(1, 1, Duration::ZERO).await,
        Err(LedgerError::NoGroup { .. })
    ));
    let consumer = starting("g", Start::Earliest).await.unwrap();
    assert_eq!(numbers(&take(&consumer, 1).await), [0]);
    for bad in ["", "with space", "ü", &"x".repeat(201)] {
        assert!(matches!(
            starting(bad, Start::Earliest).await,
            Err(LedgerError::InvalidSubscription { .. })
        ));
    }
}

#[tokio::test]
async fn dropping_a_call_for_the_next_events_loses_none() {
    let host = Host::with_tails(TailLimits {
        events: 2,
        bytes: u64::MAX,
    });
    host.topic(TOPIC, calm(2, 2)).await;
    host.publish(events(TOPIC, 0..20)).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for round in 0..200 {
        let consumer = group(&host, "g").await;
        // Drop it at every place where it can wait: reading the log, counting, burying.
        let mut next = Box::pin(consumer.next(3, u64::MAX, Duration::ZERO));
        let mut done = None;
        for _ in 0..round % 12 {
            if let std::task::Poll::Ready(events) = futures_poll(&mut next).await {
                done = Some(events.unwrap());
                break;
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        drop(next);
        for event in done.unwrap_or_default() {
            seen.insert(number(&event));
            consumer.ack(&[event.position()]).await.unwrap();
        }
    }
    let dead = host.bus.subscribe(Subscribe::to(DEAD).start(Start::Earliest)).await;
    if let Ok(dead) = dead {
        let buried = drain(&dead).await;
        let unique: std::collections::BTreeSet<_> = numbers(&buried).into_iter().collect();
        assert_eq!(unique.len(), buried.len(), "nothing is buried twice");
        assert!(unique.is_disjoint(&seen), "nothing is both consumed and buried");
        seen.extend(unique);
    }
    assert_eq!(seen, (0..20).collect());
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))).await
}

#[tokio::test]
async fn many_tasks_can_use_one_subscription() {
    let host = Host::new();
    host.topic(TOPIC, calm(4, 0)).await;
    host.publish(events(TOPIC, 0..2_000)).await.unwrap();
    let consumer = Arc::new(group(&host, "g").await);
    let task = |_| {
        let consumer = Arc::clone(&consumer);
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let events = consumer.next(7, u64::MAX, Duration::from_millis(200)).await.unwrap();
                if events.is_empty() {
                    return seen;
                }
                let done: Vec<Position> = events.iter().map(|event| event.position()).collect();
                consumer.ack(&done).await.unwrap();
                seen.extend(numbers(&events));
            }
        })
    };
    let mut seen = Vec::new();
    for task in (0..8).map(task).collect::<Vec<_>>() {
        seen.extend(task.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn closing_ends_who_waits() {
    let host = Host::new();
    host.topic(TOPIC, calm(1, 0)).await;
    let consumer = group(&host, "g").await;
    let waiting = tokio::spawn(async move { consumer.next(1, 1, Duration::from_mins(1)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    host.bus.close().await;
    assert!(matches!(waiting.await.unwrap(), Err(LedgerError::Closed {})));
    assert!(matches!(
        host.bus.subscribe(Subscribe::to(TOPIC)).await,
        Err(LedgerError::Closed {})
    ));
}

#[tokio::test]
async fn a_reader_without_a_group_goes_on_at_the_positions_it_had() {
    let host = Host::new();
    host.topic(TOPIC, calm(3, 0)).await;
    host.publish(events(TOPIC, 0..30)).await.unwrap();
    let reader = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Earliest))
        .await
        .unwrap();
    assert_eq!(reader.positions(), [at(0, 0), at(1, 0), at(2, 0)]);
    let mut seen = numbers(&take(&reader, 17).await);
    let positions = reader.positions();
    assert_eq!(positions.iter().map(|position| position.offset).sum::<u64>(), 17);
    drop(reader);
    let reader = host
        .bus
        .subscribe(Subscribe::to(TOPIC).positions(positions))
        .await
        .unwrap();
    seen.extend(numbers(&drain(&reader).await));
    seen.sort_unstable();
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    let one = host
        .bus
        .subscribe(Subscribe::to(TOPIC).positions([at(1, 4)]))
        .await
        .unwrap();
    assert_eq!(
        drain(&one).await.len(),
        6,
        "the partitions that are not named are not read"
    );
    for bad in [at(3, 0), at(0, 11)] {
        let refused = host.bus.subscribe(Subscribe::to(TOPIC).positions([bad])).await;
        assert!(matches!(refused, Err(LedgerError::InvalidOffset { .. })), "{bad:?}");
    }
    assert!(group(&host, "g").await.positions().is_empty());
}
