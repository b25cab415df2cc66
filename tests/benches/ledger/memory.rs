//! A topic in memory: one publisher in batches, one subscriber or a hundred, none of them losing anything.

use std::time::{Duration, Instant};

use kinetic_ledger::Ledger;
use kinetic_ledger::bus::{Backpressure, Envelope, NewEvent, Qos, Subscribe, TopicConfig};
use kinetic_testkit::engine::runtime;

use crate::flight::cpu_seconds;
use crate::{BODY, ours};

const TOPIC: &str = "bench.memory.v1";
const AT_ONCE: usize = 256;

pub fn measure() {
    let folder = crate::folder();
    let ledger = ours::open(folder.path());
    let runtime = runtime();
    let config = TopicConfig {
        qos: Qos::AtMostOnce,
        backpressure: Some(Backpressure::Block),
        publish_timeout_ms: 60_000,
        ..TopicConfig::default()
    };
    runtime.block_on(ledger.bus().create_topic(TOPIC, config)).unwrap();
    for (subscribers, events) in [(1, 4_000_000), (100, 1_000_000)] {
        runtime.block_on(fan_out(&ledger, subscribers, events));
    }
}

async fn fan_out(ledger: &Ledger, subscribers: usize, events: usize) {
    let mut reading = Vec::new();
    for _ in 0..subscribers {
        let subscription = ledger.bus().subscribe(Subscribe::to(TOPIC)).await.unwrap();
        reading.push(tokio::spawn(async move {
            let mut read = 0;
            while read < events {
                read += subscription
                    .next(1_024, 8 << 20, Duration::from_secs(60))
                    .await
                    .unwrap()
                    .len();
            }
            assert_eq!((read, subscription.missed()), (events, 0));
        }));
    }
    let envelope = Envelope::builder("1", "urn:kinetic:bench", "bench")
        .data(&BODY[..])
        .build()
        .unwrap();
    let event = NewEvent::new(TOPIC, envelope);
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    for _ in 0..events / AT_ONCE {
        ledger.bus().publish_memory(vec![event.clone(); AT_ONCE]).await.unwrap();
    }
    ledger
        .bus()
        .publish_memory(vec![event; events % AT_ONCE])
        .await
        .unwrap();
    for reading in reading {
        reading.await.unwrap();
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let deliveries = (events * subscribers) as f64;
    println!(
        "topic in memory, {subscribers} subscribers: {:.2} M events/s, {:.2} M deliveries/s, {:.2} M deliveries per cpu-second",
        events as f64 / seconds / 1e6,
        deliveries / seconds / 1e6,
        deliveries / cpu / 1e6
    );
}
