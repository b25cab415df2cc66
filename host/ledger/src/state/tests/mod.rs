//! Tests of the state: a driver that does what the ledger does, without a log file.

mod branches;
mod model;
mod oracle;
mod reads;
mod speed;
mod steps;
mod threads;
mod transactions;
mod watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::index::Table;

/// Small, so that the cache throws things out.
const CACHE_BYTES: usize = 1 << 20;

/// A log in memory, and what is visible of it.
#[derive(Default)]
struct Log {
    records: Mutex<Vec<Parts>>,
    visible: AtomicU64,
}

impl Log {
    fn visible(&self) -> u64 {
        self.visible.load(Ordering::SeqCst)
    }

    fn next(&self) -> u64 {
        self.records.lock().len() as u64
    }
}

struct Driver {
    folder: tempfile::TempDir,
    log: Arc<Log>,
    index: Arc<Index>,
    state: Arc<StateView>,
}

/// How a driver ends before it is opened again.
#[derive(Clone, Copy, Debug)]
enum End {
    /// All that is in the log is stored.
    Close,
    /// What is not stored is lost.
    Kill,
    /// The index's folder is deleted.
    Delete,
}

impl Driver {
    fn new() -> Self {
        // In memory where there is such a thing: the store syncs its files often.
        let folder = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let log = Arc::new(Log::default());
        let (index, state) = Self::open(&folder, &log);
        Self {
            folder,
            log,
            index,
            state,
        }
    }

    fn open(folder: &tempfile::TempDir, log: &Log) -> (Arc<Index>, Arc<StateView>) {
        let next = log.next();
        let index = Arc::new(Index::open(&folder.path().join("index"), (0, next), CACHE_BYTES).unwrap());
        index.synced(next);
        let state = StateView::open(Arc::clone(&index)).unwrap();
        for (seq, parts) in (0..).zip(log.records.lock().iter()) {
            if seq >= index.applied() {
                state.replay(seq, parts).unwrap();
            }
        }
        index.settle();
        state.advance(next);
        log.visible.store(next, Ordering::SeqCst);
        (index, Arc::new(state))
    }

    fn reopen(&mut self, end: End) {
        if matches!(end, End::Close) {
            self.index.synced(self.log.next());
        }
        self.index.close();
        if matches!(end, End::Delete) {
            std::fs::remove_dir_all(self.folder.path().join("index")).unwrap();
        }
        (self.index, self.state) = Self::open(&self.folder, &self.log);
    }

    /// Commits without making it visible.
    fn stage(&self, commit: Commit) -> Result<u64, LedgerError> {
        let mut records = self.log.records.lock();
        self.state.check(&commit)?;
        let seq = records.len() as u64;
        let keys = self.state.place(&commit.writes);
        self.state.stage(seq, &commit, &keys)?;
        records.push(Parts {
            writes: commit.writes,
            controls: commit.controls,
            ..Parts::default()
        });
        Ok(seq)
    }

    /// Makes all visible, of which some is on disk.
    fn advance(&self, synced_behind: u64) {
        let next = self.log.next();
        // As the log does it: what is shown was settled before.
        self.index.settle();
        self.log.visible.fetch_max(next, Ordering::SeqCst);
        self.index.synced(next.saturating_sub(synced_behind));
        self.state.advance(next);
    }

    fn commit(&self, commit: Commit) -> Result<u64, LedgerError> {
        let seq = self.stage(commit)?;
        self.advance(0);
        Ok(seq)
    }

    fn control(&self, control: Control) -> Result<u64, LedgerError> {
        self.commit(Commit {
            controls: vec![control],
            ..Commit::default()
        })
    }

    fn branch(&self, name: &str, parent: BranchId, base: u64) -> BranchId {
        self.control(StateView::create_branch(Owner::Host, name, parent, base))
            .unwrap();
        self.state.branch(&Owner::Host, name, self.visible()).unwrap().id
    }

    fn visible(&self) -> u64 {
        self.log.visible()
    }

    fn begin(&self, branch: BranchId) -> Transaction {
        self.state.begin(branch, || self.log.visible()).unwrap()
    }

    fn finish(&self, transaction: Transaction) -> Result<u64, LedgerError> {
        let (reads, writes) = transaction.into_commit_parts()?;
        self.commit(Commit {
            reads,
            writes,
            ..Commit::default()
        })
    }

    fn put(&self, branch: BranchId, name: &str, value: &str) -> u64 {
        self.write(branch, name, Some(value))
    }

    fn write(&self, branch: BranchId, name: &str, value: Option<&str>) -> u64 {
        let write = Write {
            branch,
            key: key(name),
            value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        };
        self.commit(writes([write])).unwrap()
    }

    fn get(&self, branch: BranchId, name: &str) -> Option<String> {
        let found = self.state.get(branch, &key(name), self.visible()).unwrap();
        found.map(|version| text(&version.value))
    }

    /// How many versions the index holds.
    fn versions(&self) -> usize {
        self.index
            .range(Table::State, &[], &[255; 8], usize::MAX)
            .unwrap()
            .len()
    }

    fn sweep(&self) {
        while self.state.sweep(7).unwrap() {}
    }
}

fn key(name: &str) -> Key {
    Key::new(Owner::Host, name)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn writes(writes: impl IntoIterator<Item = Write>) -> Commit {
    Commit {
        writes: writes.into_iter().collect(),
        ..Commit::default()
    }
}

fn is_conflict(result: &Result<u64, LedgerError>) -> bool {
    matches!(result, Err(LedgerError::Conflict { .. }))
}
