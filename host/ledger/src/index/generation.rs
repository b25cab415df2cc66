//! One generation of the index in memory: what was staged since the last batch for the store, in key order.

use super::sorted::{Entries, Sorted};

/// What an entry costs in memory beside its bytes, when its block is half full.
const ENTRY_OVERHEAD_BYTES: usize = 32;

/// The ordered maps of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Table {
    /// Versions of keys.
    State,
    /// Runs of events by topic and partition.
    Runs,
    /// The views' own definitions.
    Meta,
}

impl Table {
    pub(super) const ALL: [Self; 3] = [Self::State, Self::Runs, Self::Meta];

    /// Its number in files.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::State => 0,
            Self::Runs => 1,
            Self::Meta => 2,
        }
    }

    /// The one with a number.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }
}

/// A key and its value; `None` deletes.
pub(crate) type Staged = (Table, Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Default)]
pub(super) struct Generation {
    state: Sorted,
    runs: Sorted,
    meta: Sorted,
    /// All records below this number are in an older generation.
    begin: u64,
    /// All records below this number are in this generation or in an older one.
    pub(super) next: u64,
    /// Which one it is, counted from 1.
    pub(super) number: u64,
    /// Its size, in bytes, roughly.
    pub(super) bytes: usize,
}

impl Generation {
    pub(super) const fn after(next: u64, number: u64) -> Self {
        Self {
            state: Sorted::new(),
            runs: Sorted::new(),
            meta: Sorted::new(),
            begin: next,
            next,
            number,
            bytes: 0,
        }
    }

    pub(super) const fn map(&self, table: Table) -> &Sorted {
        match table {
            Table::State => &self.state,
            Table::Runs => &self.runs,
            Table::Meta => &self.meta,
        }
    }

    /// Whether it has neither entries nor records.
    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0 && self.next == self.begin
    }

    pub(super) fn put(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        self.bytes += key.len() + value.map_or(0, <[u8]>::len) + ENTRY_OVERHEAD_BYTES;
        let map = match table {
            Table::State => &mut self.state,
            Table::Runs => &mut self.runs,
            Table::Meta => &mut self.meta,
        };
        map.insert(key, value);
    }

    /// The entries with `from <= key < end`.
    pub(super) fn range(&self, table: Table, from: &[u8], end: &[u8]) -> Entries<'_> {
        self.map(table).range(from, end)
    }
}
