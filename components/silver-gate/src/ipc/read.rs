//! A stream's schema and record batches, as slices of the given bytes.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_ipc::MessageHeader;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::reader::read_record_batch;
use arrow_schema::{DataType, SchemaRef};

use crate::error::{Error, bad_batch};
use crate::ipc::frame::{self, Frame};
use crate::ipc::shape::{self, Place};
use crate::ipc::text::Texts;
use crate::ipc::types;

/// The largest stream, in bytes.
pub const STREAM_BYTES_MAX: usize = 256 << 20;
/// The most rows of all record batches of a stream.
pub const ROWS_MAX: u64 = 2 << 20;
/// The most record batches of a stream.
pub const BATCHES_MAX: usize = 65_536;
/// The most columns of a batch whose texts are read here: where Arrow's reader is to leave columns out, its work grows with
/// the square of their number.
const TEXTS_MAX: usize = 256;

/// What a stream holds.
pub(crate) struct Source {
    /// Its schema.
    pub(crate) schema: SchemaRef,
    /// Its record batches.
    pub(crate) batches: Vec<Batch>,
}

/// A record batch, and the message it was read from.
pub(crate) struct Batch {
    /// How many rows it has.
    pub(crate) rows: usize,
    /// Its columns, in the schema's order.
    pub(crate) columns: Vec<Column>,
    /// The same as it came.
    pub(crate) frame: Frame,
}

/// A column of a record batch.
pub(crate) enum Column {
    /// One of plain text.
    Texts(Texts),
    /// Any other.
    Array(ArrayRef),
}

impl Column {
    /// The column as Arrow knows it.
    pub(crate) fn array(&self) -> Result<ArrayRef, Error> {
        match self {
            Self::Texts(texts) => Ok(Arc::new(texts.array()?)),
            Self::Array(array) => Ok(array.clone()),
        }
    }
}

impl Batch {
    /// All columns as Arrow knows them.
    pub(crate) fn record(&self, schema: &SchemaRef) -> Result<RecordBatch, Error> {
        let columns = self.columns.iter().map(Column::array).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(bad_batch)
    }
}

fn bad<T>(text: &str) -> Result<T, Error> {
    Err(Error::BadBatch(text.into()))
}

/// Reads a stream whole. Columns are not copied, unless their place in memory does not suit their type.
pub(crate) fn read(bytes: Vec<u8>) -> Result<Source, Error> {
    if bytes.len() > STREAM_BYTES_MAX {
        return Err(Error::TooLarge {
            bytes: bytes.len() as u64,
            bytes_max: STREAM_BYTES_MAX as u64,
        });
    }
    let mut rest = Buffer::from_vec(bytes);
    let schema = match frame::next(&mut rest)? {
        Some(first) => schema(&first)?,
        None => return bad("there are no bytes; an Arrow IPC stream has at least a schema"),
    };
    let mut batches = Vec::new();
    let mut rows_left = ROWS_MAX;
    while let Some(frame) = frame::next(&mut rest)? {
        if batches.len() == BATCHES_MAX {
            return bad(&format!(
                "there are more than {BATCHES_MAX} record batches; make fewer, larger ones"
            ));
        }
        let batch = rows(frame, &schema, rows_left)?;
        rows_left -= batch.rows as u64;
        batches.push(batch);
    }
    Ok(Source { schema, batches })
}

fn schema(frame: &Frame) -> Result<SchemaRef, Error> {
    match frame.message()?.header_as_schema() {
        Some(schema) => {
            types::check(schema)?;
            Ok(fb_to_schema(schema).into())
        }
        None => bad("the stream does not begin with a schema"),
    }
}

fn rows(frame: Frame, schema: &SchemaRef, rows_max: u64) -> Result<Batch, Error> {
    let message = frame.message()?;
    let Some(batch) = message.header_as_record_batch() else {
        return if message.header_type() == MessageHeader::DictionaryBatch {
            bad("the stream has dictionaries; cast their columns to values first")
        } else {
            bad("the stream has a message that is no record batch")
        };
    };
    let places = shape::check(batch, schema, frame.body.len(), rows_max)?;
    let mut columns: Vec<Option<Column>> = Vec::with_capacity(places.len());
    for (field, place) in schema.fields().iter().zip(&places) {
        let is_text = *field.data_type() == DataType::Utf8 && places.len() <= TEXTS_MAX;
        let texts = if is_text {
            texts(&frame.body, batch, place)
        } else {
            None
        };
        columns.push(texts.map(Column::Texts));
    }
    // Everything else Arrow reads, and what is wrong with it Arrow says.
    let others: Vec<usize> = (0..columns.len())
        .filter(|place| matches!(columns.get(*place), Some(None)))
        .collect();
    if !others.is_empty() {
        let (dictionaries, version) = (HashMap::new(), message.version());
        let choice = (others.len() < columns.len()).then_some(others.as_slice());
        let read = read_record_batch(&frame.body, batch, schema.clone(), &dictionaries, choice, &version)
            .map_err(bad_batch)?;
        for (column, array) in columns.iter_mut().filter(|column| column.is_none()).zip(read.columns()) {
            *column = Some(Column::Array(array.clone()));
        }
    }
    Ok(Batch {
        rows: usize::try_from(batch.length()).unwrap_or_default(),
        columns: columns.into_iter().flatten().collect(),
        frame,
    })
}

/// A column of plain text; none if it is another.
fn texts(body: &Buffer, batch: arrow_ipc::RecordBatch<'_>, place: &Place) -> Option<Texts> {
    let node = batch.nodes()?.iter().nth(place.node)?;
    if node.null_count() > 0 {
        return None;
    }
    // Behind the bitmap of nulls. The shape was checked, so both lie inside.
    let mut buffers = batch.buffers()?.iter().skip(place.buffer + 1).map_while(|buffer| {
        let (offset, length) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        Some(body.slice_with_length(offset.ok()?, length.ok()?))
    });
    Texts::of(usize::try_from(node.length()).ok()?, buffers.next()?, buffers.next()?)
}
