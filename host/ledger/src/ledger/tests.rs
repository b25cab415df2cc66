//! Records that are written and not waited for.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kinetic_identity::SigningKey;
use parking_lot::{Condvar, Mutex};

use crate::state::{BranchId, Key, Owner, Write};
use crate::{Commit, Disk, DiskFile, Durability, Ledger, LedgerConfig, SystemDisk};

/// A disk on which nothing is synced while it is held.
#[derive(Clone, Default)]
struct HeldDisk(Arc<(Mutex<bool>, Condvar)>);

struct HeldFile(Box<dyn DiskFile>, HeldDisk);

/// It is held until this is dropped: also when a test fails, else nothing would ever end.
struct Hold<'a>(&'a HeldDisk);

impl HeldDisk {
    fn hold(&self) -> Hold<'_> {
        *self.0.0.lock() = true;
        Hold(self)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        *self.0.0.0.lock() = false;
        self.0.0.1.notify_all();
    }
}

impl Disk for HeldDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(HeldFile(SystemDisk.open(path, create)?, self.clone())))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        SystemDisk.list(folder)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        SystemDisk.sync_folder(folder)
    }
}

impl DiskFile for HeldFile {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(bytes, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(bytes, at)
    }

    fn sync_data(&self) -> io::Result<()> {
        let (held, changed) = &*self.1.0;
        let mut held = held.lock();
        while *held {
            changed.wait(&mut held);
        }
        drop(held);
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.0.reserve(bytes)
    }
}

fn write(name: &str, durability: Durability) -> Commit {
    Commit {
        durability: Some(durability),
        receipt: Some(Bytes::from_static(b"{}")),
        writes: vec![Write {
            branch: BranchId::MAIN,
            key: Key::new(Owner::Host, name.as_bytes()),
            value: Some(Bytes::from_static(b"value")),
        }],
        ..Commit::default()
    }
}

fn holds(ledger: &Ledger, name: &str) -> bool {
    let key = Key::new(Owner::Host, name.as_bytes());
    let found = ledger.state().get(BranchId::MAIN, &key, ledger.visible());
    found.unwrap().is_some()
}

#[tokio::test]
async fn what_is_placed_is_written_at_once_and_shown_with_all_behind_it_when_it_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = HeldDisk::default();
    let config = LedgerConfig {
        disk: Arc::new(disk.clone()),
        ..LedgerConfig::new(folder.path(), "test")
    };
    let ledger = Ledger::open(config, SigningKey::generate().unwrap()).unwrap();
    let hold = disk.hold();
    let placed = ledger.place(write("first", Durability::Synced)).await.unwrap();
    let seq = ledger.records() - 1;
    assert_eq!(ledger.read(seq, 1).unwrap()[0].seq, seq, "it is in the file");
    let first = tokio::spawn(placed.acknowledged());
    let behind = ledger.clone();
    let second = tokio::spawn(async move { behind.commit(write("second", Durability::Written)).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!first.is_finished() && !second.is_finished());
    assert!(!holds(&ledger, "first") && !holds(&ledger, "second"));
    drop(hold);
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!((first.seq, second.seq), (seq, seq + 1));
    assert!(ledger.synced() > seq);
    assert!(holds(&ledger, "first") && holds(&ledger, "second"));
    ledger.close().await;
}
