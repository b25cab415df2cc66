//! Writes a file so that it is complete under its name or as it was before, also after a power cut.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use polars::prelude::*;
use polars_io::prelude::*;

use crate::GoldError;
use crate::error::{compute, io};
use crate::tables::Row;

/// Rows in a row group.
const ROW_GROUP_ROWS: usize = 65_536;

/// Rows as Parquet. The bytes depend on the rows alone.
pub(crate) fn parquet<T: Row>(rows: &[T]) -> Result<Vec<u8>, GoldError> {
    let encoded = || -> PolarsResult<Vec<u8>> {
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes)
            .with_compression(ParquetCompression::Zstd(None))
            .with_row_group_size(Some(ROW_GROUP_ROWS))
            .set_parallel(false)
            .finish(&mut T::frame(rows)?)?;
        Ok(bytes)
    };
    encoded().map_err(compute("encode a table as Parquet"))
}

/// Makes a folder, and those it lies in.
pub(crate) fn folder(folder: &Path) -> Result<(), GoldError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(io(format!("create {}", folder.display())))?;
    folder.parent().map_or(Ok(()), sync)
}

/// Replaces a file.
pub(crate) fn file(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), GoldError> {
    let path = folder.join(name);
    // Hidden, so that whoever reads `*.parquet` never meets it.
    let temporary = folder.join(format!(".{}.tmp", name.trim_start_matches('.')));
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(io(format!("write {}", temporary.display())))?;
    fs::rename(&temporary, &path).map_err(io(format!("rename {}", temporary.display())))?;
    sync(folder)
}

fn sync(folder: &Path) -> Result<(), GoldError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(io(format!("sync {}", folder.display())))
}
