//! One consumer slow, another fast: the fast one is not held up, and memory stays bounded.

use super::*;
use crate::bus::{Qos, Start, Subscribe};

const TOPIC: &str = "test.numbers.v1";
const TAILS: TailLimits = TailLimits {
    events: 500,
    bytes: 400_000,
};

#[tokio::test]
async fn a_slow_consumer_reads_on_from_the_log_while_the_fast_one_never_does() {
    let host = Host::with_tails(TAILS);
    host.topic(
        TOPIC,
        TopicConfig {
            partitions: 3,
            ..TopicConfig::default()
        },
    )
    .await;
    let fast = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let group = host.bus.subscribe(Subscribe::to(TOPIC).group("slow")).await.unwrap();
    let slow = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Earliest))
        .await
        .unwrap();
    let mut got = Vec::new();
    let mut slowly = Vec::new();
    for batch in 0..400 {
        host.publish(events(TOPIC, batch * 50..batch * 50 + 50)).await.unwrap();
        got.extend(numbers(&drain(&fast).await));
        if batch == 50 {
            assert_eq!(host.reads(), 0, "who keeps up never reads the log");
        }
        if batch >= 50 {
            slowly.extend(numbers(&take(&slow, 10).await));
        }
        let held = host.bus.tail_stats();
        assert!(held.events <= TAILS.events && held.bytes <= TAILS.bytes, "{held:?}");
    }
    assert!(host.reads() > 0);
    got.sort_unstable();
    assert_eq!(got, (0..20_000).collect::<Vec<_>>());
    assert_eq!(
        host.bus.topic_stats(TOPIC).unwrap().level,
        20_000,
        "the group has consumed nothing"
    );
    slowly.extend(numbers(&drain(&slow).await));
    slowly.sort_unstable();
    assert_eq!(slowly, got, "the slow one misses nothing");
    let mut grouped = Vec::new();
    loop {
        let events = take(&group, 200).await;
        let Some(last) = events.last() else { break };
        assert!(events.len() <= 200);
        let _ = last;
        let done: Vec<Position> = events.iter().map(|event| event.position()).collect();
        group.ack(&done).await.unwrap();
        grouped.extend(numbers(&events));
    }
    grouped.sort_unstable();
    assert_eq!(grouped, got);
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().level, 0);
}

#[tokio::test]
async fn a_busy_partition_does_not_keep_a_lagging_one_waiting() {
    let host = Host::with_tails(TailLimits {
        events: 50,
        bytes: u64::MAX,
    });
    host.topic(
        TOPIC,
        TopicConfig {
            partitions: 2,
            ..TopicConfig::default()
        },
    )
    .await;
    let (zero, one) = keys();
    host.publish(
        (0..40)
            .map(|number| event(TOPIC, number).with_key(zero.clone()))
            .collect(),
    )
    .await
    .unwrap();
    let reader = host
        .bus
        .subscribe(Subscribe::to(TOPIC).start(Start::Earliest))
        .await
        .unwrap();
    let mut lagging = 0;
    for round in 0..100 {
        let busy = (0..50).map(|number| event(TOPIC, 1_000 * round + number).with_key(one.clone()));
        host.publish(busy.collect()).await.unwrap();
        let events = take(&reader, 10).await;
        lagging += events.iter().filter(|event| event.partition == 0).count();
    }
    assert_eq!(lagging, 40);
}

/// A key of partition 0 and one of partition 1, of two.
fn keys() -> (String, String) {
    let key = |wanted: u16| {
        let mut keys = (0..).map(|number: u32| number.to_string());
        keys.find(|key| crate::bus::partition_of(key.as_bytes(), 2) == wanted)
            .unwrap()
    };
    (key(0), key(1))
}

#[tokio::test]
async fn a_slow_subscriber_in_memory_misses_what_the_fast_one_gets_and_the_ring_stays_small() {
    let host = Host::new();
    let config = TopicConfig {
        qos: Qos::AtMostOnce,
        buffer_events: 100,
        ..TopicConfig::default()
    };
    host.topic(TOPIC, config).await;
    let fast = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let slow = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let mut got = Vec::new();
    for batch in 0..200 {
        host.publish(events(TOPIC, batch * 30..batch * 30 + 30)).await.unwrap();
        got.extend(numbers(&drain(&fast).await));
        assert!(host.bus.topic_stats(TOPIC).unwrap().level <= 100);
    }
    assert_eq!(got, (0..6_000).collect::<Vec<_>>());
    assert_eq!((fast.missed(), slow.missed()), (0, 0));
    assert_eq!(numbers(&drain(&slow).await), (5_900..6_000).collect::<Vec<_>>());
    assert_eq!(slow.missed(), 5_900);
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().shed, 5_900);
}

#[tokio::test]
async fn events_in_memory_are_let_go_when_the_last_subscriber_has_read_them_or_is_gone() {
    let host = Host::new();
    let config = TopicConfig {
        qos: Qos::AtMostOnce,
        ..TopicConfig::default()
    };
    host.topic(TOPIC, config).await;
    host.publish(events(TOPIC, 0..10)).await.unwrap();
    let level = || host.bus.topic_stats(TOPIC).unwrap().level;
    assert_eq!(level(), 0, "nobody is there to read them");
    let one = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let other = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    host.publish(events(TOPIC, 10..20)).await.unwrap();
    let events = drain(&one).await;
    assert_eq!((level(), events[0].offset), (10, 10));
    drop(other);
    assert_eq!(level(), 0);
    assert_eq!(Arc::strong_count(&events[0]), 1);
}
