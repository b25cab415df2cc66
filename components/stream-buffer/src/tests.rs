//! The buffer as its callers see it: Arrow in, Arrow out.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "test data is small"
)]

mod admission;
mod follow;
mod handover;
mod hostile;
mod limits;
mod outflow;
mod speed;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt8Array, UInt64Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::Schema;
use proptest::prelude::*;
use sha2::Digest;

use crate::{Admission, Buffer, Settings};

/// One event, as tests write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) stream: String,
    pub(crate) sequence: Option<u64>,
    pub(crate) priority: u8,
    pub(crate) tier: Option<u8>,
    pub(crate) token: Option<String>,
    pub(crate) payload: Option<String>,
}

impl Row {
    /// An event that may be dropped.
    pub(crate) fn new(stream: &str, sequence: Option<u64>, token: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            sequence,
            priority: 1,
            tier: None,
            token: Some(token.to_owned()),
            payload: Some("{}".to_owned()),
        }
    }

    /// The same at another priority.
    pub(crate) fn at(self, priority: u8) -> Self {
        Self { priority, ..self }
    }
}

pub(crate) fn record_batch(rows: &[Row]) -> RecordBatch {
    let columns: [(&str, ArrayRef); 6] = [
        (
            "sequence",
            Arc::new(rows.iter().map(|row| row.sequence).collect::<UInt64Array>()),
        ),
        (
            "stream",
            Arc::new(rows.iter().map(|row| Some(&*row.stream)).collect::<StringArray>()),
        ),
        (
            "priority",
            Arc::new(rows.iter().map(|row| Some(row.priority)).collect::<UInt8Array>()),
        ),
        (
            "tier",
            Arc::new(rows.iter().map(|row| row.tier).collect::<UInt8Array>()),
        ),
        (
            "token",
            Arc::new(rows.iter().map(|row| row.token.as_deref()).collect::<StringArray>()),
        ),
        (
            "payload",
            Arc::new(rows.iter().map(|row| row.payload.as_deref()).collect::<StringArray>()),
        ),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

pub(crate) fn ipc(batches: &[RecordBatch]) -> Vec<u8> {
    let schema: &Schema = batches[0].schema_ref();
    let mut writer = StreamWriter::try_new(Vec::new(), schema).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// The rows as one Arrow IPC stream of one record batch.
pub(crate) fn batch(rows: &[Row]) -> Vec<u8> {
    ipc(&[record_batch(rows)])
}

/// The rows of an Arrow IPC stream.
pub(crate) fn rows(stream: &[u8]) -> Vec<Row> {
    if stream.is_empty() {
        return Vec::new();
    }
    let reader = StreamReader::try_new(stream, None).unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let bytes = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<UInt8Type>().clone();
        let sequences = batch.column_by_name("sequence").unwrap().as_primitive::<UInt64Type>();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        for row in 0..batch.num_rows() {
            rows.push(Row {
                stream: text("stream").value(row).to_owned(),
                sequence: sequences.iter().nth(row).unwrap(),
                priority: bytes("priority").value(row),
                tier: bytes("tier").iter().nth(row).unwrap(),
                token: owned(text("token").iter().nth(row).unwrap()),
                payload: owned(text("payload").iter().nth(row).unwrap()),
            });
        }
    }
    rows
}

/// Everything that was not pulled yet.
pub(crate) fn drain(buffer: &mut Buffer) -> Vec<Row> {
    let mut all = Vec::new();
    loop {
        let pulled = buffer.pull(u32::MAX, u64::MAX).unwrap();
        if pulled.events == 0 {
            return all;
        }
        let rows = rows(&pulled.batch);
        assert_eq!(rows.len() as u64, pulled.events);
        all.extend(rows);
    }
}

pub(crate) fn settings(config: &[(&str, &str)]) -> Settings {
    Settings::parse(config.iter().copied()).unwrap()
}

pub(crate) fn shed(admission: &Admission) -> u64 {
    admission.shed.iter().map(|class| class.events).sum()
}

pub(crate) fn snapshot_tokens() -> Vec<&'static str> {
    let mut tokens = ["um", "wait", "um", "valid", "text", "um"].repeat(166);
    tokens.extend(["um", "valid", "um", "um"]);
    tokens
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

/// An event of one of a few streams, with few tokens, so that all cases meet.
pub(crate) fn any_row() -> impl Strategy<Value = Row> {
    (
        prop::sample::select(vec!["a", "b", "stream-with-a-longer-name"]),
        prop_oneof![3 => Just(None), 1 => (0_u64..400).prop_map(Some)],
        prop_oneof![4 => 0_u8..2, 1 => 0_u8..5],
        prop_oneof![3 => Just(None), 1 => (0_u8..4).prop_map(Some)],
        prop::option::weighted(
            0.9,
            prop::sample::select(vec!["um", "so", "", "a longer token, as some models have them"]),
        ),
        prop::option::of("[a-zé]{0,12}"),
    )
        .prop_map(|(stream, sequence, priority, tier, token, payload)| Row {
            stream: stream.to_owned(),
            sequence,
            priority,
            tier,
            token: token.map(str::to_owned),
            payload,
        })
}

pub(crate) fn any_rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec(any_row(), 0..most)
}
