//! A disk that fails at the operation a test names, and stays dead or gets well again.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::disk::{Disk, PartFile, SystemDisk};

/// What happens at the operation that fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// Only this one fails: the disk is full, or a cable was loose.
    Once(io::ErrorKind),
    /// This one and all after it fail: the process or the machine died.
    Dead,
}

/// The system's disk, until the operation of that number.
#[derive(Clone)]
pub(super) struct FaultyDisk {
    done: Arc<AtomicUsize>,
    fails_at: usize,
    fault: Fault,
}

impl FaultyDisk {
    pub(super) fn new(fails_at: usize, fault: Fault) -> Self {
        Self {
            done: Arc::default(),
            fails_at,
            fault,
        }
    }

    /// Whether the operation that fails was reached.
    pub(super) fn failed(&self) -> bool {
        self.done.load(Ordering::Relaxed) > self.fails_at
    }

    fn operation(&self) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::Once(kind) if number == self.fails_at => Err(kind.into()),
            Fault::Dead if number >= self.fails_at => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn PartFile>> {
        self.operation()?;
        Ok(Box::new(FaultyFile {
            file: SystemDisk.create(path)?,
            disk: self.clone(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operation()?;
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operation()?;
        SystemDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.operation()?;
        SystemDisk.sync_folder(folder)
    }
}

struct FaultyFile {
    file: Box<dyn PartFile>,
    disk: FaultyDisk,
}

impl Write for FaultyFile {
    /// A write that fails leaves half of its bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.disk.operation() {
            Ok(()) => self.file.write(bytes),
            Err(error) => {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl PartFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.operation()?;
        self.file.sync()
    }
}
