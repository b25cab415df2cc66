//! One part while it is written, under its temporary name.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::chunks::Chunks;
use super::disk::{Disk, PartFile};
use super::parts::{self, Part};
use super::{END_OFFSET_KEY, FIRST_OFFSET_KEY, fault};
use crate::MedallionError;

/// A part that is not finished.
pub(super) struct OpenPart {
    path: PathBuf,
    writer: ArrowWriter<Sink>,
    chunks: Chunks,
    first_offset: u64,
    pub(super) end_offset: u64,
    pub(super) opened: Instant,
}

impl OpenPart {
    /// Makes the temporary file; when that fails there is none.
    pub(super) fn create(
        disk: &dyn Disk,
        folder: &Path,
        first_offset: u64,
        schema: SchemaRef,
        properties: WriterProperties,
        opened: Instant,
    ) -> Result<Self, MedallionError> {
        let path = parts::temporary(folder, first_offset);
        let what = || format!("create {}", path.display());
        let file = disk.create(&path).map_err(fault::io(what()))?;
        let sink = Sink { file, failed: None };
        let writer = ArrowWriter::try_new(sink, schema.clone(), Some(properties)).map_err(fault::encoding);
        match writer {
            Ok(writer) => Ok(Self {
                path,
                writer,
                chunks: Chunks::new(schema),
                first_offset,
                end_offset: first_offset,
                opened,
            }),
            Err(error) => {
                // What cannot be removed now is removed at the next opening.
                let _ = disk.remove(&path);
                Err(error)
            }
        }
    }

    /// Writes rows that reach up to this offset. After an error the part can only be abandoned.
    pub(super) fn write(&mut self, batch: &RecordBatch, end_offset: u64) -> Result<(), MedallionError> {
        self.chunks.push(batch)?;
        self.write_chunks()?;
        self.end_offset = end_offset;
        Ok(())
    }

    /// How large the file would be, about, in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.writer.bytes_written() as u64 + self.writer.in_progress_size() as u64
    }

    /// Completes the file, so that a power cut cannot change it, and gives it its name.
    pub(super) fn finish(mut self, disk: &dyn Disk, folder: &Path) -> Result<Part, Unfinished> {
        let part = Part::new(folder, self.first_offset..self.end_offset);
        let renamed = self.complete().and_then(|()| {
            // The folder is this writer's alone, so nobody makes the file in between.
            if part.path.try_exists().unwrap_or(true) {
                return Err(MedallionError::Io {
                    what: format!("finish {}", part.path.display()),
                    why: "there is a file of that name already".into(),
                });
            }
            let what = format!("rename {}", self.path.display());
            disk.rename(&self.path, &part.path).map_err(fault::io(what))
        });
        if let Err(error) = renamed {
            self.abandon(disk);
            return Err(Unfinished::Gone(error));
        }
        match disk.sync_folder(folder) {
            Ok(()) => Ok(part),
            // Whether the name survives a power cut is unknown, so the rows must not count as stored.
            Err(error) => {
                let error = fault::io(format!("sync {}", folder.display()))(error);
                Err(match disk.remove(&part.path) {
                    Ok(()) => Unfinished::Gone(error),
                    Err(_) => Unfinished::Unknown(error),
                })
            }
        }
    }

    /// Drops what was written.
    pub(super) fn abandon(self, disk: &dyn Disk) {
        let Self { path, writer, .. } = self;
        drop(writer);
        // What cannot be removed now is removed at the next opening.
        let _ = disk.remove(&path);
    }

    fn complete(&mut self) -> Result<(), MedallionError> {
        self.chunks.complete()?;
        self.write_chunks()?;
        for (key, offset) in [(FIRST_OFFSET_KEY, self.first_offset), (END_OFFSET_KEY, self.end_offset)] {
            self.writer
                .append_key_value_metadata(KeyValue::new(key.to_owned(), offset.to_string()));
        }
        if let Err(error) = self.writer.finish() {
            return Err(self.fault(error));
        }
        let what = format!("sync {}", self.path.display());
        self.writer.inner_mut().file.sync().map_err(fault::io(what))
    }

    fn write_chunks(&mut self) -> Result<(), MedallionError> {
        while let Some(chunk) = self.chunks.next() {
            if let Err(error) = self.writer.write(&chunk) {
                return Err(self.fault(error));
            }
        }
        Ok(())
    }

    /// The encoder tells of the disk's errors in words only.
    fn fault(&mut self, error: ParquetError) -> MedallionError {
        match self.writer.inner_mut().failed.take() {
            Some(failed) => fault::io(format!("write {}", self.path.display()))(failed),
            None => fault::encoding(error),
        }
    }
}

/// Why a part was not finished.
pub(super) enum Unfinished {
    /// Nothing of it stands under a final name.
    Gone(MedallionError),
    /// Its file is complete and has its name, but may not survive a power cut.
    Unknown(MedallionError),
}

/// The file, which remembers what the disk said.
struct Sink {
    file: Box<dyn PartFile>,
    failed: Option<io::Error>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(|error| self.remember(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.remember(error))
    }
}

impl Sink {
    fn remember(&mut self, error: io::Error) -> io::Error {
        let kind = error.kind();
        if kind != io::ErrorKind::Interrupted {
            self.failed = Some(error);
        }
        kind.into()
    }
}
