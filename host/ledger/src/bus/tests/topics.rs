//! Topics: making, changing, keeping them; order and places of their events; what a restart finds.

use super::*;
use crate::bus::{Backpressure, Ordering as Order, Qos, Start, Subscribe, partition_of};

const TOPIC: &str = "test.numbers.v1";

fn log(partitions: u16) -> TopicConfig {
    TopicConfig {
        partitions,
        ..TopicConfig::default()
    }
}

#[tokio::test]
async fn events_with_a_key_are_in_its_partition_and_all_partitions_are_in_order() {
    let host = Host::new();
    host.topic(TOPIC, log(8)).await;
    for number in 0..400 {
        let event = event(TOPIC, number);
        let event = if number % 3 == 0 {
            event
        } else {
            event.with_key(format!("key-{}", number % 20))
        };
        host.publish(vec![event]).await.unwrap();
    }
    let reader = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Earliest))
        .await
        .unwrap();
    let all = drain(&reader).await;
    assert_eq!(all.len(), 400);
    let mut next = [0; 8];
    let mut last = [None; 8];
    for event in &all {
        let partition = usize::from(event.partition);
        assert_eq!(event.offset, next[partition]);
        next[partition] += 1;
        assert!(last[partition] < Some(number(event)), "the order is that of publishing");
        last[partition] = Some(number(event));
        if let Some(key) = &event.key {
            assert_eq!(event.partition, partition_of(key, 8));
        }
    }
    assert!(next.iter().all(|count| *count > 0));
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().heads, next);
}

#[tokio::test]
async fn one_commit_with_events_of_several_topics_is_all_or_nothing() {
    let host = Host::new();
    host.topic(TOPIC, log(2)).await;
    host.topic("test.others.v1", log(1)).await;
    let before = host.records();
    let bad = vec![event(TOPIC, 1), event("test.others.v1", 2), event("test.missing.v1", 3)];
    let refused = host.commit(Commit {
        events: bad,
        ..Commit::default()
    });
    assert!(matches!(refused.await, Err(LedgerError::NoTopic { .. })));
    assert_eq!(host.records(), before);
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().published, 0);
    host.publish(vec![event(TOPIC, 1), event("test.others.v1", 2), event(TOPIC, 3)])
        .await
        .unwrap();
    assert_eq!(host.records(), before + 1);
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().heads, [1, 1]);
    assert_eq!(host.bus.topic_stats("test.others.v1").unwrap().heads, [1]);
}

