//! The file system as a table's writer sees it, behind a trait so that a test can fill the disk or pull the plug.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A place for files.
pub trait Disk: Send + Sync {
    /// Makes a new file for writing.
    ///
    /// # Errors
    /// The system's; `AlreadyExists`.
    fn create(&self, path: &Path) -> io::Result<Box<dyn PartFile>>;

    /// Gives a file another name in the same folder, at once.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes names that were created, changed or removed in a folder survive a power cut.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub trait PartFile: Write + Send {
    /// Waits until what was written is on disk.
    ///
    /// # Errors
    /// The system's; what is on disk is unknown then.
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn PartFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

impl PartFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
