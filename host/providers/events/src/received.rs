//! Events that a capsule gets, in the form they have on a tape: JSON, bytes as base64.

use kinetic_engine::TapedBytes;
use kinetic_ledger::bus::{Attribute, Event, Subscription};
use serde::{Deserialize, Serialize};

use crate::bindings::kinetic::events::bus;

/// Extensions that have a field of their own.
const NAMED: [&str; 2] = ["causationid", "traceparent"];

/// See the module.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    topic: String,
    partition: u16,
    offset: u64,
    key: Option<TapedBytes>,
    id: String,
    source: String,
    kind: String,
    subject: Option<String>,
    time: Option<String>,
    content_type: Option<String>,
    schema: Option<String>,
    causation: Option<String>,
    traceparent: Option<String>,
    idempotency_key: String,
    extensions: Vec<(String, String)>,
    data: Option<TapedBytes>,
}

impl Received {
    pub(crate) fn new(subscription: &Subscription, event: &Event) -> Self {
        let envelope = &event.envelope;
        let text = |text: Option<&str>| text.map(ToString::to_string);
        let others = envelope.extensions().filter(|(name, _)| !NAMED.contains(name));
        Self {
            topic: subscription.topic().to_string(),
            partition: event.partition,
            offset: event.offset,
            key: event.key.as_ref().map(|key| TapedBytes(key.to_vec())),
            id: envelope.id().to_string(),
            source: envelope.source().to_string(),
            kind: envelope.kind().to_string(),
            subject: text(envelope.subject()),
            time: text(envelope.time()),
            content_type: text(envelope.content_type()),
            schema: text(envelope.schema()),
            causation: text(envelope.causation().as_deref()),
            traceparent: text(envelope.traceparent().as_deref()),
            idempotency_key: subscription.idempotency_key(event),
            extensions: others.map(|(name, value)| (name.to_string(), plain(value))).collect(),
            data: envelope.data().map(|data| TapedBytes(data.to_vec())),
        }
    }
}

/// The value of an attribute as text, as CloudEvents writes it.
fn plain(value: Attribute<'_>) -> String {
    match value {
        Attribute::Text(text) => text.into_owned(),
        Attribute::Integer(number) => number.to_string(),
        Attribute::Boolean(value) => value.to_string(),
    }
}

impl From<Received> for bus::Event {
    fn from(event: Received) -> Self {
        Self {
            topic: event.topic,
            partition: event.partition,
            offset: event.offset,
            key: event.key.map(|key| key.0),
            id: event.id,
            source: event.source,
            kind: event.kind,
            subject: event.subject,
            time: event.time,
            content_type: event.content_type,
            schema: event.schema,
            causation: event.causation,
            traceparent: event.traceparent,
            idempotency_key: event.idempotency_key,
            extensions: event.extensions,
            data: event.data.map(|data| data.0),
        }
    }
}
