//! Backpressure: waiting, dropping the oldest or the newest, adapting; and what was shed is counted and recorded.

use super::*;
use crate::View;
use crate::bus::control::Change;
use crate::bus::{Backpressure, Qos, Subscribe};

const TOPIC: &str = "test.numbers.v1";

fn config(qos: Qos, backpressure: Backpressure) -> TopicConfig {
    TopicConfig {
        qos,
        backpressure: Some(backpressure),
        buffer_events: 10,
        publish_timeout_ms: 2_000,
        ..TopicConfig::default()
    }
}

/// The counts of shed events that the log tells of.
fn sheds(host: &Host) -> Vec<u64> {
    let records = host.log.records.lock();
    let controls = records.iter().flat_map(|stored| stored.controls.clone());
    let changes = controls
        .filter(|control| control.view == View::Bus)
        .map(|control| Change::decode(&control.payload));
    let total = |change| match change {
        Ok(Change::Shed { total, .. }) => Some(total),
        _ => None,
    };
    changes.filter_map(total).collect()
}

#[tokio::test(start_paused = true)]
async fn block_holds_publishers_from_the_high_watermark_down_to_the_low_one() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let host = Arc::new(Host::new());
        host.topic(TOPIC, config(qos, Backpressure::Block)).await;
        let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
        host.publish(events(TOPIC, 0..8)).await.unwrap();
        let publishing = tokio::spawn({
            let host = Arc::clone(&host);
            async move { host.publish(vec![event(TOPIC, 8)]).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(host.bus.topic_stats(TOPIC).unwrap().pressed);
        // Six are left: still above the low watermark.
        assert_eq!(take(&reader, 2).await.len(), 2);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!publishing.is_finished(), "{qos:?}");
        assert_eq!(take(&reader, 1).await.len(), 1);
        assert_eq!(publishing.await.unwrap().unwrap().accepted, 1);
        assert_eq!(numbers(&drain(&reader).await), [3, 4, 5, 6, 7, 8]);
        assert!(!host.bus.topic_stats(TOPIC).unwrap().pressed || qos == Qos::AtMostOnce);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_too_long_is_told_so_and_nothing_is_lost() {
    for qos in [Qos::AtMostOnce, Qos::ExactlyOnce] {
        let host = Host::new();
        host.topic(TOPIC, config(qos, Backpressure::Block)).await;
        let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
        host.publish(events(TOPIC, 0..9)).await.unwrap();
        let before = tokio::time::Instant::now();
        let refused = host.publish(vec![event(TOPIC, 9)]).await;
        assert!(matches!(refused, Err(LedgerError::Overloaded { .. })), "{refused:?}");
        assert_eq!(before.elapsed().as_secs(), 2);
        assert_eq!(drain(&reader).await.len(), 9);
        host.publish(vec![event(TOPIC, 10)]).await.unwrap();
        assert_eq!(drain(&reader).await.len(), 1);
        assert_eq!(host.bus.topic_stats(TOPIC).unwrap().shed, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_holds_publishers_back_by_what_it_has_not_acknowledged() {
    let host = Arc::new(Host::new());
    host.topic(TOPIC, config(Qos::AtLeastOnce, Backpressure::Block)).await;
    let consumer = host.bus.subscribe(Subscribe::to(TOPIC).group("g")).await.unwrap();
    host.publish(events(TOPIC, 0..8)).await.unwrap();
    assert_eq!(drain(&consumer).await.len(), 8);
    let publishing = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.publish(vec![event(TOPIC, 8)]).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!publishing.is_finished());
    consumer.ack(&[at(0, 7)]).await.unwrap();
    publishing.await.unwrap().unwrap();
    // A group whose consumers are gone holds nobody back.
    host.publish(events(TOPIC, 9..30)).await.unwrap();
    drop(consumer);
    host.publish(events(TOPIC, 30..60)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_buffer_goes_through_bit_by_bit() {
    let host = Arc::new(Host::new());
    host.topic(TOPIC, config(Qos::AtMostOnce, Backpressure::Block)).await;
    let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let publishing = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.publish(events(TOPIC, 0..1_000)).await }
    });
    let mut all = Vec::new();
    while all.len() < 1_000 {
        let events = reader.next(3, u64::MAX, Duration::from_secs(5)).await.unwrap();
        assert!(host.bus.topic_stats(TOPIC).unwrap().level <= 10);
        all.extend(numbers(&events));
    }
    assert_eq!(
        publishing.await.unwrap().unwrap(),
        Published {
            seq: None,
            accepted: 1_000,
            shed: 0
        }
    );
    assert_eq!(all, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn drop_oldest_keeps_the_newest_events() {
    let host = Host::new();
    host.topic(TOPIC, config(Qos::AtMostOnce, Backpressure::DropOldest))
        .await;
    let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let published = host.publish(events(TOPIC, 0..25)).await.unwrap();
    assert_eq!(
        published,
        Published {
            seq: None,
            accepted: 25,
            shed: 15
        }
    );
    let left = drain(&reader).await;
    assert_eq!(numbers(&left), (15..25).collect::<Vec<_>>());
    assert_eq!(left[0].offset, 15, "a gap in the offsets shows what is missing");
    assert_eq!((reader.missed(), host.bus.topic_stats(TOPIC).unwrap().shed), (15, 15));
}

#[tokio::test(start_paused = true)]
async fn drop_newest_keeps_the_oldest_events() {
    let host = Host::new();
    host.topic(TOPIC, config(Qos::AtMostOnce, Backpressure::DropNewest))
        .await;
    let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let published = host.publish(events(TOPIC, 0..25)).await.unwrap();
    assert_eq!(
        published,
        Published {
            seq: None,
            accepted: 10,
            shed: 15
        }
    );
    assert_eq!(numbers(&drain(&reader).await), (0..10).collect::<Vec<_>>());
    assert_eq!((reader.missed(), host.bus.topic_stats(TOPIC).unwrap().shed), (0, 15));
}

#[tokio::test]
async fn a_ring_is_bounded_in_bytes_too() {
    let host = Host::new();
    let config = TopicConfig {
        buffer_events: 1_000,
        buffer_bytes: 8 << 20,
        ..config(Qos::AtMostOnce, Backpressure::DropOldest)
    };
    host.topic(TOPIC, config).await;
    let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let large = |number: u64| {
        let envelope = Envelope::builder(number.to_string(), "/test", "large").data(vec![0; 1 << 20]);
        NewEvent::new(TOPIC, envelope.build().unwrap())
    };
    for number in 0..20 {
        host.publish(vec![large(number)]).await.unwrap();
    }
    let left = drain(&reader).await;
    assert_eq!(left.len(), 7);
    assert_eq!(left[6].envelope.id(), "19");
}

#[tokio::test(start_paused = true)]
async fn adaptive_waits_for_a_consumer_that_gets_on_and_not_for_one_that_does_not() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let host = Arc::new(Host::new());
        host.topic(TOPIC, config(qos, Backpressure::Adaptive)).await;
        let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
        host.publish(events(TOPIC, 0..8)).await.unwrap();
        let publish = |number: u64| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { host.publish(vec![event(TOPIC, number)]).await.unwrap() })
        };
        let publishing = publish(8);
        let mut all = Vec::new();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(!publishing.is_finished(), "{qos:?}: it gets on, so it is waited for");
            all.extend(numbers(&take(&reader, 1).await));
        }
        publishing.await.unwrap();
        // Five and one are there. Now the consumer stands still.
        host.publish(events(TOPIC, 9..11)).await.unwrap();
        let before = tokio::time::Instant::now();
        host.publish(vec![event(TOPIC, 11)]).await.unwrap();
        assert_eq!(before.elapsed().as_millis(), 250, "{qos:?}");
        let before = tokio::time::Instant::now();
        for number in 12..20 {
            host.publish(vec![event(TOPIC, number)]).await.unwrap();
        }
        assert_eq!(
            before.elapsed().as_millis(),
            0,
            "{qos:?}: that it stands still is known"
        );
        all.extend(numbers(&drain(&reader).await));
        let lost = host.bus.topic_stats(TOPIC).unwrap().shed;
        if qos == Qos::AtMostOnce {
            assert_eq!((lost, all.len()), (7, 13));
            assert_eq!(all.last(), Some(&19));
        } else {
            assert_eq!((lost, all), (0, (0..20).collect::<Vec<_>>()), "the log keeps all");
        }
        // It got on, so it is waited for again.
        host.publish(events(TOPIC, 20..28)).await.unwrap();
        let before = tokio::time::Instant::now();
        host.publish(vec![event(TOPIC, 28)]).await.unwrap();
        assert_eq!(before.elapsed().as_millis(), 250, "{qos:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn spill_lets_publishers_go_on_and_loses_nothing() {
    let host = Host::with_tails(TailLimits {
        events: 5,
        bytes: u64::MAX,
    });
    host.topic(TOPIC, config(Qos::AtLeastOnce, Backpressure::Spill)).await;
    let reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    let before = tokio::time::Instant::now();
    for number in 0..100 {
        host.publish(vec![event(TOPIC, number)]).await.unwrap();
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().level, 100);
    assert_eq!(numbers(&drain(&reader).await), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_was_shed_is_recorded_at_most_once_a_second_and_at_the_end() {
    let host = Host::new();
    host.topic(TOPIC, config(Qos::AtMostOnce, Backpressure::DropOldest))
        .await;
    let _reader = host.bus.subscribe(Subscribe::to(TOPIC)).await.unwrap();
    for _ in 0..35 {
        host.publish(events(TOPIC, 0..10)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let recorded = sheds(&host);
    assert!((3..=5).contains(&recorded.len()), "{recorded:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(sheds(&host).last(), Some(&340), "the last ones too");
    let count = sheds(&host).len();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(sheds(&host).len(), count, "nothing new, nothing recorded");
    host.publish(events(TOPIC, 0..10)).await.unwrap();
    host.publish(events(TOPIC, 0..10)).await.unwrap();
    host.bus.close().await;
    assert_eq!(sheds(&host).last(), Some(&360));
    let host = host.reopen(false);
    assert_eq!(host.bus.topic_stats(TOPIC).unwrap().shed, 360);
}
