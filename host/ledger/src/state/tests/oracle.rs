//! What the state must do, looked up each time in the list of what was committed.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::*;

pub(super) const KEYS: u8 = 7;

/// A few keys, some of which need escaping or begin like others.
pub(super) fn some_key(number: u8) -> Key {
    let names: [&[u8]; KEYS as usize] = [b"a", b"a\0", b"a\0b", b"ab", b"b", b"\xff", b"\xff\xff"];
    let owner = match number % 3 {
        1 => Owner::Capsule("urn:x".into()),
        _ => Owner::Host,
    };
    Key::new(owner, names[usize::from(number % KEYS)])
}

#[derive(Clone, Debug)]
pub(super) enum Ranged {
    Everything,
    Prefix(u8),
    Between(u8, u8),
}

impl Ranged {
    pub(super) fn range(&self) -> KeyRange {
        match self {
            Self::Everything => KeyRange::everything(),
            Self::Prefix(key) => {
                let key = some_key(*key);
                KeyRange::prefix(&key.owner, &key.key)
            }
            Self::Between(from, end) => {
                let (from, end) = (some_key(*from), some_key(*end));
                KeyRange::between(&from.owner, Bound::Excluded(&from.key), Bound::Included(&end.key))
            }
        }
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        match self {
            Self::Everything => true,
            Self::Prefix(prefix) => {
                let prefix = some_key(*prefix);
                key.owner == prefix.owner && key.key.starts_with(&prefix.key)
            }
            Self::Between(from, end) => {
                let (from, end) = (some_key(*from), some_key(*end));
                key.owner == from.owner && key.key > from.key && key.key <= end.key
            }
        }
    }
}

pub(super) struct OracleBranch {
    pub(super) parent: u32,
    pub(super) base: u64,
    pub(super) created: u64,
    pub(super) discarded: Option<u64>,
}

/// The list of what was committed; everything else is looked up in it each time.
#[derive(Default)]
pub(super) struct Oracle {
    pub(super) records: Vec<Vec<Write>>,
    pub(super) branches: Vec<OracleBranch>,
    pub(super) horizon: u64,
}

type Value = Option<(u64, Option<Bytes>)>;

impl Oracle {
    pub(super) fn branch(&self, id: BranchId) -> Option<&OracleBranch> {
        self.branches.get((id.0 as usize).checked_sub(1)?)
    }

    /// The branches a read goes through, and below which number.
    pub(super) fn levels(&self, branch: BranchId, at: u64) -> Vec<(BranchId, u64)> {
        let mut levels = vec![(branch, at)];
        while let Some(known) = self.branch(levels.last().unwrap().0) {
            let at = levels.last().unwrap().1.min(known.base);
            levels.push((BranchId(known.parent), at));
        }
        levels
    }

    pub(super) fn writes(&self, branch: BranchId, at: u64) -> impl DoubleEndedIterator<Item = (u64, &Write)> {
        let below = usize::try_from(at).unwrap().min(self.records.len());
        let numbered = self.records[..below].iter().enumerate();
        numbered
            .flat_map(|(seq, writes)| writes.iter().map(move |write| (seq as u64, write)))
            .filter(move |(_, write)| write.branch == branch)
    }

    fn find(&self, branch: BranchId, key: &Key, at: u64) -> Value {
        self.levels(branch, at).into_iter().find_map(|(branch, at)| {
            let last = self.writes(branch, at).rfind(|(_, write)| write.key == *key);
            last.map(|(seq, write)| (seq, write.value.clone()))
        })
    }

    pub(super) fn get(&self, branch: BranchId, key: &Key, at: u64) -> Option<Version> {
        let (seq, value) = self.find(branch, key, at)?;
        value.map(|value| Version { seq, value })
    }

    fn keys(&self) -> BTreeSet<Key> {
        self.records.iter().flatten().map(|write| write.key.clone()).collect()
    }

    pub(super) fn scan(&self, branch: BranchId, range: &Ranged, at: u64, after: Option<&Key>) -> Vec<(Key, Version)> {
        let keys = self
            .keys()
            .into_iter()
            .filter(|key| range.contains(key) && after.is_none_or(|after| key > after));
        keys.filter_map(|key| self.get(branch, &key, at).map(|version| (key, version)))
            .collect()
    }

    pub(super) fn history(&self, branch: BranchId, key: &Key, before: u64) -> Vec<Revision> {
        let mut revisions = Vec::new();
        for (branch, at) in self.levels(branch, before) {
            // Of several writes of a record the last one counts.
            let mut of_level: Vec<(u64, &Write)> =
                self.writes(branch, at).filter(|(_, write)| write.key == *key).collect();
            of_level.reverse();
            of_level.dedup_by_key(|(seq, _)| *seq);
            for (seq, write) in of_level {
                if seq < self.horizon && write.value.is_none() {
                    return revisions;
                }
                revisions.push(Revision {
                    seq,
                    branch,
                    value: write.value.clone(),
                });
                if seq < self.horizon {
                    return revisions;
                }
            }
        }
        revisions
    }

    pub(super) fn diff(&self, branch: BranchId, at: u64) -> Vec<Difference> {
        let known = self.branch(branch).unwrap();
        let (parent, base) = (BranchId(known.parent), known.base.min(at));
        let own: BTreeSet<&Key> = self.writes(branch, at).map(|(_, write)| &write.key).collect();
        let value = |version: &Option<Version>| version.as_ref().map(|version| version.value.clone());
        let differences = own.into_iter().map(|key| Difference {
            key: key.clone(),
            base: self.get(parent, key, base),
            ours: self.get(branch, key, at),
            theirs: self.get(parent, key, at),
        });
        differences
            .filter(|difference| value(&difference.base) != value(&difference.ours))
            .collect()
    }

    /// The branches that can be written.
    pub(super) fn live(&self) -> Vec<BranchId> {
        let created = (1..)
            .zip(&self.branches)
            .filter(|(_, branch)| branch.discarded.is_none());
        std::iter::once(BranchId::MAIN)
            .chain(created.map(|(id, _)| BranchId(id)))
            .collect()
    }
}
