//! One event as a frame of server-sent events, on lines that nothing in the event can break.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, UInt8Type, UInt64Type};
use arrow_array::{Array as _, Int64Array, RecordBatch, StringArray, UInt8Array, UInt64Array};
use serde::Serialize;
use serde_json::value::RawValue;

use super::EventId;
use crate::MedallionError;
use crate::event::{is_topic, priority_name};

/// The columns that filters and frames look at.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) stream: StringArray,
    sequence: UInt64Array,
    pub(super) priority: UInt8Array,
    received_unix_ns: Int64Array,
    pub(super) topic: StringArray,
    pub(super) workflow_id: StringArray,
    intent_id: StringArray,
    node_cid: StringArray,
    kind: StringArray,
    data: StringArray,
}

impl Columns {
    pub(super) fn of(events: &RecordBatch) -> Result<Self, MedallionError> {
        let lacks = |name: &str| MedallionError::OtherSchema {
            what: format!("its column {name} is missing or of another type"),
        };
        let column = |name: &str| events.column_by_name(name).ok_or_else(|| lacks(name));
        let texts = |name: &str| column(name)?.as_string_opt::<i32>().cloned().ok_or_else(|| lacks(name));
        let sequence = column("sequence")?.as_primitive_opt::<UInt64Type>().cloned();
        let priority = column("priority")?.as_primitive_opt::<UInt8Type>().cloned();
        let received = column("received_unix_ns")?.as_primitive_opt::<Int64Type>().cloned();
        Ok(Self {
            stream: texts("stream")?,
            sequence: sequence.ok_or_else(|| lacks("sequence"))?,
            priority: priority.ok_or_else(|| lacks("priority"))?,
            received_unix_ns: received.ok_or_else(|| lacks("received_unix_ns"))?,
            topic: texts("topic")?,
            workflow_id: texts("workflow_id")?,
            intent_id: texts("intent_id")?,
            node_cid: texts("node_cid")?,
            kind: texts("kind")?,
            data: texts("data")?,
        })
    }

    /// What the values take in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts = [
            &self.stream,
            &self.topic,
            &self.workflow_id,
            &self.intent_id,
            &self.node_cid,
            &self.kind,
            &self.data,
        ];
        let numbers = size_of_val(self.sequence.values().as_ref())
            + size_of_val(self.priority.values().as_ref())
            + size_of_val(self.received_unix_ns.values().as_ref());
        numbers + texts.into_iter().map(text_bytes).sum::<usize>()
    }

    /// Appends the frame of a row of the batch.
    pub(super) fn push_frame(&self, id: EventId, row: usize, out: &mut Vec<u8>) {
        push(out, b"id: ");
        json(out, &id.offset);
        push(out, b"-");
        json(out, &id.row);
        let topic = self.topic.value(row);
        // A name that is none could be the name of a frame about the stream itself.
        if is_topic(topic) {
            push(out, b"\nevent: ");
            push(out, topic.as_bytes());
        }
        push(out, b"\ndata: {\"stream\":");
        json(out, self.stream.value(row));
        push(out, b",\"sequence\":");
        json(out, &self.sequence.is_valid(row).then(|| self.sequence.value(row)));
        push(out, b",\"priority\":");
        match priority_name(self.priority.value(row)) {
            Some(name) => json(out, name),
            None => json(out, &self.priority.value(row)),
        }
        push(out, b",\"received_unix_ns\":");
        json(out, &self.received_unix_ns.value(row));
        push(out, b",\"workflow_id\":");
        json(out, &text(&self.workflow_id, row));
        push(out, b",\"intent_id\":");
        json(out, &text(&self.intent_id, row));
        push(out, b",\"node_cid\":");
        json(out, &text(&self.node_cid, row));
        push(out, b",\"kind\":");
        json(out, self.kind.value(row));
        push(out, b",\"data\":");
        push_data(out, self.data.value(row));
        push(out, b"}\n\n");
    }

    /// About what the frame of a row takes beside its texts' marks, in bytes.
    pub(super) fn frame_bytes(&self, row: usize) -> usize {
        const FIXED: usize = 256;
        FIXED + self.stream.value(row).len() * 2 + self.data.value(row).len()
    }
}

/// The text of a row of a column that may hold none.
pub(super) fn text(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// What the texts of a column and where they end take in memory.
fn text_bytes(column: &StringArray) -> usize {
    let ends = column.value_offsets();
    let text = ends.last().zip(ends.first()).map_or(0, |(end, begin)| end - begin);
    usize::try_from(text).unwrap_or_default() + size_of_val(ends)
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

/// Numbers and texts always serialise, control characters escaped.
fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(out, value);
}

fn push_data(out: &mut Vec<u8>, data: &str) {
    let document = data.trim_ascii();
    if !document.starts_with(['{', '[']) || serde_json::from_str::<&RawValue>(document).is_err() {
        return json(out, data);
    }
    let begin = out.len();
    push(out, document.as_bytes());
    // In JSON a line break only ever is white space, and would end the line here.
    for byte in out.iter_mut().skip(begin) {
        if matches!(*byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
}
