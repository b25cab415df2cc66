//! What those who watch get: everything that is theirs, once, in order and whole, however slow they or others are.

mod frames;
mod laws;
mod paced;
mod places;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder, UInt8Builder, UInt64Builder};
use parking_lot::Mutex;
use serde_json::Value;

use super::*;
use crate::event::schema;

/// The part of an event that tests differ in.
#[derive(Clone, Debug)]
struct Event {
    stream: String,
    sequence: Option<u64>,
    priority: u8,
    topic: String,
    workflow_id: Option<String>,
    data: String,
}

impl Event {
    fn new(topic: &str, workflow_id: Option<&str>, priority: u8, data: &str) -> Self {
        Self {
            stream: workflow_id.map_or_else(|| topic.to_owned(), |id| format!("{id}/intent")),
            sequence: Some(7),
            priority,
            topic: topic.into(),
            workflow_id: workflow_id.map(Into::into),
            data: data.into(),
        }
    }
}

fn batch(events: &[Event]) -> RecordBatch {
    let text = |of: &dyn Fn(&Event) -> Option<String>| {
        let mut column = StringBuilder::new();
        for event in events {
            column.append_option(of(event));
        }
        Arc::new(column.finish()) as arrow_array::ArrayRef
    };
    let nothing = || text(&|_| None);
    let mut sequence = UInt64Builder::new();
    let (mut priority, mut tier) = (UInt8Builder::new(), UInt8Builder::new());
    let (mut received, mut tokens) = (Int64Builder::new(), Int64Builder::new());
    let mut duration = Float64Builder::new();
    for event in events {
        sequence.append_option(event.sequence);
        priority.append_value(event.priority);
        tier.append_null();
        received.append_value(1_700_000_000_000_000_000);
        tokens.append_null();
        duration.append_null();
    }
    let tokens = tokens.finish();
    let columns: Vec<arrow_array::ArrayRef> = vec![
        text(&|event| Some(event.stream.clone())),
        Arc::new(sequence.finish()),
        Arc::new(priority.finish()),
        Arc::new(tier.finish()),
        nothing(),
        Arc::new(received.finish()),
        text(&|event| Some(event.topic.clone())),
        text(&|event| event.workflow_id.clone()),
        text(&|event| event.workflow_id.as_ref().map(|_| "intent".into())),
        nothing(),
        text(&|_| Some("other".into())),
        nothing(),
        nothing(),
        Arc::new(tokens.clone()),
        Arc::new(tokens.clone()),
        Arc::new(tokens),
        nothing(),
        Arc::new(duration.finish()),
        text(&|event| Some(event.data.clone())),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// Everything that was published, from the oldest on that is kept.
#[derive(Default)]
struct Kept {
    batches: Mutex<BTreeMap<u64, RecordBatch>>,
    oldest: AtomicU64,
    reads: AtomicU64,
}

impl History for Kept {
    fn batch(&self, offset: u64) -> Result<Option<RecordBatch>, MedallionError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let oldest = self.oldest();
        if offset < oldest {
            return Err(MedallionError::Removed { offset, oldest });
        }
        Ok(self.batches.lock().get(&offset).cloned())
    }

    fn oldest(&self) -> u64 {
        self.oldest.load(Ordering::Relaxed)
    }
}

/// A hub with everything that it reads from.
struct Host {
    live: Arc<Live>,
    kept: Arc<Kept>,
    next_offset: u64,
}

impl Host {
    fn new(settings: LiveSettings) -> Self {
        let kept = Arc::new(Kept::default());
        Self {
            live: Live::new(settings, kept.clone(), 0),
            kept,
            next_offset: 0,
        }
    }

    /// One in which nothing but the newest batch stays in memory.
    fn forgetful() -> Self {
        Self::new(LiveSettings {
            ring_bytes_max: 1,
            replay_bytes_max: 1,
            ..LiveSettings::default()
        })
    }

    fn publish(&mut self, events: &[Event]) {
        let events = batch(events);
        self.kept.batches.lock().insert(self.next_offset, events.clone());
        self.live.publish(self.next_offset, events);
        self.next_offset += 1;
    }

    /// As after a restart: what was published is kept, and nothing of it is in memory.
    fn restarted(self) -> Self {
        Self {
            live: Live::new(LiveSettings::default(), self.kept.clone(), self.next_offset),
            ..self
        }
    }

    fn watch(&self, start: Start) -> Subscriber {
        self.live.subscribe(Filter::default(), start).unwrap()
    }
}

/// A frame as a browser reads it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    id: Option<String>,
    event: Option<String>,
    data: Option<String>,
}

impl Shown {
    fn json(&self) -> Value {
        serde_json::from_str(self.data.as_deref().unwrap()).unwrap()
    }

    fn id(&self) -> EventId {
        self.id.as_deref().unwrap().parse().unwrap()
    }
}

/// Reads frames by the rules of WHATWG HTML, 9.2.6.
fn shown(bytes: &[u8]) -> Vec<Shown> {
    let text = std::str::from_utf8(bytes)
        .unwrap()
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    assert!(text.ends_with("\n\n"), "a frame is cut off");
    let frame = |lines: &str| {
        let mut frame = Shown::default();
        for line in lines.lines().filter(|line| !line.starts_with(':')) {
            let (field, value) = line.split_once(": ").unwrap();
            let field = match field {
                "id" => &mut frame.id,
                "event" => &mut frame.event,
                "data" => &mut frame.data,
                other => panic!("a line {other}"),
            };
            assert!(field.replace(value.into()).is_none(), "{lines}");
        }
        frame
    };
    text.trim_end_matches('\n').split("\n\n").map(frame).collect()
}

/// What comes, within a time that is never needed.
async fn next(subscriber: &mut Subscriber) -> Result<Frames, MedallionError> {
    tokio::time::timeout(Duration::from_mins(1), subscriber.next())
        .await
        .expect("nothing comes")
}

/// So many events, in frames as they come.
async fn take(subscriber: &mut Subscriber, count: usize) -> Vec<Shown> {
    let mut all = Vec::new();
    while all.len() < count {
        let frames = next(subscriber).await.unwrap();
        let more = shown(&frames.bytes);
        assert_eq!(
            (frames.events, frames.last),
            (more.len() as u64, more.last().unwrap().id())
        );
        all.extend(more);
    }
    assert_eq!(all.len(), count);
    all
}

fn is_quiet(subscriber: &mut Subscriber) -> bool {
    let next = std::pin::pin!(subscriber.next());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    next.poll(&mut context).is_pending()
}
