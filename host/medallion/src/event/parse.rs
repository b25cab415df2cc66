//! Reads one event into one row.

use serde::de::DeserializeSeed as _;

use super::fields::{Data, DataPlace, Fields, Marks, ObjectReader};
use super::frame::Interface;
use super::json::is_within_depth;
use super::names::{self, DEFAULT_TOPIC};
use super::rejects::Reason;
use super::rows::{Row, Rows};
use super::{DEPTH_MAX, ID_BYTES_MAX};

const DONE: &str = "[DONE]";

/// What is kept from one event to the next, so that most are read without taking memory.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// An event's `data` with its escapes written out.
    buffer: String,
    /// The last topic that was found good: it is most often the next one's as well.
    topic: String,
}

impl Parser {
    /// Reads an event's JSON, or an SSE data field alone, and appends its row.
    pub(super) fn read(&mut self, text: &str, now_unix_ns: i64, rows: &mut Rows) -> Result<(), Reason> {
        if text == DONE {
            rows.append(&Row::done(now_unix_ns));
            return Ok(());
        }
        if !text.starts_with('{') {
            return Err(Reason::of_no_object(text));
        }
        if !is_within_depth(text, DEPTH_MAX) {
            return Err(Reason::TooDeep);
        }
        let (mut event, mut inner, mut data) = (Fields::default(), Fields::default(), Data::default());
        let reader = ObjectReader {
            fields: &mut event,
            data: Some(DataPlace {
                data: &mut data,
                inner: &mut inner,
                buffer: &mut self.buffer,
            }),
        };
        let mut json = serde_json::Deserializer::from_str(text);
        reader
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|error| Reason::NotJson(error.to_string()))?;
        let data = match data {
            Data::Text(data) => Some(data),
            Data::Unescaped => Some(self.buffer.as_str()),
            Data::Missing | Data::Other | Data::Object => None,
        };
        let inner = data.map_or(inner, read_frame);
        let topic = check_topic(&event, &mut self.topic)?;
        let row = row(
            &event,
            &inner,
            data,
            Source {
                text,
                topic,
                now_unix_ns,
            },
        );
        check_ids(&row)?;
        rows.append(&row);
        Ok(())
    }
}

/// What a row needs beside what was read of the event.
struct Source<'a> {
    text: &'a str,
    topic: &'a str,
    now_unix_ns: i64,
}

/// What the frame in a `data` text says; nothing, when that is no JSON object.
fn read_frame(data: &str) -> Fields<'_> {
    let mut fields = Fields::default();
    if !data.trim_start().starts_with('{') || !is_within_depth(data, DEPTH_MAX) {
        return fields;
    }
    let reader = ObjectReader {
        fields: &mut fields,
        data: None,
    };
    let mut json = serde_json::Deserializer::from_str(data);
    if reader.deserialize(&mut json).and_then(|()| json.end()).is_err() {
        return Fields::default();
    }
    fields
}

fn check_topic<'a>(event: &'a Fields<'_>, good: &mut String) -> Result<&'a str, Reason> {
    let Some(topic) = event.topic.as_deref() else {
        return if event.marks.has(Marks::STRANGE_TOPIC) {
            Err(Reason::Topic)
        } else {
            Ok(DEFAULT_TOPIC)
        };
    };
    if topic != good {
        if !names::is_topic(topic) {
            return Err(Reason::Topic);
        }
        topic.clone_into(good);
    }
    Ok(topic)
}

fn check_ids(row: &Row<'_>) -> Result<(), Reason> {
    let ids = [
        ("workflow_id", row.workflow_id),
        ("intent_id", row.intent_id),
        ("node_cid", row.node_cid),
    ];
    ids.into_iter()
        .find(|(_, id)| id.is_some_and(|id| id.len() > ID_BYTES_MAX))
        .map_or(Ok(()), |(name, _)| Err(Reason::IdTooLong(name)))
}

fn row<'a>(event: &'a Fields<'_>, inner: &'a Fields<'_>, data: Option<&'a str>, source: Source<'a>) -> Row<'a> {
    let named = |fields: &Fields<'_>| fields.workflow_id.is_some() || fields.intent_id.is_some();
    let address = if named(inner) && !named(event) { inner } else { event };
    let is_done = data.is_some_and(|data| data.trim() == DONE);
    let tokens = inner.usage.or(event.usage).unwrap_or_default();
    let error = inner.error.as_deref().or(event.error.as_deref());
    let default_priority = if error.is_some() {
        names::WARNING
    } else if is_done || inner.usage.is_some() || event.usage.is_some() {
        names::METRIC
    } else {
        names::INFO
    };
    let kind = if is_done {
        "done"
    } else {
        kind(inner).or_else(|| kind(event)).unwrap_or("other")
    };
    let (choices, token) = (&inner.choices, event.token.as_deref().or(inner.token.as_deref()));
    Row {
        sequence: address.sequence,
        priority: event.priority.unwrap_or(default_priority),
        tier: event.tier.or(inner.tier),
        token: token.or(choices.token.as_deref()).or(event.choices.token.as_deref()),
        received_unix_ns: event.received_unix_ns.unwrap_or(source.now_unix_ns),
        topic: source.topic,
        workflow_id: address.workflow_id.as_deref(),
        intent_id: address.intent_id.as_deref(),
        node_cid: address.node_cid.as_deref(),
        kind,
        model: inner.model.as_deref().or(event.model.as_deref()),
        finish_reason: choices
            .finish_reason
            .as_deref()
            .or(event.choices.finish_reason.as_deref()),
        prompt_tokens: tokens.prompt,
        completion_tokens: tokens.completion,
        cached_tokens: tokens.cached,
        error,
        duration_ms: inner.duration_ms.or(event.duration_ms),
        data: data.filter(|_| !event.says_more).unwrap_or(source.text),
    }
}

/// What kind of frame an object is, if of any.
fn kind(fields: &Fields<'_>) -> Option<&'static str> {
    let marks = fields.marks;
    if marks.has(Marks::JSONRPC) {
        return if marks.has(Marks::METHOD) && marks.has(Marks::ID) {
            Some("jsonrpc.request")
        } else if marks.has(Marks::METHOD) {
            Some("jsonrpc.notification")
        } else if fields.error.is_some() {
            Some("jsonrpc.error")
        } else if marks.has(Marks::RESULT) {
            Some("jsonrpc.result")
        } else {
            None
        };
    }
    if marks.has(Marks::RECEIPT) {
        return Some("execution");
    }
    let stated = match fields.interface {
        Interface::Unknown => fields.choices.interface,
        stated => stated,
    };
    match (stated, fields.usage.is_some()) {
        (Interface::Chat, false) => Some("chat.chunk"),
        (Interface::Chat, true) => Some("chat.usage"),
        (Interface::Text, false) => Some("text.chunk"),
        (Interface::Text, true) => Some("text.usage"),
        // Some servers leave `object` out of the frame with the usage, which has no choice to tell the interface by.
        (Interface::Unknown, true) if fields.choices.is_array => Some("chat.usage"),
        (Interface::Unknown, _) => None,
    }
}
