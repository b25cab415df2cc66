//! Files that appear whole or not at all, and errors that say which file it was.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use kinetic_model::Digest;
use sha2::Digest as _;

use crate::descriptor::DESCRIPTOR_BYTES_MAX;
use crate::{Descriptor, RegistryError};

/// Below `capabilities`: namespace, class, name, version folder.
const FOLDER_DEPTH_MAX: usize = 4;

/// The error of an operation on a file of the store.
pub(super) fn failed(path: &Path, error: &io::Error) -> RegistryError {
    let path = path.display().to_string();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => RegistryError::StoreFull { path },
        _ => RegistryError::StoreFailed {
            path,
            why: error.to_string(),
        },
    }
}

/// Waits for this process's turn to write; it ends when the file is dropped, also by a crash.
pub(super) fn lock(path: &Path) -> Result<File, RegistryError> {
    let locked = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .and_then(|file| {
            file.lock()?;
            Ok(file)
        });
    locked.map_err(|error| failed(path, &error))
}

/// Makes a folder and those above it up to `root`, and has their names on the disk before it returns.
pub(super) fn make_folders(root: &Path, folder: &Path) -> Result<(), RegistryError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let above_root = root.parent().filter(|parent| !parent.as_os_str().is_empty());
    for ancestor in folder
        .ancestors()
        .skip(1)
        .take_while(|ancestor| Some(*ancestor) != above_root)
    {
        if !ancestor.as_os_str().is_empty() {
            sync_folder(ancestor)?;
        }
    }
    Ok(())
}

/// Removes every file in a folder.
pub(super) fn empty_folder(folder: &Path) -> Result<(), RegistryError> {
    for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
        let path = entry.map_err(|error| failed(folder, &error))?.path();
        fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

/// Writes a file whole: temporary file in `temporary`, fsync, rename to `path`, fsync of its folder.
///
/// Whatever fails, the temporary file is gone and `path` is as it was.
pub(super) fn write_whole(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
    let written = tempfile::Builder::new().tempfile_in(temporary).and_then(|mut temp| {
        temp.write_all(bytes)?;
        temp.as_file().sync_all()?;
        temp.persist(path).map_err(|error| error.error)
    });
    written.map_err(|error| failed(path, &error))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> Result<(), RegistryError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed(folder, &error))
}

/// Whether something is there.
pub(super) fn exists(path: &Path) -> Result<bool, RegistryError> {
    path.try_exists().map_err(|error| failed(path, &error))
}

/// Whether a file holds the bytes of this digest.
pub(super) fn holds(path: &Path, digest: &Digest) -> Result<bool, RegistryError> {
    let mut hash = sha2::Sha256::new();
    let read = File::open(path).and_then(|mut file| io::copy(&mut file, &mut HashInto(&mut hash)));
    read.map_err(|error| failed(path, &error))?;
    Ok(Digest::from_bytes(hash.finalize().into()) == *digest)
}

struct HashInto<'a>(&'a mut sha2::Sha256);

impl Write for HashInto<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a descriptor; `None` when there is no such file.
pub(super) fn read_descriptor(path: &Path) -> Result<Option<Descriptor>, RegistryError> {
    let damaged = |why: String| RegistryError::StoreDamaged {
        path: path.display().to_string(),
        why,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, &error)),
    };
    let mut bytes = Vec::new();
    file.take(DESCRIPTOR_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(path, &error))?;
    if bytes.len() as u64 > DESCRIPTOR_BYTES_MAX {
        return Err(damaged("it is larger than any descriptor".into()));
    }
    Descriptor::from_json(&bytes)
        .map(Some)
        .map_err(|error| damaged(error.to_string()))
}

/// Every `.json` file below a folder; links are not followed.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, &error))? {
            let entry = entry.map_err(|error| failed(&folder, &error))?;
            let (path, kind) = (
                entry.path(),
                entry.file_type().map_err(|error| failed(&folder, &error))?,
            );
            if kind.is_dir() && depth < FOLDER_DEPTH_MAX {
                folders.push((path, depth + 1));
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
