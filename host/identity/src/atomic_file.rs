//! Private files that are written whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// What to do when the file is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Fail with [`io::ErrorKind::AlreadyExists`].
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// Writes a file of mode 0600: temporary file in the same folder (`O_EXCL`), fsync, rename, fsync of the folder.
///
/// A crash at any point leaves the old file or the new one, never a part.
pub(crate) fn write(path: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // `tempfile` creates with O_EXCL and mode 0600, and removes the file when it is dropped unpersisted.
    let mut temp = tempfile::Builder::new()
        .prefix(".kinetic-")
        .suffix(".tmp")
        .tempfile_in(folder)?;
    temp.write_all(bytes)?;
    temp.as_file().sync_all()?;
    match existing {
        Existing::Keep => temp.persist_noclobber(path).map_err(|e| e.error)?,
        Existing::Replace => temp.persist(path).map_err(|e| e.error)?,
    };
    File::open(folder)?.sync_all()
}
