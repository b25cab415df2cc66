//! How many deliveries a second of a core makes; figures to look at, so they run only when they are asked for.

use super::*;
use crate::event::tests::speed::cpu_seconds;

const SUBSCRIBERS: u64 = 100;
/// Of batches and of events whichever are fewer.
const BATCHES: usize = 2_000;
const EVENTS: usize = 200_000;

fn batches(rows: usize) -> Vec<RecordBatch> {
    let data = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" the"}}],"model":"m"}"#;
    let events: Vec<Event> = (0..EVENTS.min(rows * BATCHES))
        .map(|n| {
            Event::new(
                "telemetry.events.v1",
                Some(&format!("workflow-{}", n / 7 % 100)),
                1,
                data,
            )
        })
        .collect();
    events.chunks(rows).map(batch).collect()
}

/// Publishes all, everybody reading after each batch.
fn report(what: &str, batches: &[RecordBatch], filter: impl Fn(u64) -> Filter) {
    let mut best = f64::INFINITY;
    let mut events = 0;
    for _ in 0..3 {
        let live = Live::new(LiveSettings::default(), Arc::new(Kept::default()), 0);
        let mut all: Vec<Subscriber> = (0..SUBSCRIBERS)
            .map(|n| live.subscribe(filter(n), Start::Now).unwrap())
            .collect();
        events = 0;
        let began = cpu_seconds();
        for (offset, batch) in (0..).zip(batches) {
            live.publish(offset, batch.clone());
            let last = live.newest_id();
            for subscriber in &mut all {
                while let Some(frames) = at_hand(subscriber, last) {
                    events += frames.events;
                }
            }
        }
        best = best.min(cpu_seconds() - began);
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let published = batches.iter().map(|batch| batch.num_rows() as f64).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let deliveries = events as f64;
    println!(
        "{what}: {:.1} M deliveries per cpu-second, {:.2} M events published per cpu-second",
        deliveries / best / 1e6,
        published / best / 1e6
    );
}

/// What comes without waiting; once there is no more the subscriber waits, as it does in its task.
fn at_hand(subscriber: &mut Subscriber, last: Option<EventId>) -> Option<Frames> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(frames) = std::pin::pin!(subscriber.next()).poll(&mut context) {
            return Some(frames.unwrap());
        }
        // Where nothing was wanted it lets others run first.
        if subscriber.position() == last {
            return None;
        }
    }
}

#[test]
#[ignore = "prints figures: cargo test --release -p kinetic-medallion -- --ignored --nocapture live::tests::speed"]
fn the_speed_of_handing_events_to_a_hundred() {
    for rows in [1, 100, 8_192] {
        let batches = batches(rows);
        let of = |what: &str| format!("batches of {rows}, {what}");
        report(&of("everything"), &batches, |_| Filter::default());
        report(&of("the same tenth"), &batches, |_| tenth(0));
        report(&of("a tenth, of ten kinds"), &batches, |n| tenth(n % 10));
        report(&of("a hundredth, each another"), &batches, |n| {
            Filter::default().workflow(&format!("workflow-{n}")).unwrap()
        });
        report(&of("by priority and topic"), &batches, |_| {
            let filter = Filter::default().priority_min(1).unwrap();
            filter.topic("telemetry.>").unwrap()
        });
    }
}

fn tenth(of: u64) -> Filter {
    (0..10).fold(Filter::default(), |filter, n| {
        filter.workflow(&format!("workflow-{}", of * 10 + n)).unwrap()
    })
}
