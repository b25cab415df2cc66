//! Tables beside bronze and silver, which have rows now and then: their parts end where those of bronze do, and there is
//! one only when there are rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow_array::RecordBatch;

use crate::MedallionError;
use crate::event::VERSION;
use crate::files::{Disk, PartSettings, Table, Writer, parts};

/// A table that is opened when it gets its first row.
pub(crate) struct SideTable {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    settings: PartSettings,
    writer: Option<Writer>,
    /// Rows of offsets below this one are in finished parts.
    done: u64,
    /// Whether rows are in an unfinished one.
    open: bool,
}

impl SideTable {
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: PathBuf, settings: PartSettings) -> Result<Self, MedallionError> {
        let done = parts(&folder)?.last().map_or(0, |part| part.end_offset);
        Ok(Self {
            disk,
            folder,
            settings,
            writer: None,
            done,
            open: false,
        })
    }

    /// Adds rows that came of the offsets up to this one, unless they are there.
    pub(crate) fn add(&mut self, rows: &RecordBatch, end_offset: u64) -> Result<(), MedallionError> {
        if rows.num_rows() == 0 || end_offset <= self.done {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(open_writer(self.disk.clone(), &self.folder, rows, self.settings)?),
        };
        writer.append(rows, self.done, Instant::now())?;
        self.open = true;
        Ok(())
    }

    /// Finishes the part that is being written, if there is one, as that of the offsets up to this one.
    pub(crate) fn finish(&mut self, end_offset: u64) -> Result<(), MedallionError> {
        let Some(writer) = self.writer.as_mut().filter(|_| self.open) else {
            return Ok(());
        };
        let nothing = RecordBatch::new_empty(writer.schema());
        writer.write(&nothing, self.done..end_offset, Instant::now())?;
        writer.finish()?;
        self.done = end_offset;
        self.open = false;
        Ok(())
    }
}

fn open_writer(
    disk: Arc<dyn Disk>,
    folder: &Path,
    rows: &RecordBatch,
    settings: PartSettings,
) -> Result<Writer, MedallionError> {
    let table = Table {
        schema: rows.schema(),
        schema_version: VERSION.into(),
    };
    Writer::open_on(disk, folder, table, settings)
}
