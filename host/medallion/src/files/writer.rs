//! Appends rows to a table, part by part.

use std::fs::{self, File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::file::properties::WriterProperties;

use super::disk::{Disk, SystemDisk};
use super::fault;
use super::open_part::{OpenPart, Unfinished};
use super::parts::{self, Part};
use super::settings::PartSettings;
use crate::MedallionError;

/// What a table's rows are.
#[derive(Clone, Debug)]
pub struct Table {
    /// Their columns, and what the schema says of itself.
    pub schema: SchemaRef,
    /// The version of that schema, for the parts' metadata.
    pub schema_version: String,
}

/// The one writer of a table's folder.
///
/// After an error rows that are in no finished part are gone: go on at [`Writer::next_offset`]. A source may forget what
/// lies before [`Writer::durable_offset`], nothing else.
pub struct Writer {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    table: Table,
    settings: PartSettings,
    properties: WriterProperties,
    durable_offset: Option<u64>,
    open: Option<OpenPart>,
    /// Why nothing more is written: what is on disk is not known.
    failed: Option<String>,
    /// Held while this writer lives; a process that dies gives it back.
    _claim: File,
}

impl Writer {
    /// Opens a table's folder for writing, makes it when it is missing, and removes what a writer that died left behind.
    ///
    /// # Errors
    /// `InUse` when another writer has it; `Gap`, `Overlap`, `BadName` when its parts are not in order; `InvalidSetting`;
    /// `Io`, `DiskFull`.
    pub fn open(folder: &Path, table: Table, settings: PartSettings) -> Result<Self, MedallionError> {
        Self::open_on(Arc::new(SystemDisk), folder, table, settings)
    }

    /// Like [`Writer::open`], with another way to the disk.
    ///
    /// # Errors
    /// As [`Writer::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        folder: &Path,
        table: Table,
        settings: PartSettings,
    ) -> Result<Self, MedallionError> {
        let properties = settings.properties(&table.schema_version)?;
        make(&*disk, folder)?;
        let claim = claim(folder)?;
        for path in parts::leftovers(folder)? {
            let what = format!("remove {}", path.display());
            disk.remove(&path).map_err(fault::io(what))?;
        }
        let durable_offset = parts::parts(folder)?.last().map(|part| part.end_offset);
        // A writer that died between renaming and syncing left a name that a power cut could still take away.
        sync(&*disk, folder)?;
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            table,
            settings,
            properties,
            durable_offset,
            open: None,
            failed: None,
            _claim: claim,
        })
    }

    /// The offset the next rows begin at; none when the table is empty and may begin anywhere.
    pub fn next_offset(&self) -> Option<u64> {
        let open = self.open.as_ref().map(|open| open.end_offset);
        open.or(self.durable_offset)
    }

    /// Where the finished parts end; none when there are none. What lies before it survives a power cut.
    pub fn durable_offset(&self) -> Option<u64> {
        self.durable_offset
    }

    /// Writes what became of the source's rows from `offsets.start` up to, not including, `offsets.end`, which may be more
    /// or fewer rows, or none. Returns the part that this finished, if it became large or old enough.
    ///
    /// # Errors
    /// `NotNext` when the offsets are empty or not the next ones, `OtherSchema`: then nothing changed. `DiskFull`, `Io`,
    /// `Encoding`: see [`Writer`].
    pub fn write(
        &mut self,
        batch: &RecordBatch,
        offsets: Range<u64>,
        now: Instant,
    ) -> Result<Option<Part>, MedallionError> {
        self.check(batch, &offsets)?;
        self.add(batch, offsets.start, offsets.end, now)?;
        let size_bytes = self.open.as_ref().map_or(0, OpenPart::size_bytes);
        let full = size_bytes >= self.settings.part_bytes_max;
        if full { self.finish() } else { self.roll(now) }
    }

    /// Writes rows of the offsets from this one on, of which more follow: a [`Writer::write`] that begins there says where
    /// they end.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn append(&mut self, batch: &RecordBatch, first_offset: u64, now: Instant) -> Result<(), MedallionError> {
        self.check(batch, &(first_offset..first_offset.saturating_add(1)))?;
        self.add(batch, first_offset, first_offset, now)
    }

    /// The columns of its rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.schema)
    }

    /// Finishes the part that is being written if it is old enough; to be called now and then when nothing comes.
    ///
    /// # Errors
    /// `DiskFull`, `Io`, `Encoding`: see [`Writer`].
    pub fn roll(&mut self, now: Instant) -> Result<Option<Part>, MedallionError> {
        let age = self
            .open
            .as_ref()
            .map(|open| now.saturating_duration_since(open.opened));
        if age.is_some_and(|age| age >= self.settings.part_age_max) {
            self.finish()
        } else {
            Ok(None)
        }
    }

    /// Finishes the part that is being written, if there is one.
    ///
    /// # Errors
    /// `DiskFull`, `Io`, `Encoding`: see [`Writer`].
    pub fn finish(&mut self) -> Result<Option<Part>, MedallionError> {
        let Some(open) = self.open.take() else {
            return Ok(None);
        };
        match open.finish(&*self.disk, &self.folder) {
            Ok(part) => {
                self.durable_offset = Some(part.end_offset);
                Ok(Some(part))
            }
            Err(Unfinished::Gone(error)) => Err(error),
            Err(Unfinished::Unknown(error)) => {
                self.failed = Some(error.to_string());
                Err(error)
            }
        }
    }

    fn add(&mut self, batch: &RecordBatch, start: u64, end: u64, now: Instant) -> Result<(), MedallionError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => OpenPart::create(
                &*self.disk,
                &self.folder,
                start,
                Arc::clone(&self.table.schema),
                self.properties.clone(),
                now,
            )?,
        };
        if let Err(error) = open.write(batch, end) {
            open.abandon(&*self.disk);
            return Err(error);
        }
        self.open = Some(open);
        Ok(())
    }

    fn check(&self, batch: &RecordBatch, offsets: &Range<u64>) -> Result<(), MedallionError> {
        if let Some(why) = &self.failed {
            return Err(MedallionError::Io {
                what: format!("go on with {}, which is to be opened again", self.folder.display()),
                why: why.clone(),
            });
        }
        let next_offset = self.next_offset().unwrap_or(offsets.start);
        if offsets.is_empty() || offsets.start != next_offset {
            return Err(MedallionError::NotNext {
                first_offset: offsets.start,
                end_offset: offsets.end,
                next_offset,
            });
        }
        check_schema(&self.table.schema, &batch.schema())
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("folder", &self.folder)
            .field("durable_offset", &self.durable_offset)
            .field("next_offset", &self.next_offset())
            .finish_non_exhaustive()
    }
}

