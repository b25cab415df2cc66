//! Arrow IPC streams in and out. What comes in was written by anyone: it is checked before the Arrow crate reads it,
//! since that one panics at much of what a stranger may write.

mod frame;
mod record;
mod schema;

use std::collections::HashMap;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::{MessageBuffer, fb_to_schema};
use arrow_ipc::reader::read_record_batch;
use arrow_ipc::writer::StreamWriter;
use arrow_ipc::{MessageHeader, MetadataVersion};
use arrow_schema::SchemaRef;

use crate::size::Sizes;

/// What a message takes beside its values, mostly, in bytes.
const MESSAGE_BYTES_USUAL: usize = 2_048;

/// An Arrow IPC stream, read.
pub(crate) struct Stream {
    /// The schema of all its batches.
    pub(crate) schema: SchemaRef,
    /// Its batches that have rows. They lie in the bytes that were read, which live as long as one of them does.
    pub(crate) batches: Vec<RecordBatch>,
}

/// Reads a whole stream. The text says what is wrong with it.
pub(crate) fn read(bytes: Buffer) -> Result<Stream, String> {
    let mut frames = frame::Frames::new(aligned(bytes));
    let frame = frames.next()?.ok_or("there is no schema")?;
    let message = MessageBuffer::try_new(frame.message).map_err(|error| format!("the schema: {error}"))?;
    let message = message.as_ref();
    let schema = message
        .header_as_schema()
        .ok_or("the first message is not the schema")?;
    if message.version() < MetadataVersion::V4 || message.version() > MetadataVersion::V5 {
        return Err("the metadata's version is neither 4 nor 5".to_owned());
    }
    schema::check(&schema)?;
    let schema = SchemaRef::new(fb_to_schema(schema));
    let mut batches = Vec::new();
    while let Some(frame) = frames.next()? {
        let place = batches.len();
        let batch = read_batch(frame, &schema).map_err(|error| format!("record batch {place}: {error}"))?;
        if batch.num_rows() > 0 {
            batches.push(batch);
        }
    }
    Ok(Stream { schema, batches })
}

fn read_batch(frame: frame::Frame, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let message = MessageBuffer::try_new(frame.message).map_err(|error| error.to_string())?;
    let message = message.as_ref();
    if message.header_type() == MessageHeader::DictionaryBatch {
        return Err("dictionaries are not taken; write the values themselves".to_owned());
    }
    let batch = message.header_as_record_batch().ok_or("another message is there")?;
    let version = message.version();
    if version < MetadataVersion::V4 || version > MetadataVersion::V5 {
        return Err("the metadata's version is neither 4 nor 5".to_owned());
    }
    record::check(&batch, schema, frame.body.len())?;
    let none = HashMap::new();
    read_record_batch(&frame.body, batch, SchemaRef::clone(schema), &none, None, &version)
        .map_err(|error| error.to_string())
}

/// The bytes, at an address that is a multiple of eight, as flatbuffers and most columns need them.
fn aligned(bytes: Buffer) -> Buffer {
    if bytes.as_ptr().align_offset(8) == 0 {
        bytes
    } else {
        Buffer::from_slice_ref(bytes.as_slice())
    }
}

/// Writes batches of one schema as a stream.
pub(crate) fn write(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>, String> {
    let size_bytes: u64 = batches.iter().map(|batch| Sizes::of(batch).all()).sum();
    let ahead = usize::try_from(size_bytes).unwrap_or(0) + (batches.len() + 1) * MESSAGE_BYTES_USUAL;
    let mut bytes = Vec::with_capacity(ahead);
    let mut writer = StreamWriter::try_new(&mut bytes, schema).map_err(|error| error.to_string())?;
    for batch in batches {
        writer.write(batch).map_err(|error| error.to_string())?;
    }
    writer.finish().map_err(|error| error.to_string())?;
    drop(writer);
    Ok(bytes)
}
