//! Files of a store in a folder: each appears whole or not at all, and of two writers one wins.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// What of an earlier server was being written when it ended. Another server's file that is being written now is younger
/// than this, in seconds.
const UNFINISHED_AGE_S: u64 = 3_600;

/// Writes a file that must not be there yet. `false`: it is.
pub(super) fn write_new(root: &Path, path: &str, bytes: &[u8]) -> io::Result<bool> {
    let (temporary, to) = prepared(root, path, bytes)?;
    match temporary.persist_noclobber(&to) {
        Ok(_) => {}
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error.error),
    }
    synced(&to)?;
    Ok(true)
}

/// Writes a file, whatever is there.
pub(super) fn replace(root: &Path, path: &str, bytes: &[u8]) -> io::Result<()> {
    let (temporary, to) = prepared(root, path, bytes)?;
    temporary.persist(&to).map_err(|error| error.error)?;
    synced(&to)
}

/// Removes what a crash left half written.
pub(super) fn forget_unfinished(root: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(super::TEMPORARY))? {
        let entry = entry?;
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if age.as_secs() >= UNFINISHED_AGE_S {
            match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn prepared(root: &Path, path: &str, bytes: &[u8]) -> io::Result<(tempfile::NamedTempFile, std::path::PathBuf)> {
    let to = root.join(path);
    make_folders(root, &to)?;
    let mut temporary = tempfile::NamedTempFile::new_in(root.join(super::TEMPORARY))?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    Ok((temporary, to))
}

/// Makes the folders above a file; each new one is on disk before anything is put into it.
fn make_folders(root: &Path, to: &Path) -> io::Result<()> {
    let Some(folder) = to.parent() else { return Ok(()) };
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    for above in folder.ancestors().take_while(|above| above.starts_with(root)) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

fn synced(to: &Path) -> io::Result<()> {
    to.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
