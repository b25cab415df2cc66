//! A serializable transaction: reads one snapshot and its own writes, and remembers what it read.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::key::{Key, KeyRange, Write, behind_prefix};
use super::read::{Page, placed};
use super::recent::Reads;
use super::{BranchId, StateView};
use crate::{LedgerError, RECORD_BYTES_MAX};

/// The most keys and ranges a transaction reads.
pub const READS_MAX: usize = 16_384;
/// The most keys a commit writes.
pub const WRITES_MAX: usize = 65_536;

/// See the module. It commits when its parts are committed, if no record since its snapshot wrote what it read; else
/// that commit fails with `Conflict`, and nothing happened. Dropping it does nothing.
pub struct Transaction {
    state: Arc<StateView>,
    branch: BranchId,
    snapshot: u64,
    reads: Reads,
    /// By the ordered form of the key.
    writes: BTreeMap<Vec<u8>, Write>,
    written_bytes: u64,
}

/// A part of a range as a transaction sees it, smallest key first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// The keys that exist and their values.
    pub entries: Vec<(Key, Bytes)>,
    /// The range is not at its end: ask again with `after` = this key.
    pub next: Option<Key>,
}

impl StateView {
    /// Begins a transaction on a branch. `visible` says below which number all records can be read now.
    pub fn begin(
        self: &Arc<Self>,
        branch: BranchId,
        visible: impl FnOnce() -> u64,
    ) -> Result<Transaction, LedgerError> {
        let pin = self.recent.pin(visible);
        let snapshot = pin.snapshot;
        self.definitions.read().at(branch, snapshot)?;
        Ok(Transaction {
            state: Arc::clone(self),
            branch,
            snapshot,
            reads: Reads {
                pin: Some(pin),
                ..Reads::default()
            },
            writes: BTreeMap::new(),
            written_bytes: 0,
        })
    }
}

impl Transaction {
    /// It sees the records below this number.
    pub const fn snapshot(&self) -> u64 {
        self.snapshot
    }

    /// What a key holds.
    pub fn get(&mut self, key: &Key) -> Result<Option<Bytes>, LedgerError> {
        let ordered = key.ordered();
        if let Some(write) = self.writes.get(&ordered) {
            return Ok(write.value.clone());
        }
        self.check_reads()?;
        self.reads.keys.insert(placed(self.branch, &ordered));
        let version = self.state.look_up(self.branch, key, self.snapshot)?;
        Ok(version.map(|version| version.value))
    }

    /// The keys of a range that exist, in order, from the one after `after` on; about `limit`, at most
    /// [`super::PAGE_ENTRIES_MAX`]. What was looked through counts as read, also where there was nothing.
    pub fn scan(&mut self, range: &KeyRange, limit: usize, after: Option<&Key>) -> Result<Entries, LedgerError> {
        self.check_reads()?;
        let Page { entries, mut next } = self.state.scan_page(self.branch, range, self.snapshot, limit, after)?;
        let range = after.map_or_else(|| range.clone(), |after| range.clone().behind(after));
        let end = next.as_ref().map_or(range.end, |next| behind_prefix(&next.ordered()));
        let (from, read_end) = (placed(self.branch, &range.from), placed(self.branch, &end));
        self.reads.add_range(from, read_end);
        let own: Vec<&Write> = if range.from < end {
            self.writes.range(range.from..end).map(|(_, write)| write).collect()
        } else {
            Vec::new()
        };
        let stored = entries.into_iter().map(|(key, version)| (key, Some(version.value)));
        let mut merged: BTreeMap<Key, Option<Bytes>> = stored.collect();
        merged.extend(own.into_iter().map(|write| (write.key.clone(), write.value.clone())));
        let mut entries: Vec<(Key, Bytes)> = merged
            .into_iter()
            .filter_map(|(key, value)| value.map(|value| (key, value)))
            .collect();
        let limit = limit.clamp(1, super::PAGE_ENTRIES_MAX);
        if entries.len() > limit {
            entries.truncate(limit);
            next = entries.last().map(|(key, _)| key.clone());
        }
        Ok(Entries { entries, next })
    }

    /// Sets a key.
    pub fn put(&mut self, key: Key, value: impl Into<Bytes>) -> Result<(), LedgerError> {
        self.write(key, Some(value.into()))
    }

    /// Deletes a key, whether it exists or not.
    pub fn delete(&mut self, key: Key) -> Result<(), LedgerError> {
        self.write(key, None)
    }

    fn write(&mut self, key: Key, value: Option<Bytes>) -> Result<(), LedgerError> {
        let write = Write {
            branch: self.branch,
            key,
            value,
        };
        write.check()?;
        self.written_bytes += (write.key.key.len() + write.value.as_ref().map_or(0, Bytes::len)) as u64;
        if self.written_bytes > RECORD_BYTES_MAX {
            return Err(too_large("bytes written", RECORD_BYTES_MAX));
        }
        self.writes.insert(write.key.ordered(), write);
        check_writes(self.writes.len())
    }

    fn check_reads(&self) -> Result<(), LedgerError> {
        if self.reads.keys.len() + self.reads.ranges.len() >= READS_MAX {
            return Err(too_large("reads", READS_MAX as u64));
        }
        Ok(())
    }

    /// What belongs into the commit. Fails already when something read was written meanwhile.
    pub fn into_commit_parts(mut self) -> Result<(Reads, Vec<Write>), LedgerError> {
        self.state.recent.validate(&mut self.reads)?;
        Ok((self.reads, self.writes.into_values().collect()))
    }
}

pub(super) fn check_writes(count: usize) -> Result<(), LedgerError> {
    if count > WRITES_MAX {
        return Err(too_large("keys written", WRITES_MAX as u64));
    }
    Ok(())
}

fn too_large(what: &str, max: u64) -> LedgerError {
    LedgerError::TransactionTooLarge { what: what.into(), max }
}
