//! Batches, tables and streams for tests, and ids made by other code.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{Field, Schema};
use serde_json::Value;
use sha1::{Digest as _, Sha1};

use crate::{Identity, KeyColumn, Normalization, Table, Transformed, transform};

/// A batch of these columns, all of which may have nulls.
pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let rows = columns.first().map_or(0, |(_, array)| array.len());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).unwrap()
}

/// The stream of these batches, as Arrow writes it.
pub(super) fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

/// The batches of a stream, as Arrow reads it.
pub(super) fn batches(stream: &[u8]) -> Vec<RecordBatch> {
    StreamReader::try_new(stream, None)
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect()
}

/// A column of text from all batches of a stream.
pub(super) fn texts(stream: &[u8], column: &str) -> Vec<String> {
    let text = |batch: &RecordBatch| -> Vec<String> {
        let column = batch.column_by_name(column).unwrap().as_string::<i32>();
        column.iter().map(|text| text.unwrap().to_owned()).collect()
    };
    batches(stream).iter().flat_map(text).collect()
}

/// An id made of these columns, untouched.
pub(super) fn identity(column: &str, keys: &[&str]) -> Identity {
    Identity {
        column: column.into(),
        keys: keys
            .iter()
            .map(|name| KeyColumn {
                name: (*name).into(),
                normalize: Normalization::None,
            })
            .collect(),
        legacy_column: None,
    }
}

/// A table with these ids and no other wishes.
pub(super) fn table(identities: Vec<Identity>) -> Table {
    Table {
        name: "events".into(),
        identities,
        deduplicate: None,
        required: Vec::new(),
    }
}

/// The ids of a batch's rows, from one key for each of its columns.
pub(super) fn ids_of(rows: &RecordBatch) -> Vec<String> {
    let schema = rows.schema();
    let keys: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    texts(
        &silver(&table(vec![identity("id", &keys)]), std::slice::from_ref(rows)).accepted,
        "id",
    )
}

/// What becomes of batches.
pub(super) fn silver(table: &Table, batches: &[RecordBatch]) -> Transformed {
    let made = transform(table, stream(batches)).unwrap();
    assert_eq!(made.rows, made.accepted_rows + made.duplicates + made.rejected_rows);
    made
}

/// The id of these keys by serde_json's strings and the sha1 crate.
pub(super) fn expected(keys: &[Value]) -> String {
    let mut message = vec![
        0x91, 0xe8, 0xf5, 0xf8, 0x3e, 0x28, 0x59, 0x2a, 0xab, 0x23, 0x52, 0x95, 0xdc, 0xf9, 0x2d, 0xd7,
    ];
    message.extend(serde_json::to_vec(keys).unwrap());
    let mut id: [u8; 16] = Sha1::digest(message)[..16].try_into().unwrap();
    id[6] = id[6] & 0x0f | 0x50;
    id[8] = id[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(id));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
