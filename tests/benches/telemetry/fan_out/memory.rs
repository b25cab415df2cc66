//! In memory: batches are shown to a hub, and a hundred tasks in the same thread take what is theirs as bytes to be sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use kinetic_medallion::MedallionError;
use kinetic_medallion::event::{Framing, Reader, ReaderSettings};
use kinetic_medallion::live::{Filter, History, Live, LiveSettings, Start, Subscriber};
use tokio::runtime::Builder;
use tokio::task::yield_now;

use super::WATCHERS;
use crate::cpu_seconds;

/// Of batches and of events whichever are fewer.
const BATCHES: usize = 10_000;
const EVENTS: usize = 200_000;
const WORKFLOWS: usize = 100;
const ROUNDS: usize = 3;
/// More tasks than there are, so that all that were woken run before the next batch is shown.
const TASKS_MAX: u32 = 1_024;
const NOW_UNIX_NS: i64 = 1_700_000_000_000_000_000;
const DATA: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" the"}}],"model":"m"}"#;

/// Everybody reads what is in memory.
struct Nothing;

impl History for Nothing {
    fn batch(&self, _: u64) -> Result<Option<RecordBatch>, MedallionError> {
        Ok(None)
    }

    fn oldest(&self) -> u64 {
        0
    }
}

/// What the watchers want, each by its number, and how many deliveries an event of a workflow then makes.
type Case = (&'static str, fn(usize) -> Filter, fn(usize) -> u64);

const CASES: [Case; 5] = [
    ("everything", |_| Filter::default(), |_| WATCHERS as u64),
    (
        "by priority and topic, which all fit",
        |_| {
            let filter = Filter::default().priority_min(1).unwrap();
            filter.topic("telemetry.>").unwrap()
        },
        |_| WATCHERS as u64,
    ),
    (
        "the same tenth",
        |_| tenth(0),
        |workflow| if workflow < 10 { WATCHERS as u64 } else { 0 },
    ),
    ("a tenth, of ten kinds", |n| tenth(n % 10), |_| WATCHERS as u64 / 10),
    (
        "a hundredth, each another",
        |n| Filter::default().workflow(&format!("workflow-{n}")).unwrap(),
        |_| 1,
    ),
];

fn tenth(of: usize) -> Filter {
    (of * 10..of * 10 + 10).fold(Filter::default(), |filter, n| {
        filter.workflow(&format!("workflow-{n}")).unwrap()
    })
}

const fn workflow(event: usize) -> usize {
    event / 7 % WORKFLOWS
}

fn batches(rows: usize) -> Vec<RecordBatch> {
    let line = |n: usize| {
        format!(
            "{{\"topic\":\"telemetry.events.v1\",\"workflow_id\":\"workflow-{}\",\"intent_id\":\"intent\",\"sequence\":{n},\
             \"priority\":\"INFO\",\"data\":{DATA}}}\n",
            workflow(n)
        )
    };
    let settings = ReaderSettings {
        batch_events_max: rows,
        ..ReaderSettings::default()
    };
    let mut reader = Reader::new(Framing::Lines, settings).unwrap();
    let mut batches = Vec::new();
    for n in 0..EVENTS.min(rows * BATCHES) {
        let line = line(n);
        batches.extend(reader.read(&mut line.as_bytes(), NOW_UNIX_NS).unwrap());
    }
    batches.extend(reader.finish(NOW_UNIX_NS).unwrap());
    batches.into_iter().map(|batch| batch.events).collect()
}

/// What was taken by all.
#[derive(Default)]
struct Taken {
    events: AtomicU64,
    times: AtomicU64,
}

async fn watch(mut subscriber: Subscriber, taken: Arc<Taken>) {
    loop {
        let frames = subscriber.next().await.unwrap();
        assert!(!frames.bytes.is_empty());
        taken.events.fetch_add(frames.events, Ordering::Relaxed);
        taken.times.fetch_add(1, Ordering::Relaxed);
    }
}

/// Shows all batches, everybody taking after each; the deliveries, how many events came at once, and the seconds it took.
async fn hand_out(batches: &[RecordBatch], filter: fn(usize) -> Filter, deliveries: u64) -> (f64, f64) {
    let live = Live::new(LiveSettings::default(), Arc::new(Nothing), 0);
    let taken = Arc::new(Taken::default());
    let watching: Vec<_> = (0..WATCHERS)
        .map(|n| {
            let subscriber = live.subscribe(filter(n), Start::Now).unwrap();
            tokio::spawn(watch(subscriber, taken.clone()))
        })
        .collect();
    yield_now().await;
    let begun = cpu_seconds();
    for (offset, batch) in (0..).zip(batches) {
        live.publish(offset, batch.clone());
        yield_now().await;
    }
    while taken.events.load(Ordering::Relaxed) < deliveries {
        yield_now().await;
    }
    let spent = cpu_seconds() - begun;
    for watching in watching {
        assert!(!watching.is_finished());
        watching.abort();
    }
    assert_eq!(taken.events.load(Ordering::Relaxed), deliveries);
    (spent, deliveries as f64 / taken.times.load(Ordering::Relaxed) as f64)
}

pub fn measure() {
    for rows in [8_192, 100, 1] {
        let batches = batches(rows);
        let events: usize = batches.iter().map(RecordBatch::num_rows).sum();
        for (what, filter, of_event) in CASES {
            let deliveries = (0..events).map(|event| of_event(workflow(event))).sum();
            let (mut best, mut at_once) = (f64::INFINITY, 0.0);
            for _ in 0..ROUNDS {
                let runtime = Builder::new_current_thread().event_interval(TASKS_MAX).build().unwrap();
                let (spent, together) = runtime.block_on(hand_out(&batches, filter, deliveries));
                (best, at_once) = (best.min(spent), together);
            }
            println!(
                "in memory, batches of {rows}, {what}: {:.2} M deliveries per cpu-second, {at_once:.1} at once; \
                 {:.3} M events shown per cpu-second",
                deliveries as f64 / best / 1e6,
                events as f64 / best / 1e6,
            );
        }
    }
}
