//! Batches, and what can be done to them.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;

/// The rows of a stream, as one batch.
pub fn read(stream: &[u8]) -> RecordBatch {
    let reader = StreamReader::try_new(stream, None).unwrap();
    let schema = reader.schema();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// A batch as a stream.
pub fn write(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// A column of texts.
pub fn texts<'a>(batch: &'a RecordBatch, column: &str) -> &'a StringArray {
    batch.column_by_name(column).unwrap().as_string()
}

/// The first fault that a batch asks for, and which of its rows do.
pub fn fault(batch: &RecordBatch) -> (String, BooleanArray) {
    let tokens = texts(batch, "token");
    let asked = |token: Option<&str>| token.and_then(|token| token.strip_prefix("fault:")).map(String::from);
    let name = tokens.iter().find_map(asked).unwrap_or_default();
    let marked = tokens.iter().map(|token| Some(asked(token).is_some())).collect();
    (name, marked)
}

/// The rows that are marked, or those that are not.
pub fn only(batch: &RecordBatch, marked: &BooleanArray, are: bool) -> RecordBatch {
    let which: BooleanArray = marked.iter().map(|is| Some(is == Some(are))).collect();
    filter_record_batch(batch, &which).unwrap()
}

/// The first row at the end.
pub fn reordered(batch: &RecordBatch) -> RecordBatch {
    let last = batch.num_rows() - 1;
    concat_batches(&batch.schema(), [&batch.slice(1, last), &batch.slice(0, 1)]).unwrap()
}

/// The first row twice, the last one not at all.
pub fn twice(batch: &RecordBatch) -> RecordBatch {
    let last = batch.num_rows() - 1;
    concat_batches(&batch.schema(), [&batch.slice(0, 1), &batch.slice(0, last)]).unwrap()
}

/// Another text in a column of the first row.
pub fn altered(batch: &RecordBatch, column: &str) -> RecordBatch {
    let texts = texts(batch, column).iter().enumerate();
    let texts: StringArray = texts
        .map(|(row, text)| if row == 0 { Some("altered") } else { text })
        .collect();
    let place = batch.schema().index_of(column).unwrap();
    let mut columns = batch.columns().to_vec();
    columns[place] = Arc::new(texts);
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

/// A column of another type.
pub fn retyped(batch: &RecordBatch, column: &str) -> RecordBatch {
    let schema = batch.schema();
    let place = schema.index_of(column).unwrap();
    let mut fields: Vec<_> = schema.fields().to_vec();
    fields[place] = Arc::new(Field::new(column, DataType::Int32, true));
    let mut columns = batch.columns().to_vec();
    columns[place] = new_null_array(&DataType::Int32, batch.num_rows());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// One more column, of texts.
pub fn with_texts(batch: &RecordBatch, column: &str, texts: impl Iterator<Item = String>) -> RecordBatch {
    let schema = batch.schema();
    let mut fields: Vec<_> = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(column, DataType::Utf8, false)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let mut columns = batch.columns().to_vec();
    columns.push(texts);
    let schema = Schema::new(fields).with_metadata(schema.metadata().clone());
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// Bytes that look like a stream and are none: the same ones with a length in the middle that goes beyond their end.
pub fn garbled(stream: Vec<u8>) -> Vec<u8> {
    let mut stream = stream;
    for byte in stream.iter_mut().skip(64).step_by(31) {
        *byte ^= 0x40;
    }
    stream
}
