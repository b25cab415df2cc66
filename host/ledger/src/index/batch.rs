//! Entries on their way into the index: one behind the other in one buffer that is used again, so that a commit that
//! holds the log's lock allocates nothing for them.

use super::generation::{Staged, Table};

#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// In order, without gaps.
    entries: Vec<Lengths>,
    /// The numbers of the first record it is of, and after the last one.
    records: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Lengths {
    table: Table,
    key: usize,
    /// None deletes.
    value: Option<usize>,
}

impl Batch {
    /// A batch that grew larger than this gives its room back, in bytes.
    const ROOM_BYTES: usize = 4 << 20;

    /// Adds an entry: key and value are appended to what they are given.
    pub(crate) fn put_with(
        &mut self,
        table: Table,
        key: impl FnOnce(&mut Vec<u8>),
        value: Option<impl FnOnce(&mut Vec<u8>)>,
    ) {
        let start = self.bytes.len();
        key(&mut self.bytes);
        let middle = self.bytes.len();
        let value = value.map(|value| {
            value(&mut self.bytes);
            self.bytes.len().saturating_sub(middle)
        });
        let key = middle.saturating_sub(start);
        self.entries.push(Lengths { table, key, value });
    }

    /// Adds an entry; `None` deletes.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        let append = |bytes: &[u8], out: &mut Vec<u8>| out.extend_from_slice(bytes);
        self.put_with(
            table,
            |out| append(key, out),
            value.map(|value| |out: &mut Vec<u8>| append(value, out)),
        );
    }

    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = Staged>) {
        for (table, key, value) in entries {
            self.put(table, &key, value.as_deref());
        }
    }

    /// A record comes, or comes on.
    pub(super) fn begin(&mut self, seq: u64) {
        let first = self.records.map_or(seq, |(first, _)| first);
        self.records = Some((first, seq + 1));
    }

    pub(super) const fn records(&self) -> Option<(u64, u64)> {
        self.records
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        let mut rest = self.bytes.as_slice();
        let mut take = move |count: usize| {
            let (taken, behind) = rest.split_at_checked(count).unwrap_or_default();
            rest = behind;
            taken
        };
        self.entries.iter().map(move |entry| {
            let key = take(entry.key);
            (entry.table, key, entry.value.map(&mut take))
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(Self::ROOM_BYTES);
        self.entries.clear();
        self.entries.shrink_to(Self::ROOM_BYTES / size_of::<Lengths>());
        self.records = None;
    }
}