/// Columns must be the same; what a schema says of itself is the table's.
fn check_schema(table: &SchemaRef, batch: &SchemaRef) -> Result<(), MedallionError> {
    if table.fields() == batch.fields() {
        return Ok(());
    }
    let (ours, theirs) = (table.fields().len(), batch.fields().len());
    let mut columns = table.fields().iter().zip(batch.fields());
    let what = match columns.find(|(ours, theirs)| ours != theirs) {
        Some((ours, theirs)) => format!("the column {ours} is {theirs}"),
        None => format!("there are {theirs} columns, not {ours}"),
    };
    Err(MedallionError::OtherSchema { what })
}

fn make(disk: &dyn Disk, folder: &Path) -> Result<(), MedallionError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(fault::io(format!("create {}", folder.display())))?;
    folder.parent().map_or(Ok(()), |parent| sync(disk, parent))
}

fn sync(disk: &dyn Disk, folder: &Path) -> Result<(), MedallionError> {
    disk.sync_folder(folder)
        .map_err(fault::io(format!("sync {}", folder.display())))
}

/// The folder itself is what is locked, so that it holds nothing but parts.
fn claim(folder: &Path) -> Result<File, MedallionError> {
    let what = format!("claim {}", folder.display());
    let claim = File::open(folder).map_err(fault::io(&*what))?;
    match claim.try_lock() {
        Ok(()) => Ok(claim),
        Err(TryLockError::WouldBlock) => Err(MedallionError::InUse {
            folder: folder.display().to_string(),
        }),
        Err(TryLockError::Error(error)) => Err(fault::io(what)(error)),
    }
}
