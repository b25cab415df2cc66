//! A disk in memory whose page cache can be thrown away, that can be full, and whose writes can fail.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::log::{Disk, DiskFile};

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    /// What a power cut leaves.
    synced: Vec<u8>,
    /// Writes since the last sync: a power cut may keep any of them.
    since: Vec<(u64, Vec<u8>)>,
}

#[derive(Default)]
pub(crate) struct Inner {
    files: Mutex<BTreeMap<PathBuf, Arc<Mutex<Content>>>>,
    pub(crate) full: AtomicBool,
    pub(crate) failing: AtomicBool,
    pub(crate) syncs: AtomicU64,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct FaultyDisk(pub(crate) Arc<Inner>);

impl FaultyDisk {
    /// The disk as it is after a power cut: synced content, and of the writes since then those that `keep` says, each
    /// whole or cut at a 512-byte sector.
    pub(crate) fn after_power_cut(&self, mut keep: impl FnMut() -> (bool, usize)) -> Self {
        let cut = Self::default();
        for (path, content) in self.0.files.lock().iter() {
            let content = content.lock();
            let mut bytes = content.synced.clone();
            for (at, written) in &content.since {
                let (kept, sectors) = keep();
                if kept {
                    let part = &written[..written.len().min(sectors * 512)];
                    put(&mut bytes, part, *at);
                }
            }
            let content = Content {
                now: bytes.clone(),
                synced: bytes,
                since: Vec::new(),
            };
            cut.0.files.lock().insert(path.clone(), Arc::new(Mutex::new(content)));
        }
        cut
    }

    /// The disk as a killed process leaves it: everything written is there.
    pub(crate) fn after_kill(&self) -> Self {
        self.after_power_cut_keeping_all()
    }

    fn after_power_cut_keeping_all(&self) -> Self {
        let copy = Self::default();
        for (path, content) in self.0.files.lock().iter() {
            let now = content.lock().now.clone();
            let content = Content {
                synced: now.clone(),
                now,
                since: Vec::new(),
            };
            copy.0.files.lock().insert(path.clone(), Arc::new(Mutex::new(content)));
        }
        copy
    }

    pub(crate) fn change(&self, ending: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let files = self.0.files.lock();
        let (_, content) = files
            .iter()
            .find(|(path, _)| path.to_string_lossy().ends_with(ending))
            .unwrap();
        let mut content = content.lock();
        change(&mut content.now);
        content.synced = content.now.clone();
    }

    pub(crate) fn bytes(&self, ending: &str) -> Vec<u8> {
        let files = self.0.files.lock();
        let (_, content) = files
            .iter()
            .find(|(path, _)| path.to_string_lossy().ends_with(ending))
            .unwrap();
        content.lock().now.clone()
    }
}

fn put(bytes: &mut Vec<u8>, written: &[u8], at: u64) {
    let at = usize::try_from(at).unwrap();
    if bytes.len() < at + written.len() {
        bytes.resize(at + written.len(), 0);
    }
    bytes[at..at + written.len()].copy_from_slice(written);
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut files = self.0.files.lock();
        let content = match files.get(path) {
            Some(content) => content.clone(),
            None if create => files.entry(path.into()).or_default().clone(),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Box::new(FaultyFile {
            content,
            disk: self.0.clone(),
        }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let files = self.0.files.lock();
        let inside = files.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0
            .files
            .lock()
            .remove(path)
            .map(drop)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

struct FaultyFile {
    content: Arc<Mutex<Content>>,
    disk: Arc<Inner>,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let content = self.content.lock();
        let from = content.now.get(usize::try_from(at).unwrap()..).unwrap_or_default();
        let count = from.len().min(bytes.len());
        bytes[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.disk.failing.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk is gone"));
        }
        let mut content = self.content.lock();
        put(&mut content.now, bytes, at);
        content.since.push((at, bytes.to_vec()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.disk.failing.load(Ordering::Relaxed) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.disk.syncs.fetch_add(1, Ordering::Relaxed);
        let mut content = self.content.lock();
        content.synced = content.now.clone();
        content.since.clear();
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut content = self.content.lock();
        content.now.resize(usize::try_from(bytes).unwrap(), 0);
        content.synced = content.now.clone();
        content.since.clear();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().now.len() as u64)
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        if self.disk.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}
