//! Parts under every fault a disk can have, and the promises of their bytes.

mod bytes;
mod crashes;
mod faulty;
mod names;
mod real_data;
mod rolling;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt64Type;
use arrow_array::{RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema};

use super::*;
use crate::MedallionError;

/// A table of two columns: the offset each row came from, and a text.
fn table() -> Table {
    let fields = vec![
        Field::new("offset", DataType::UInt64, false),
        Field::new("text", DataType::Utf8, true),
    ];
    let metadata = HashMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    Table {
        schema: Arc::new(Schema::new(fields).with_metadata(metadata)),
        schema_version: "7".into(),
    }
}

/// One row for each offset.
fn rows(offsets: Range<u64>) -> RecordBatch {
    let texts = offsets
        .clone()
        .map(|offset| (offset % 3 > 0).then(|| format!("text {}", offset * 7919)));
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(offsets.clone())),
        Arc::new(texts.collect::<StringArray>()),
    ];
    RecordBatch::try_new(table().schema, columns).unwrap()
}

/// Parts that end only when they are told to.
fn endless() -> PartSettings {
    PartSettings {
        part_bytes_max: u64::MAX,
        part_age_max: Duration::MAX,
        ..PartSettings::default()
    }
}

fn open(folder: &Path) -> Writer {
    Writer::open(folder, table(), endless()).unwrap()
}

/// Writes a finished part.
fn write_part(folder: &Path, offsets: Range<u64>) -> Part {
    let mut writer = open(folder);
    writer.write(&rows(offsets.clone()), offsets, Instant::now()).unwrap();
    writer.finish().unwrap().unwrap()
}

/// The offsets of all rows in a folder.
fn stored(folder: &Path) -> Vec<u64> {
    let batches = read_all(folder).unwrap().map(Result::unwrap);
    batches
        .flat_map(|batch| batch["offset"].as_primitive::<UInt64Type>().values().to_vec())
        .collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
