//! Events that a capsule publishes: what it asked for, in the form that goes on a tape, and what goes to the bus.

use kinetic_engine::TapedBytes;
use kinetic_ledger::LedgerError;
use kinetic_ledger::bus::{Envelope, NewEvent};
use serde::Serialize;
use uuid::Uuid;

use crate::bindings::kinetic::events::bus;

/// All that a guest said of an event, for the digest of its request.
#[derive(Serialize)]
pub(crate) struct Asked<'a> {
    topic: &'a str,
    key: Option<TapedBytes>,
    id: Option<&'a str>,
    kind: Option<&'a str>,
    subject: Option<&'a str>,
    content_type: Option<&'a str>,
    schema: Option<&'a str>,
    causation: Option<&'a str>,
    traceparent: Option<&'a str>,
    idempotency_key: Option<&'a str>,
    extensions: &'a [(String, String)],
    data: Option<TapedBytes>,
}

impl<'a> From<&'a bus::NewEvent> for Asked<'a> {
    fn from(event: &'a bus::NewEvent) -> Self {
        Self {
            topic: &event.topic,
            key: event.key.clone().map(TapedBytes),
            id: event.id.as_deref(),
            kind: event.kind.as_deref(),
            subject: event.subject.as_deref(),
            content_type: event.content_type.as_deref(),
            schema: event.schema.as_deref(),
            causation: event.causation.as_deref(),
            traceparent: event.traceparent.as_deref(),
            idempotency_key: event.idempotency_key.as_deref(),
            extensions: &event.extensions,
            data: event.data.clone().map(TapedBytes),
        }
    }
}

/// An event for the bus. Its source is the capsule's name, whatever the guest says.
///
/// An id that the host makes is new each time, for D0 and D1 capsules too: the same call made twice publishes two events,
/// which may not have one id. Guests do not see it, so it is no part of what a replay repeats.
pub(crate) fn event(given: bus::NewEvent, source: &str, time: &str) -> Result<NewEvent, LedgerError> {
    let id = given.id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let kind = given.kind.as_deref().unwrap_or(&given.topic);
    let mut builder = Envelope::builder(id, source, kind).time(time);
    for (name, value) in &given.extensions {
        builder = builder.extension(name.as_str(), value.as_str());
    }
    if let Some(subject) = &given.subject {
        builder = builder.subject(subject.as_str());
    }
    if let Some(media_type) = &given.content_type {
        builder = builder.content_type(media_type.as_str());
    }
    if let Some(schema) = &given.schema {
        builder = builder.schema(schema.as_str());
    }
    if let Some(id) = &given.causation {
        builder = builder.causation(id.as_str());
    }
    if let Some(traceparent) = &given.traceparent {
        builder = builder.traceparent(traceparent.as_str());
    }
    if let Some(key) = &given.idempotency_key {
        builder = builder.idempotency_key(key.as_str());
    }
    if let Some(data) = &given.data {
        builder = builder.data(data.as_slice());
    }
    let event = NewEvent::new(given.topic.as_str(), builder.build()?);
    Ok(match given.key {
        Some(key) => event.with_key(key),
        None => event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinetic_ledger::bus::timestamp;

    fn given() -> bus::NewEvent {
        bus::NewEvent {
            topic: "a.b.v1".into(),
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
            data: None,
        }
    }

    #[test]
    fn what_is_left_out_gets_an_id_of_its_own_and_the_topic_as_its_type() {
        let time = timestamp(1);
        let one = event(given(), "urn:a", &time).unwrap();
        let two = event(given(), "urn:a", &time).unwrap();
        assert_ne!(one.envelope.id(), two.envelope.id());
        assert_eq!((one.envelope.kind(), one.envelope.source()), ("a.b.v1", "urn:a"));
        assert_eq!(one.envelope.time(), Some("1970-01-01T00:00:00.000000001Z"));
    }

    #[test]
    fn every_attribute_arrives_and_source_cannot_be_said() {
        let text = |text: &str| Some(text.to_string());
        let full = bus::NewEvent {
            key: Some(vec![1]),
            id: text("i"),
            kind: text("k"),
            subject: text("s"),
            content_type: text("text/plain"),
            schema: text("urn:schema"),
            causation: text("c"),
            traceparent: text("00-1-2-03"),
            idempotency_key: text("once"),
            extensions: vec![("more".into(), "1".into())],
            data: Some(b"d".to_vec()),
            ..given()
        };
        let event = event(full, "urn:a", "2024-01-01T00:00:00Z").unwrap();
        let envelope = &event.envelope;
        assert_eq!(event.key.as_deref(), Some(&[1][..]));
        assert_eq!(
            (envelope.id(), envelope.kind(), envelope.subject()),
            ("i", "k", Some("s"))
        );
        assert_eq!(
            (envelope.content_type(), envelope.schema()),
            (Some("text/plain"), Some("urn:schema"))
        );
        assert_eq!(envelope.causation().as_deref(), Some("c"));
        assert_eq!(envelope.traceparent().as_deref(), Some("00-1-2-03"));
        assert_eq!(envelope.idempotency_key().as_deref(), Some("once"));
        assert_eq!((envelope.extensions().count(), envelope.data()), (4, Some(&b"d"[..])));
        let forged = bus::NewEvent {
            extensions: vec![("source".into(), "urn:other".into())],
            ..given()
        };
        assert!(matches!(
            self::event(forged, "urn:a", "2024-01-01T00:00:00Z"),
            Err(LedgerError::InvalidEvent { .. })
        ));
    }
}