#[tokio::test]
async fn nothing_is_delivered_before_it_is_visible() {
    let host = Arc::new(Host::new());
    host.topic(TOPIC, log(1)).await;
    let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    host.hold(true);
    let publishing = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.publish(events(TOPIC, 0..3)).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().heads, [3], "it is staged");
    assert!(take(&reader, 10).await.is_empty());
    let earliest = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Earliest))
        .await
        .unwrap();
    assert!(take(&earliest, 10).await.is_empty());
    host.hold(false);
    let events = reader.next(10, u64::MAX, Duration::from_secs(5)).await.unwrap();
    assert_eq!(numbers(&events), [0, 1, 2]);
    assert_eq!(numbers(&drain(&earliest).await), [0, 1, 2]);
    publishing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_waiting_subscriber_is_woken_by_the_next_event() {
    let host = Host::new();
    host.topic(TOPIC, log(2)).await;
    let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let waiting = tokio::spawn(async move { reader.next(10, u64::MAX, Duration::from_mins(1)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    host.publish(vec![event(TOPIC, 7)]).await.unwrap();
    assert_eq!(numbers(&waiting.await.unwrap().unwrap()), [7]);
}

#[tokio::test]
async fn a_restart_finds_topics_heads_groups_and_counts_with_the_index_and_without() {
    let mut host = Host::new();
    host.topic(TOPIC, log(3)).await;
    let memory = TopicConfig {
        qos: Qos::AtMostOnce,
        buffer_events: 10,
        backpressure: Some(Backpressure::DropNewest),
        ..TopicConfig::default()
    };
    host.topic("test.memory.v1", memory).await;
    let slow = host.bus.subscribe(Subscribe::to("test.memory.v1")).await.unwrap();
    assert_eq!(host.publish(events("test.memory.v1", 0..25)).await.unwrap().shed, 15);
    host.publish(events(TOPIC, 0..30)).await.unwrap();
    let group = host.bus.subscribe(Subscribe::to(TOPIC).group("g")).await.unwrap();
    take(&group, 30).await;
    group.ack(&[at(0, 4), at(2, 9)]).await.unwrap();
    host.publish(events(TOPIC, 30..33)).await.unwrap();
    host.bus.close().await;
    drop((slow, group));
    let before = {
        let mut stats = host.bus.stats();
        for stats in &mut stats {
            stats.delivered = 0;
        }
        stats[1].heads = vec![0];
        stats[1].published = 0;
        stats
    };
    assert_eq!(before[0].groups[0].lag, 33 - 5 - 10);
    assert_eq!(before[1].shed, 15);
    for keep_index in [true, false, true] {
        host = host.reopen(keep_index);
        assert_eq!(host.bus.stats(), before, "index kept: {keep_index}");
        let group = host.bus.subscribe(Subscribe::to(TOPIC).group("other")).await.unwrap();
        assert_eq!(drain(&group).await.len(), 33, "index kept: {keep_index}");
        drop(group);
        host.bus.forget_group(TOPIC, "other").await.unwrap();
    }
}

#[tokio::test]
async fn the_number_of_partitions_and_the_place_of_a_topic_never_change() {
    let host = Host::new();
    host.topic(TOPIC, log(2)).await;
    assert!(matches!(
        host.bus.create_topic(TOPIC, log(2)).await,
        Err(LedgerError::TopicExists { .. })
    ));
    assert!(matches!(
        host.bus.change_topic(TOPIC, log(3)).await,
        Err(LedgerError::TopicFixed { .. })
    ));
    let memory = TopicConfig {
        qos: Qos::AtMostOnce,
        ..log(2)
    };
    assert!(matches!(
        host.bus.change_topic(TOPIC, memory).await,
        Err(LedgerError::TopicFixed { .. })
    ));
    let total = TopicConfig {
        ordering: Order::Total,
        ..log(2)
    };
    assert!(matches!(
        host.bus.change_topic(TOPIC, total).await,
        Err(LedgerError::InvalidTopicConfig { .. })
    ));
    let longer = TopicConfig {
        ack_timeout_ms: 1,
        ..log(2)
    };
    host.bus.change_topic(TOPIC, longer.clone()).await.unwrap();
    let host = host.reopen(false);
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().config, longer);
}

#[tokio::test]
async fn many_topics_made_at_once_all_get_numbers_of_their_own() {
    let host = Arc::new(Host::new());
    let made = (0..50).map(|number| {
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            host.bus
                .create_topic(&format!("test.t{number}.v1"), log(1))
                .await
                .unwrap()
        })
    });
    let mut ids = Vec::new();
    for made in made.collect::<Vec<_>>() {
        ids.push(made.await.unwrap().0);
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_publication_is_acknowledged_as_the_strictest_of_its_topics_says() {
    let host = Host::new();
    let written = TopicConfig {
        durability: Some(Durability::Written),
        ..log(1)
    };
    host.topic(TOPIC, written).await;
    host.topic("test.synced.v1", log(1)).await;
    let seq = |published: Published| published.seq.unwrap();
    let one = seq(host.publish(vec![event(TOPIC, 1)]).await.unwrap());
    let both = seq(host
        .publish(vec![event(TOPIC, 1), event("test.synced.v1", 2)])
        .await
        .unwrap());
    assert_eq!(host.durability_of(one), Some(Durability::Written));
    assert_eq!(host.durability_of(both), Some(Durability::Synced));
}

#[tokio::test]
async fn retention_leaves_what_groups_have_still_to_consume_and_tells_readers_what_is_gone() {
    let host = Host::new();
    host.topic(TOPIC, log(1)).await;
    let first = host.records();
    for batch in 0..10 {
        host.publish(events(TOPIC, batch * 10..batch * 10 + 10)).await.unwrap();
    }
    let group = host.bus.subscribe(Subscribe::to(TOPIC).group("g")).await.unwrap();
    assert_eq!(host.bus.pinned().unwrap(), Some(first));
    take(&group, 35).await;
    group.ack(&[at(0, 34)]).await.unwrap();
    assert_eq!(
        host.bus.pinned().unwrap(),
        Some(first + 3),
        "offset 35 is in the fourth record"
    );

    let lagging = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Offset(5)))
        .await
        .unwrap();
    host.retain(first + 3);
    let host = host.reopen(true);
    drop((group, lagging));
    let stats = host.bus.topic_stats(TOPIC).unwrap();
    assert_eq!((stats.first[0], stats.heads[0]), (30, 100));
    let below = host.bus.subscribe(Subscribe::to(TOPIC).start(Start::Offset(29))).await;
    assert!(
        matches!(below, Err(LedgerError::OffsetGone { first: 30, .. })),
        "{below:?}"
    );
    let earliest = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Earliest))
        .await
        .unwrap();
    assert_eq!(numbers(&drain(&earliest).await), (30..100).collect::<Vec<_>>());
    let group = host.bus.subscribe(Subscribe::to(TOPIC).group("g")).await.unwrap();
    assert_eq!(numbers(&drain(&group).await), (35..100).collect::<Vec<_>>());

    // A reader that the horizon overtakes is told so.
    let lagging = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Offset(30)))
        .await
        .unwrap();
    host.retain(first + 5);
    let gone = lagging.next(10, u64::MAX, Duration::ZERO).await;
    assert!(
        matches!(gone, Err(LedgerError::OffsetGone { first: 50, .. })),
        "{gone:?}"
    );

    // All records gone: the offsets go on.
    host.bus.forget_group(TOPIC, "g").await.unwrap();
    assert_eq!(host.bus.pinned().unwrap(), None);
    host.retain(host.records());
    let host = host.reopen(true);
    host.publish(events(TOPIC, 100..101)).await.unwrap();
    let earliest = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Earliest))
        .await
        .unwrap();
    let left = drain(&earliest).await;
    assert_eq!((left[0].offset, number(&left[0]), left.len()), (100, 100, 1));
}

#[tokio::test]
async fn an_event_for_a_topic_in_memory_is_in_no_commit_and_one_for_the_log_is_not_published_in_memory() {
    let host = Host::new();
    let memory = TopicConfig {
        qos: Qos::AtMostOnce,
        ..log(1)
    };
    host.topic("test.memory.v1", memory).await;
    host.topic(TOPIC, log(1)).await;
    let commit = Commit {
        events: vec![event("test.memory.v1", 1)],
        ..Commit::default()
    };
    assert!(matches!(host.commit(commit).await, Err(LedgerError::NotInLog { .. })));
    let direct = host.bus.publish_memory(vec![event(TOPIC, 1)]).await;
    assert!(matches!(direct, Err(LedgerError::InTheLog { .. })));
    // Published without saying where, each goes where it belongs.
    let reader = host.bus.subscribe(Subscribe::to("test.memory.v1")).await.unwrap();
    let published = host
        .publish(vec![event("test.memory.v1", 1), event(TOPIC, 2)])
        .await
        .unwrap();
    assert_eq!((published.accepted, published.seq.is_some()), (2, true));
    assert_eq!(numbers(&take(&reader, 10).await), [1]);
}
