//! Whatever the filter, however events are cut into batches, however slow anybody is: everybody gets exactly what a plain
//! filter over all events gives.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const TOPICS: [&str; 4] = [
    "telemetry.events.v1",
    "telemetry.metrics.v1",
    "orders.placed.v1",
    "a.b.c.v2",
];
const DATA: [&str; 4] = [
    "{\"a\":[1,2]}",
    "[DONE]",
    "line\nline\r\n\ndata: x\u{2028}",
    "{\n  \"pretty\": \"\\n\"\n}",
];

/// What one asks for, in words that a plain filter understands as well.
#[derive(Clone, Debug)]
struct Wanted {
    topics: Vec<&'static str>,
    workflows: Vec<usize>,
    priority_min: u8,
    priorities: Vec<u8>,
}

impl Wanted {
    fn filter(&self) -> Filter {
        let mut filter = Filter::default().priority_min(self.priority_min).unwrap();
        for topic in &self.topics {
            filter = filter.topic(topic).unwrap();
        }
        for workflow in &self.workflows {
            filter = filter.workflow(&format!("w{workflow}")).unwrap();
        }
        if self.priorities.is_empty() {
            return filter;
        }
        filter.priorities(self.priorities.iter().copied()).unwrap()
    }

    fn takes(&self, event: &Event) -> bool {
        let topic = |pattern: &&str| match *pattern {
            ">" => true,
            "telemetry.>" => event.topic.starts_with("telemetry."),
            "*.placed.v1" => event.topic == "orders.placed.v1",
            exact => event.topic == exact,
        };
        let workflow = |n: &usize| event.workflow_id.as_ref().is_some_and(|id| *id == format!("w{n}"));
        (self.topics.is_empty() || self.topics.iter().any(topic))
            && (self.workflows.is_empty() || self.workflows.iter().any(workflow))
            && event.priority >= self.priority_min
            && (self.priorities.is_empty() || self.priorities.contains(&event.priority))
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let patterns = vec![">", "telemetry.>", "*.placed.v1", TOPICS[0], TOPICS[3], "no.such.v1"];
    let topics = proptest::sample::subsequence(patterns, 0..3);
    let workflows = proptest::sample::subsequence(vec![0, 1, 17], 0..3);
    let some = Just(vec![]).boxed().prop_union(Just(vec![3, 4]).boxed());
    (topics, workflows, 0_u8..4, some.or(Just(vec![1, 4]).boxed())).prop_map(
        |(topics, workflows, priority_min, priorities)| Wanted {
            topics,
            workflows,
            priority_min,
            priorities,
        },
    )
}

/// The nth event of all.
fn event(seed: u64, n: u64) -> Event {
    let mut x = (seed ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    let mut pick = |of: usize| {
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31);
        usize::try_from(x >> 40).unwrap() % of
    };
    let workflow = [None, Some(0), Some(1), Some(17), Some(2)][pick(5)].map(|n| format!("w{n}"));
    let mut event = Event::new(TOPICS[pick(4)], workflow.as_deref(), 0, DATA[pick(4)]);
    event.priority = u8::try_from(pick(5)).unwrap();
    event.sequence = Some(n);
    event
}

/// Somebody, and how it behaves.
#[derive(Clone, Debug)]
struct Reader {
    wanted: Wanted,
    /// After how many batches it comes, and after each how many of them it reads.
    comes: usize,
    reads_every: usize,
    from_oldest: bool,
}

fn reader() -> impl Strategy<Value = Reader> {
    (wanted(), 0_usize..6, 1_usize..9, any::<bool>()).prop_map(|(wanted, comes, reads_every, from_oldest)| Reader {
        wanted,
        comes,
        reads_every,
        from_oldest,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn everybody_gets_what_a_plain_filter_over_all_events_gives(
        seed in any::<u64>(),
        cuts in proptest::collection::vec(proptest::sample::select(vec![0_usize, 1, 2, 7, 60, 1023, 1024, 1025, 2500]), 1..9),
        readers in proptest::collection::vec(reader(), 1..5),
        twins in any::<bool>(),
        ring_bytes_max in proptest::sample::select(vec![1_u64, 20_000, 500_000, 64 << 20]),
        replay_bytes_max in proptest::sample::select(vec![1_u64, 64 << 20]),
    ) {
        let mut readers = readers;
        if twins {
            // Two with the same filter share what is made for it.
            readers.extend(readers.clone());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(seed, &cuts, &readers, ring_bytes_max, replay_bytes_max));
    }
}

async fn run(seed: u64, cuts: &[usize], readers: &[Reader], ring_bytes_max: u64, replay_bytes_max: u64) {
    let mut host = Host::new(LiveSettings {
        ring_bytes_max,
        replay_bytes_max,
        ..LiveSettings::default()
    });
    let mut all: Vec<(EventId, Event)> = Vec::new();
    let mut watching: Vec<Option<(Subscriber, usize, Vec<Shown>)>> = readers.iter().map(|_| None).collect();
    for (batch, count) in cuts.iter().enumerate() {
        for (place, reader) in watching.iter_mut().zip(readers) {
            if reader.comes == batch {
                let (start, from) = if reader.from_oldest {
                    (Start::Oldest, 0)
                } else {
                    (Start::Now, all.len())
                };
                let subscriber = host.live.subscribe(reader.wanted.filter(), start).unwrap();
                *place = Some((subscriber, from, Vec::new()));
            }
        }
        let first = all.len() as u64;
        let events: Vec<Event> = (0..*count as u64).map(|n| event(seed, first + n)).collect();
        host.publish(&events);
        let ids = (0_u32..).map(|row| EventId {
            offset: batch as u64,
            row,
        });
        all.extend(ids.zip(events));
        for (place, reader) in watching.iter_mut().zip(readers) {
            if let Some((subscriber, _, got)) = place.as_mut().filter(|_| batch % reader.reads_every == 0) {
                // Given up in the middle, which must lose nothing.
                for _ in 0..3 {
                    if let Ok(frames) = tokio::time::timeout(Duration::ZERO, subscriber.next()).await {
                        got.extend(shown(&frames.unwrap().bytes));
                    }
                }
            }
        }
    }
    let (ring, replay) = host.live.bytes();
    // The newest of each stays with its text, whatever it takes.
    assert!(ring <= ring_bytes_max.max(8_000_000) && replay <= replay_bytes_max.max(8_000_000));
    for (place, reader) in watching.into_iter().zip(readers) {
        let Some((mut subscriber, from, mut got)) = place else {
            continue;
        };
        let expected: Vec<&(EventId, Event)> = all[from..]
            .iter()
            .filter(|(_, event)| reader.wanted.takes(event))
            .collect();
        let rest = expected.len().checked_sub(got.len()).expect("more came than there is");
        got.extend(take(&mut subscriber, rest).await);
        for (shown, (id, event)) in got.iter().zip(expected) {
            check(shown, *id, event);
        }
        let quiet = tokio::time::timeout(Duration::from_millis(2), subscriber.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
}

fn check(shown: &Shown, id: EventId, event: &Event) {
    assert_eq!((shown.id(), shown.event.as_deref()), (id, Some(event.topic.as_str())));
    let found = shown.json();
    let data = serde_json::from_str(&event.data)
        .ok()
        .filter(|data: &Value| data.is_object());
    let names = ["DEBUG", "INFO", "METRIC", "WARNING", "CRITICAL"];
    let expected = json!({
        "stream": event.stream, "sequence": event.sequence, "priority": names[usize::from(event.priority)],
        "received_unix_ns": 1_700_000_000_000_000_000_i64, "workflow_id": event.workflow_id,
        "intent_id": event.workflow_id.as_ref().map(|_| "intent"), "node_cid": null, "kind": "other",
        "data": data.unwrap_or_else(|| event.data.clone().into()),
    });
    assert_eq!(found, expected);
}
