//! Batches as Arrow IPC streams, as they cross to the components and stand in the log.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use bytes::Bytes;

use crate::MedallionError;

/// A batch as an IPC stream.
pub(crate) fn write(batch: &RecordBatch) -> Result<Vec<u8>, MedallionError> {
    let bytes = Vec::with_capacity(batch.get_array_memory_size() + 4096);
    let written = StreamWriter::try_new(bytes, &batch.schema()).and_then(|mut writer| {
        writer.write(batch)?;
        writer.into_inner()
    });
    written.map_err(|error| MedallionError::Encoding {
        what: "write a batch as Arrow IPC".into(),
        why: error.to_string(),
    })
}

/// The rows of an IPC stream as one batch; the bytes are shared, not copied, where they are aligned. The error is a
/// sentence, for whoever knows where the bytes come from.
pub(crate) fn read(stream: Bytes) -> Result<RecordBatch, String> {
    let mut batches = Vec::new();
    let schema = decode(stream, &mut batches).map_err(|error| error.to_string())?;
    match batches.len() {
        1 => Ok(batches.swap_remove(0)),
        _ => concat_batches(&schema, &batches).map_err(|error| error.to_string()),
    }
}

fn decode(stream: Bytes, batches: &mut Vec<RecordBatch>) -> Result<SchemaRef, ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut left = Buffer::from(stream);
    while !left.is_empty() {
        if let Some(batch) = decoder.decode(&mut left)? {
            batches.push(batch);
        }
    }
    decoder.finish()?;
    let schema = batches.first().map(RecordBatch::schema).or_else(|| decoder.schema());
    schema.ok_or_else(|| ArrowError::IpcError("there is no schema in it".into()))
}

/// Batches of one schema as one.
pub(crate) fn concat(batches: &[RecordBatch]) -> Result<RecordBatch, MedallionError> {
    let [first, others @ ..] = batches else {
        return Ok(RecordBatch::new_empty(crate::event::schema()));
    };
    if others.is_empty() {
        return Ok(first.clone());
    }
    concat_batches(&first.schema(), batches).map_err(|error| MedallionError::Encoding {
        what: "join batches".into(),
        why: error.to_string(),
    })
}

/// The same rows under another schema, whose columns are the same.
pub(crate) fn with_schema(batch: &RecordBatch, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(schema, batch.columns().iter().map(Arc::clone).collect())
}
