//! Collects rows column by column until they are a record batch.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder, UInt8Builder, UInt64Builder};
use arrow_array::{Array as _, ArrayRef, RecordBatch};

use super::names::{self, DEFAULT_TOPIC};
use super::schema;
use crate::MedallionError;

/// What a row takes beside its texts, in bytes.
pub(super) const ROW_BYTES: usize = 128;

/// One event; the fields are the columns of [the table](super).
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) sequence: Option<u64>,
    pub(super) priority: u8,
    pub(super) tier: Option<u8>,
    pub(super) token: Option<&'a str>,
    pub(super) received_unix_ns: i64,
    pub(super) topic: &'a str,
    pub(super) workflow_id: Option<&'a str>,
    pub(super) intent_id: Option<&'a str>,
    pub(super) node_cid: Option<&'a str>,
    pub(super) kind: &'static str,
    pub(super) model: Option<&'a str>,
    pub(super) finish_reason: Option<&'a str>,
    pub(super) prompt_tokens: Option<i64>,
    pub(super) completion_tokens: Option<i64>,
    pub(super) cached_tokens: Option<i64>,
    pub(super) error: Option<&'a str>,
    pub(super) duration_ms: Option<f64>,
    pub(super) data: &'a str,
}

impl Row<'static> {
    /// The row of a `[DONE]` that stands alone.
    pub(super) fn done(received_unix_ns: i64) -> Self {
        Self {
            sequence: None,
            priority: names::METRIC,
            tier: None,
            token: None,
            received_unix_ns,
            topic: DEFAULT_TOPIC,
            workflow_id: None,
            intent_id: None,
            node_cid: None,
            kind: "done",
            model: None,
            finish_reason: None,
            prompt_tokens: None,
            completion_tokens: None,
            cached_tokens: None,
            error: None,
            duration_ms: None,
            data: "[DONE]",
        }
    }
}

/// Rows, until they are a batch.
#[derive(Debug, Default)]
pub(super) struct Rows {
    stream: StringBuilder,
    sequence: UInt64Builder,
    priority: UInt8Builder,
    tier: UInt8Builder,
    token: StringBuilder,
    received_unix_ns: Int64Builder,
    topic: StringBuilder,
    workflow_id: StringBuilder,
    intent_id: StringBuilder,
    node_cid: StringBuilder,
    kind: StringBuilder,
    model: StringBuilder,
    finish_reason: StringBuilder,
    prompt_tokens: Int64Builder,
    completion_tokens: Int64Builder,
    cached_tokens: Int64Builder,
    error: StringBuilder,
    duration_ms: Float64Builder,
    data: StringBuilder,
}

impl Rows {
    pub(super) fn append(&mut self, row: &Row<'_>) {
        self.append_stream(row);
        self.sequence.append_option(row.sequence);
        self.priority.append_value(row.priority);
        self.tier.append_option(row.tier);
        self.token.append_option(row.token);
        self.received_unix_ns.append_value(row.received_unix_ns);
        self.topic.append_value(row.topic);
        self.workflow_id.append_option(row.workflow_id);
        self.intent_id.append_option(row.intent_id);
        self.node_cid.append_option(row.node_cid);
        self.kind.append_value(row.kind);
        self.model.append_option(row.model);
        self.finish_reason.append_option(row.finish_reason);
        self.prompt_tokens.append_option(row.prompt_tokens);
        self.completion_tokens.append_option(row.completion_tokens);
        self.cached_tokens.append_option(row.cached_tokens);
        self.error.append_option(row.error);
        self.duration_ms.append_option(row.duration_ms);
        self.data.append_value(row.data);
    }

    fn append_stream(&mut self, row: &Row<'_>) {
        // Writing into a builder cannot fail; the empty value ends the row.
        let _ = self.stream.write_str(row.workflow_id.unwrap_or_default());
        let _ = self.stream.write_str("/");
        let _ = self.stream.write_str(row.intent_id.unwrap_or_default());
        self.stream.append_value("");
    }

    /// Hands out what was appended, and makes room for as many rows of the same size.
    pub(super) fn take(&mut self) -> Result<RecordBatch, MedallionError> {
        let columns = vec![
            texts(&mut self.stream),
            Arc::new(self.sequence.finish()),
            Arc::new(self.priority.finish()),
            Arc::new(self.tier.finish()),
            texts(&mut self.token),
            Arc::new(self.received_unix_ns.finish()),
            texts(&mut self.topic),
            texts(&mut self.workflow_id),
            texts(&mut self.intent_id),
            texts(&mut self.node_cid),
            texts(&mut self.kind),
            texts(&mut self.model),
            texts(&mut self.finish_reason),
            Arc::new(self.prompt_tokens.finish()),
            Arc::new(self.completion_tokens.finish()),
            Arc::new(self.cached_tokens.finish()),
            texts(&mut self.error),
            Arc::new(self.duration_ms.finish()),
            texts(&mut self.data),
        ];
        RecordBatch::try_new(schema::schema(), columns).map_err(|error| MedallionError::Encoding {
            what: "make a batch of events".into(),
            why: error.to_string(),
        })
    }
}

/// Ends a column, and makes room for one of the same size after it.
fn texts(builder: &mut StringBuilder) -> ArrayRef {
    let array = builder.finish();
    *builder = StringBuilder::with_capacity(array.len(), array.value_data().len());
    Arc::new(array)
}
