//! Arrow batches as they cross the component boundary.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt8Array, UInt64Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};

/// A batch as an IPC stream.
pub fn ipc(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// The rows of an IPC stream, as one batch.
pub fn rows(stream: &[u8]) -> RecordBatch {
    let reader = StreamReader::try_new(stream, None).unwrap();
    let schema = reader.schema();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}

/// A text column of a batch.
pub fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Vec<Option<&'a str>> {
    let column = batch
        .column_by_name(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    let column: &StringArray = column.as_any().downcast_ref().unwrap();
    column.iter().collect()
}

/// A column of whole numbers of a batch.
pub fn numbers(batch: &RecordBatch, column: &str) -> Vec<Option<u64>> {
    let column = batch
        .column_by_name(column)
        .unwrap_or_else(|| panic!("no column {column}"));
    let column: &UInt64Array = column.as_any().downcast_ref().unwrap();
    column.iter().collect()
}

/// An event for the stream buffer.
#[derive(Clone, Debug)]
pub struct Offered {
    pub stream: String,
    pub sequence: Option<u64>,
    pub priority: u8,
    pub tier: Option<u8>,
    pub token: String,
}

/// Events as a batch for the stream buffer.
pub fn offered(events: &[Offered]) -> Vec<u8> {
    let schema = Schema::new(vec![
        Field::new("stream", DataType::Utf8, false),
        Field::new("sequence", DataType::UInt64, true),
        Field::new("priority", DataType::UInt8, false),
        Field::new("tier", DataType::UInt8, true),
        Field::new("token", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| &e.stream))),
        Arc::new(UInt64Array::from_iter(events.iter().map(|e| e.sequence))),
        Arc::new(UInt8Array::from_iter_values(events.iter().map(|e| e.priority))),
        Arc::new(UInt8Array::from_iter(events.iter().map(|e| e.tier))),
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| &e.token))),
    ];
    ipc(&RecordBatch::try_new(Arc::new(schema), columns).unwrap())
}
