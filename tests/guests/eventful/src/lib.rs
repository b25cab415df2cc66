//! Publishes and consumes events, well and badly.

#[expect(
    clippy::too_many_arguments,
    reason = "the canonical ABI hands a record's fields over one by one"
)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", generate_all });
}

use std::collections::BTreeMap;

use bindings::kinetic::events::bus::{self, Error, NewEvent, Options, Start, Subscription};
use bindings::kinetic::state::store::{self, Owner};
use bindings::{Guest, Seen};

const BATCH: u32 = 1_000;
const BYTES: u32 = 1 << 20;

struct Eventful;

fn text(error: Error) -> String {
    format!("{error:?}")
}

fn lost(error: store::Error) -> String {
    format!("{error:?}")
}

fn new_event(topic: &str, data: &str) -> NewEvent {
    NewEvent {
        topic: topic.into(),
        key: None,
        id: None,
        kind: None,
        subject: None,
        content_type: None,
        schema: None,
        causation: None,
        traceparent: None,
        idempotency_key: None,
        extensions: Vec::new(),
        data: Some(data.as_bytes().to_vec()),
    }
}

fn publish(topic: &str, data: &str) -> Result<(), String> {
    let event = NewEvent {
        key: Some(b"k".to_vec()),
        kind: Some("tests.said".into()),
        subject: Some("s".into()),
        content_type: Some("text/plain".into()),
        idempotency_key: Some("mine".into()),
        extensions: vec![("mood".into(), "fine".into())],
        ..new_event(topic, data)
    };
    bus::publish(&[event]).map_err(text)
}

fn options(group: Option<&str>) -> Options {
    Options {
        group: group.map(Into::into),
        partitions: Vec::new(),
        start: Start::Earliest,
        credit_events: None,
        credit_bytes: None,
    }
}

fn in_group(topic: &str, group: &str) -> Result<Subscription, String> {
    bus::subscribe(topic, &options(Some(group))).map_err(text)
}

fn shown(event: bus::Event) -> Seen {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Seen {
        partition: event.partition,
        offset: event.offset,
        id: event.id,
        source: event.source,
        kind: event.kind,
        time: event.time,
        causation: event.causation,
        idempotency_key: event.idempotency_key,
        extensions: event.extensions,
        key: event.key.map(text),
        data: event.data.map(text),
    }
}

/// Consumes all of these events.
fn done<'a>(subscription: &Subscription, events: impl IntoIterator<Item = &'a bus::Event>) -> Result<(), String> {
    let last: BTreeMap<u16, u64> = events
        .into_iter()
        .map(|event| (event.partition, event.offset))
        .collect();
    last.into_iter()
        .try_for_each(|(partition, offset)| subscription.done(partition, offset))
        .map_err(text)
}

fn counted() -> Result<u64, String> {
    let value = store::get(&Owner::Mine, "count").map_err(lost)?;
    Ok(value.map_or(0, |bytes| String::from_utf8(bytes).unwrap().parse().unwrap()))
}

impl Guest for Eventful {
    fn publish(topic: String, data: String) -> Result<(), String> {
        store::put(&Owner::Mine, "said", data.as_bytes()).map_err(lost)?;
        publish(&topic, &data)
    }

    fn publish_many(topic: String, begin: u32, count: u32) -> Result<(), String> {
        let event = |number: u32| NewEvent {
            key: Some(number.to_string().into_bytes()),
            ..new_event(&topic, &number.to_string())
        };
        let events: Vec<NewEvent> = (begin..begin + count).map(event).collect();
        bus::publish(&events).map_err(text)
    }

    fn publish_and_err(topic: String, data: String) -> Result<(), String> {
        publish(&topic, &data)?;
        Err("changed my mind".into())
    }

    fn publish_and_panic(topic: String, data: String) -> Result<(), String> {
        publish(&topic, &data)?;
        panic!("after publishing")
    }

    fn forge(topic: String) -> Result<(), String> {
        let event = NewEvent {
            extensions: vec![("source".into(), "urn:somebody:else".into())],
            ..new_event(&topic, "1")
        };
        bus::publish(&[event]).map_err(text)
    }

    fn count(topic: String, group: String, into: String, limit: u32, wait_ms: u32) -> Result<u32, String> {
        let subscription = in_group(&topic, &group)?;
        let events = subscription.next(limit, BYTES, wait_ms).map_err(text)?;
        let count = events.len() as u64;
        if count == 0 {
            return Ok(0);
        }
        let sum = counted()? + count;
        store::put(&Owner::Mine, "count", sum.to_string().as_bytes()).map_err(lost)?;
        let output = |event: &bus::Event| NewEvent {
            causation: Some(event.id.clone()),
            ..new_event(
                &into,
                std::str::from_utf8(event.data.as_deref().unwrap_or_default()).unwrap(),
            )
        };
        let outputs: Vec<NewEvent> = events.iter().map(output).collect();
        bus::publish(&outputs).map_err(text)?;
        done(&subscription, &events)?;
        Ok(count as u32)
    }

    fn counted() -> Result<u64, String> {
        counted()
    }

    fn drain(topic: String, group: String, wait_ms: u32) -> Result<Vec<Seen>, String> {
        let subscription = in_group(&topic, &group)?;
        let mut all = Vec::new();
        loop {
            let events = subscription.next(BATCH, BYTES, wait_ms).map_err(text)?;
            if events.is_empty() {
                return Ok(all);
            }
            done(&subscription, &events)?;
            all.extend(events.into_iter().map(shown));
        }
    }

    fn peek(topic: String, limit: u32, wait_ms: u32) -> Result<Vec<Seen>, String> {
        let subscription = bus::subscribe(&topic, &options(None)).map_err(text)?;
        let events = subscription.next(limit, BYTES, wait_ms).map_err(text)?;
        assert_eq!(subscription.missed(), 0);
        Ok(events.into_iter().map(shown).collect())
    }

    fn reject(topic: String, group: String, data: String, wait_ms: u32) -> Result<(u32, u32), String> {
        let subscription = in_group(&topic, &group)?;
        let (mut came, mut others) = (0, 0);
        loop {
            let events = subscription.next(1, BYTES, wait_ms).map_err(text)?;
            let Some(event) = events.first() else {
                return Ok((came, others));
            };
            if event.data.as_deref() == Some(data.as_bytes()) {
                came += 1;
                subscription.reject(event.partition, event.offset).map_err(text)?;
            } else {
                others += 1;
                subscription.done(event.partition, event.offset).map_err(text)?;
            }
        }
    }

    fn choke(topic: String, group: String, wait_ms: u32) -> Result<(), String> {
        let subscription = in_group(&topic, &group)?;
        match subscription.next(1, BYTES, wait_ms).map_err(text)?.first() {
            Some(event) => panic!("cannot swallow {}", event.offset),
            None => Ok(()),
        }
    }

    fn hoard(topic: String, count: u32) -> Result<(), String> {
        let subscriptions: Result<Vec<_>, _> = (0..count).map(|_| bus::subscribe(&topic, &options(None))).collect();
        subscriptions.map(drop).map_err(text)
    }
}

bindings::export!(Eventful with_types_in bindings);
