//! Small files that are complete or not there: written under a temporary name, synced, renamed; with a checksum.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use kinetic_model::Digest;

const DIGEST_BYTES: usize = 32;

/// Writes a file, or leaves the one that is there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_added_extension("tmp");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(&temporary)?;
    file.write_all(Digest::of(bytes).as_bytes())?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Reads a file back; none when it is not there or not what was written.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let (digest, content) = bytes.split_at_checked(DIGEST_BYTES)?;
    (Digest::of(content).as_bytes().as_slice() == digest).then(|| content.to_vec())
}
