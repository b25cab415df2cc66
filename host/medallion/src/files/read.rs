//! Reads parts back as record batches.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::parts::{self, Part};
use super::{END_OFFSET_KEY, FIRST_OFFSET_KEY, SCHEMA_VERSION_KEY, fault};
use crate::MedallionError;

/// How many rows a batch has when it is read back, at most.
const BATCH_ROWS: usize = 8192;

/// A part's rows, batch by batch.
#[derive(Debug)]
pub struct PartRows {
    path: PathBuf,
    rows: ParquetRecordBatchReader,
    schema: SchemaRef,
    schema_version: String,
}

impl PartRows {
    /// The schema the part was written with.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// That schema's version.
    pub fn schema_version(&self) -> &str {
        &self.schema_version
    }
}

impl Iterator for PartRows {
    type Item = Result<RecordBatch, MedallionError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.rows.next()?.and_then(|batch| {
            let columns = batch.columns().to_vec();
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        });
        Some(batch.map_err(fault::damaged(&self.path)))
    }
}

/// Opens a part for reading.
///
/// # Errors
/// `Damaged` when it is no Parquet file, or its offsets are not those of its name; `Io`.
pub fn read_part(part: &Part) -> Result<PartRows, MedallionError> {
    let path = &part.path;
    let file = File::open(path).map_err(fault::io(format!("open {}", path.display())))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fault::damaged(path))?;
    let mut metadata = builder.schema().metadata().clone();
    for (key, offset) in [(FIRST_OFFSET_KEY, part.first_offset), (END_OFFSET_KEY, part.end_offset)] {
        let said = take(path, &mut metadata, key)?;
        if said != offset.to_string() {
            let why = format!("its name says {key} {offset}, its metadata {said}");
            return Err(fault::damaged(path)(why));
        }
    }
    let schema_version = take(path, &mut metadata, SCHEMA_VERSION_KEY)?;
    let schema = Schema::new(builder.schema().fields().clone()).with_metadata(metadata);
    let rows = builder
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(fault::damaged(path))?;
    Ok(PartRows {
        path: path.clone(),
        rows,
        schema: Arc::new(schema),
        schema_version,
    })
}

/// The file's own metadata stands among the schema's when it is read; the schema is to be what it was.
fn take(path: &Path, metadata: &mut HashMap<String, String>, key: &str) -> Result<String, MedallionError> {
    metadata
        .remove(key)
        .ok_or_else(|| fault::damaged(path)(format!("its metadata has no {key}")))
}

/// A table's rows, part by part.
#[derive(Debug)]
pub struct TableRows {
    parts: vec::IntoIter<Part>,
    now: Option<PartRows>,
}

impl Iterator for TableRows {
    type Item = Result<RecordBatch, MedallionError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.now.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            match read_part(&self.parts.next()?) {
                Ok(rows) => self.now = Some(rows),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// All rows of the table in a folder, in order; each part is opened when its turn comes.
///
/// # Errors
/// As [`parts`](super::parts()); the batches as [`read_part`].
pub fn read_all(folder: &Path) -> Result<TableRows, MedallionError> {
    Ok(TableRows {
        parts: parts::parts(folder)?.into_iter(),
        now: None,
    })
}
