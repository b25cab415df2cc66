//! The simple form of an event: its data, and whichever attributes somebody cares to name; the host fills in the others.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kinetic_ledger::LedgerError;
use kinetic_ledger::bus::{Envelope, NewEvent, timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The source of events whose publisher named none: they came to this host from outside.
const SOURCE: &str = "urn:kinetic:host";

/// An event in the simple form. Its data is JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Simple<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    key: Option<String>,
    id: Option<String>,
    source: Option<String>,
    r#type: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    causationid: Option<String>,
    traceparent: Option<String>,
    idempotencykey: Option<String>,
}

impl Simple<'_> {
    /// The event, with an id of its own, the topic as its type and the time of now unless it says otherwise.
    pub(super) fn event(self, topic: Arc<str>) -> Result<NewEvent, LedgerError> {
        let id = self.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let source = self.source.unwrap_or_else(|| SOURCE.into());
        let kind = self.r#type.unwrap_or_else(|| topic.as_ref().into());
        let time = self.time.unwrap_or_else(now);
        let mut envelope = Envelope::builder(id, source, kind)
            .time(time)
            .data(self.data.get().as_bytes());
        if let Some(subject) = self.subject {
            envelope = envelope.subject(subject);
        }
        if let Some(id) = self.causationid {
            envelope = envelope.causation(id);
        }
        if let Some(traceparent) = self.traceparent {
            envelope = envelope.traceparent(traceparent);
        }
        if let Some(key) = self.idempotencykey {
            envelope = envelope.idempotency_key(key);
        }
        let event = NewEvent::new(topic, envelope.build()?);
        Ok(match self.key {
            Some(key) => event.with_key(key),
            None => event,
        })
    }
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in_and_what_is_named_stays() {
        let read = |json: &str| {
            serde_json::from_str::<Simple<'_>>(json)
                .unwrap()
                .event("a.b.v1".into())
                .unwrap()
        };
        let event = read(r#"{"data": 1}"#);
        let envelope = &event.envelope;
        assert_eq!(
            (envelope.kind(), envelope.source(), event.key.as_ref()),
            ("a.b.v1", SOURCE, None)
        );
        assert!(envelope.id().len() == 36 && envelope.time().is_some());
        let event = read(
            r#"{"data": 1, "key": "k", "id": "7", "source": "/s", "type": "t", "subject": "x", "time": "2024-01-01T00:00:00Z"}"#,
        );
        let envelope = &event.envelope;
        assert_eq!((envelope.id(), envelope.source(), envelope.kind()), ("7", "/s", "t"));
        assert_eq!(
            (envelope.subject(), envelope.time()),
            (Some("x"), Some("2024-01-01T00:00:00Z"))
        );
        assert_eq!(event.key.as_deref(), Some(b"k".as_slice()));
    }
}
