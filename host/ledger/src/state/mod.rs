//! State: the log by key. Versions by record, as of any record, with branches and serializable transactions.
//!
//! Everything is read *as of* a number: what the records below it left. Nothing staged is seen before it is visible,
//! because readers ask as of what is visible.

mod branch;
mod key;
mod merge;
mod read;
mod recent;
mod sweep;
#[cfg(test)]
mod tests;
mod transaction;
mod watch;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

pub use self::branch::{BRANCH_DEPTH_MAX, BRANCH_NAME_BYTES_MAX, BRANCHES_MAX, Branch, BranchId};
use self::branch::{Change, Definitions};
pub use self::key::{KEY_BYTES_MAX, Key, KeyRange, Owner, VALUE_BYTES_MAX, Write};
pub use self::merge::{Diff, Difference, MergePolicy};
pub use self::read::{History, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page, Revision, Version};
pub(crate) use self::recent::PlacedKeys;
pub use self::recent::Reads;
use self::recent::Recent;
use self::sweep::Sweeper;
use self::transaction::check_writes;
pub use self::transaction::{Entries, READS_MAX, Transaction, WRITES_MAX};
pub(crate) use self::watch::ReadRecord;
use self::watch::Watchers;
pub use self::watch::{StateChange, WATCHERS_MAX, Watch};
use crate::index::{Index, Table, put_version};
use crate::{Commit, Control, LedgerError, Parts, View};

/// See the module.
pub struct StateView {
    index: Arc<Index>,
    definitions: RwLock<Definitions>,
    recent: Arc<Recent>,
    watchers: Watchers,
    sweeper: Mutex<Sweeper>,
}

impl StateView {
    /// Reads the definitions out of the index. What the log has beyond the index is to be replayed then.
    pub(crate) fn open(index: Arc<Index>) -> Result<Self, LedgerError> {
        let definitions = Definitions::load(&index)?;
        Ok(Self {
            index,
            definitions: RwLock::new(definitions),
            recent: Arc::default(),
            watchers: Watchers::new(),
            sweeper: Mutex::default(),
        })
    }

    /// Whether a commit may become the next record. To be called, then `stage`, while no other commit is staged.
    pub(crate) fn check(&self, commit: &Commit) -> Result<(), LedgerError> {
        self.index.admit()?;
        check_writes(commit.writes.len())?;
        {
            let definitions = self.definitions.read();
            let mut live = BranchId::MAIN;
            for write in &commit.writes {
                write.check()?;
                if write.branch != live {
                    definitions.live(write.branch)?;
                    live = write.branch;
                }
            }
            let mut changes = changes(&commit.controls);
            if let Some(change) = changes.next() {
                definitions.check(&change?, self.recent.visible())?;
            }
            if changes.next().is_some() {
                return Err(LedgerError::InvalidDefinition {
                    why: "a commit makes one change at most".into(),
                });
            }
        }
        self.recent.validate_rest(&commit.reads)
    }

    /// Prepares what `stage` needs of these writes. It needs no lock of the log's.
    pub(crate) fn place(&self, writes: &[Write]) -> PlacedKeys {
        self.recent.place(writes)
    }

    /// Takes a commit that was checked as the record `seq`. In order of the log.
    pub(crate) fn stage(&self, seq: u64, commit: &Commit, keys: &PlacedKeys) -> Result<(), LedgerError> {
        self.recent.touch(seq, keys);
        self.apply(seq, &commit.writes, keys, &commit.controls)?;
        self.watchers.stage(seq, &commit.writes);
        Ok(())
    }

    /// Takes a record from the log, after opening, before anything is visible. In order of the log.
    pub(crate) fn replay(&self, seq: u64, parts: &Parts) -> Result<(), LedgerError> {
        self.index.settle();
        // The records before were read from the log's files.
        self.index.synced(seq);
        self.index.wait_room();
        self.apply(seq, &parts.writes, &self.place(&parts.writes), &parts.controls)
    }

    /// The records below `visible` can be read. To be called after each advance, and once after replaying.
    pub(crate) fn advance(&self, visible: u64) {
        self.recent.advance(visible);
        self.watchers.advance(visible);
    }

    fn apply(&self, seq: u64, writes: &[Write], keys: &PlacedKeys, controls: &[Control]) -> Result<(), LedgerError> {
        let mut definitions = Vec::new();
        for change in changes(controls) {
            definitions.extend(self.definitions.write().apply(seq, change?));
        }
        // Also without entries: it notes how far the log is.
        self.index.queue(seq, |batch| {
            batch.extend(definitions);
            for (write, placed) in writes.iter().zip(keys.iter()) {
                batch.put_with(
                    Table::State,
                    |key| put_version(key, placed, seq),
                    Some(|out: &mut Vec<u8>| read::put_index_value(out, write.value.as_deref())),
                );
            }
        });
        Ok(())
    }

    /// What a commit must hold to create a branch of `parent` as of the records below `base`, which can be read and
    /// are not below the horizon. Its number is given when it becomes a record: then ask `branch` by name.
    pub fn create_branch(owner: Owner, name: impl Into<String>, parent: BranchId, base: u64) -> Control {
        let name = name.into();
        let create = Change::Create {
            owner,
            name,
            parent,
            base,
        };
        create.control()
    }

    /// What a commit must hold to discard a branch that no other one reads through. What was written to it is removed
    /// later, a part at a time.
    pub fn discard_branch(branch: BranchId) -> Control {
        Change::Discard(branch).control()
    }

    /// What a commit must hold so that reads below `horizon` are refused. Each key keeps the version that a read as of
    /// the horizon shows, and those that branches and open transactions show; older ones are removed later.
    pub fn retain(horizon: u64) -> Control {
        Change::Retain(horizon).control()
    }

    /// Reads below this number are refused.
    pub fn horizon(&self) -> u64 {
        self.definitions.read().horizon
    }
}

fn changes(controls: &[Control]) -> impl Iterator<Item = Result<Change, LedgerError>> {
    let ours = controls.iter().filter(|control| control.view == View::State);
    ours.map(|control| Change::decode(&control.payload))
}
