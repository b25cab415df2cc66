//! Reads columns of the parts, and counts what it reads.

use std::collections::HashSet;
use std::fs::File;

use polars::prelude::*;
use polars_io::prelude::*;

use crate::error::{damaged, io};
use crate::sources::Part;
use crate::{GoldError, error};

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

/// A reader of parts.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) rows_read: u64,
}

impl Scan {
    /// Reads these columns of a part.
    pub(crate) fn part(&mut self, part: &Part, columns: &[&str]) -> Result<DataFrame, GoldError> {
        let file = File::open(&part.path).map_err(io(format!("read {}", part.path.display())))?;
        let names = columns.iter().map(|&column| column.to_owned()).collect();
        let reader = ParquetReader::new(file).with_columns(Some(names));
        let frame = reader.finish().map_err(damaged(&part.path))?;
        let frame = checked(&frame, columns).map_err(damaged(&part.path))?;
        self.rows_read += frame.height() as u64;
        Ok(frame)
    }

    /// Reads these columns, the workflow's among them, of a part's rows that are of these workflows.
    pub(crate) fn workflows(
        &mut self,
        part: &Part,
        columns: &[&str],
        wanted: &HashSet<Option<&str>>,
    ) -> Result<DataFrame, GoldError> {
        let frame = self.part(part, columns)?;
        let picked = || -> PolarsResult<DataFrame> {
            let workflows = frame.column("workflow_id")?.str()?;
            let mask: BooleanChunked = workflows.iter().map(|workflow| wanted.contains(&workflow)).collect();
            if mask.all() {
                Ok(frame.clone())
            } else {
                frame.filter(&mask)
            }
        };
        picked().map_err(error::compute("pick rows by workflow"))
    }
}

/// The columns in this order, so that parts of any order of columns go together.
fn checked(frame: &DataFrame, columns: &[&str]) -> PolarsResult<DataFrame> {
    let frame = frame.select(columns.iter().copied())?;
    for (name, dtype, may_be_null) in described(columns) {
        let column = frame.column(name)?;
        polars_ensure!(column.dtype() == dtype, ComputeError: "the column {name} is not {dtype}");
        polars_ensure!(*may_be_null || column.null_count() == 0, ComputeError: "the column {name} has nulls");
    }
    Ok(frame)
}

/// No rows of these columns.
pub(crate) fn empty(columns: &[&str]) -> Result<DataFrame, GoldError> {
    let none = described(columns).map(|(name, dtype, _)| Column::new_empty((*name).into(), dtype));
    DataFrame::new(0, none.collect()).map_err(error::compute("begin with no rows"))
}

fn described(columns: &[&str]) -> impl Iterator<Item = &'static (&'static str, DataType, bool)> {
    let find = |column: &&str| COLUMNS.iter().find(|(name, ..)| name == column);
    columns.iter().filter_map(find)
}
