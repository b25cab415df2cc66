//! Reads columns of the parts slice by slice, so that what is held does not follow the size of a part.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use polars::prelude::*;
use polars_io::prelude::*;

use crate::GoldError;
use crate::error::{damaged, io};
use crate::sources::Part;

/// The most rows of a slice: as many as silver has in a row group.
const SLICE_ROWS_MAX: u64 = 65_536;
/// A slice is at most this part of the rows that may be held, so that there is room for those gathered before.
const SLICE_OF_HELD: u64 = 8;
/// About how large the columns of a slice are at most, in bytes, as the file tells it.
const SLICE_BYTES_MAX: u64 = 16 << 20;

/// Every column that is ever read: its name, its type, and whether a row may be without it.
const COLUMNS: &[(&str, DataType, bool)] = &[
    ("stream", DataType::String, false),
    ("sequence", DataType::UInt64, false),
    ("token", DataType::String, true),
    ("received_unix_ns", DataType::Int64, false),
    ("workflow_id", DataType::String, true),
    ("intent_id", DataType::String, true),
    ("node_cid", DataType::String, true),
    ("kind", DataType::String, false),
    ("model", DataType::String, true),
    ("prompt_tokens", DataType::Int64, true),
    ("completion_tokens", DataType::Int64, true),
    ("cached_tokens", DataType::Int64, true),
    ("error", DataType::String, true),
    ("duration_ms", DataType::Float64, true),
    ("data", DataType::String, false),
    ("events", DataType::UInt64, false),
];

/// A reader of parts, which counts what it reads.
#[derive(Debug)]
pub(crate) struct Scan {
    slice_rows_max: u64,
    /// How many rows may be gathered, so that with a slice they are no more than may be held.
    pub(crate) gathered_rows_max: u64,
    pub(crate) rows_read: u64,
    /// The most rows that were held at once.
    pub(crate) rows_at_once: u64,
}

impl Scan {
    /// A reader that is to hold at most so many rows at once.
    pub(crate) fn new(rows_at_once_max: u64) -> Self {
        let slice_rows_max = (rows_at_once_max / SLICE_OF_HELD).clamp(1, SLICE_ROWS_MAX);
        Self {
            slice_rows_max,
            gathered_rows_max: rows_at_once_max.saturating_sub(slice_rows_max),
            rows_read: 0,
            rows_at_once: 0,
        }
    }

    /// Opens a part, and reads where in it what is.
    pub(crate) fn open<'a>(&self, part: &'a Part) -> Result<Opened<'a>, GoldError> {
        let file = File::open(&part.path).map_err(io(format!("read {}", part.path.display())))?;
        let mut reader = ParquetReader::new(BufReader::new(&file));
        let metadata = reader.get_metadata().map_err(damaged(&part.path))?;
        let metadata = Arc::clone(metadata);
        Ok(Opened {
            part,
            file,
            metadata,
            slice_rows_max: usize::try_from(self.slice_rows_max).unwrap_or(usize::MAX),
        })
    }

    /// Counts a slice that is read while so many rows are held that were gathered before.
    pub(crate) fn count(&mut self, slice: &Slice, gathered_rows: u64) {
        let rows = slice.rows as u64;
        self.rows_read += rows;
        self.rows_at_once = self.rows_at_once.max(gathered_rows.saturating_add(rows));
    }
}

/// A part that is read slice by slice.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    part: &'a Part,
    file: File,
    metadata: FileMetadataRef,
    slice_rows_max: usize,
}

/// Rows of a part that follow each other in a row group.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// The file's, as if this row group were all it had: rows of others cost nothing then.
    row_group: FileMetadataRef,
    first: usize,
    rows: usize,
}

impl Opened<'_> {
    /// All rows in slices that follow the row groups, cut where one of them is too large with these columns.
    pub(crate) fn slices<'b>(&'b self, columns: &'b [&str]) -> impl Iterator<Item = Slice> + 'b {
        let row_groups = self.metadata.row_groups.iter();
        row_groups.flat_map(move |row_group| {
            let rows = row_group.num_rows();
            let row_group = Arc::new(FileMetadata {
                version: self.metadata.version,
                num_rows: rows,
                max_row_group_height: rows,
                created_by: None,
                row_groups: vec![row_group.clone()],
                key_value_metadata: self.metadata.key_value_metadata.clone(),
                schema_descr: self.metadata.schema_descr.clone(),
                column_orders: None,
                footer_buf: self.metadata.footer_buf.clone(),
            });
            let whole = Slice {
                row_group,
                first: 0,
                rows,
            };
            self.cut(&whole, columns)
        })
    }

    /// The slice in pieces, so that these columns of a piece are not too large.
    pub(crate) fn cut(&self, slice: &Slice, columns: &[&str]) -> impl Iterator<Item = Slice> + use<> {
        let rows_max = slice.rows_of(SLICE_BYTES_MAX, columns).clamp(1, self.slice_rows_max);
        let Slice { row_group, first, rows } = slice.clone();
        (0..rows).step_by(rows_max).map(move |from| Slice {
            row_group: Arc::clone(&row_group),
            first: first + from,
            rows: rows_max.min(rows - from),
        })
    }

    /// Reads these columns of a slice.
    pub(crate) fn read(&self, slice: &Slice, columns: &[&str]) -> Result<DataFrame, GoldError> {
        let names = columns.iter().map(|&column| column.to_owned()).collect();
        // The file is mapped; nothing is read by way of a buffer.
        let mut reader = ParquetReader::new(BufReader::with_capacity(0, &self.file))
            .with_columns(Some(names))
            .with_slice(Some((slice.first, slice.rows)))
            .read_parallel(ParallelStrategy::Columns);
        reader.set_metadata(Arc::clone(&slice.row_group));
        let frame = reader.finish();
        let frame = frame.and_then(|frame| checked(&frame, slice.rows, columns));
        frame.map_err(damaged(&self.part.path))
    }
}

impl Slice {
    /// The part of it that these rows of it are.
    pub(crate) fn between(&self, first: usize, last: usize) -> Self {
        Self {
            row_group: Arc::clone(&self.row_group),
            first: self.first + first,
            rows: last + 1 - first,
        }
    }

    /// How many rows of its row group have about so many bytes in these columns.
    fn rows_of(&self, bytes: u64, columns: &[&str]) -> usize {
        let Some(row_group) = self.row_group.row_groups.first() else {
            return self.rows;
        };
        let chunks = columns
            .iter()
            .filter_map(|name| row_group.columns_under_root_iter(name));
        let sizes = chunks
            .flatten()
            .map(|chunk| u64::try_from(chunk.uncompressed_size()).unwrap_or(0));
        let size = sizes.fold(0, u64::saturating_add).max(1);
        let rows = u128::from(bytes) * row_group.num_rows() as u128 / u128::from(size);
        usize::try_from(rows).unwrap_or(usize::MAX)
    }
}

/// The columns in this order, each of so many rows and of the type it is to have.
fn checked(frame: &DataFrame, rows: usize, columns: &[&str]) -> PolarsResult<DataFrame> {
    let frame = frame.select(columns.iter().copied())?;
    let find = |column: &&str| COLUMNS.iter().find(|(name, ..)| name == column);
    for (name, dtype, may_be_null) in columns.iter().filter_map(find) {
        let column = frame.column(name)?;
        polars_ensure!(column.len() == rows, ComputeError: "the column {name} ends early");
        polars_ensure!(column.dtype() == dtype, ComputeError: "the column {name} is not {dtype}");
        polars_ensure!(*may_be_null || column.null_count() == 0, ComputeError: "the column {name} has nulls");
    }
    Ok(frame)
}
