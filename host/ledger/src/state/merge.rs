//! What a branch changed, and bringing that into its parent.

use std::sync::Arc;

use super::branch::{Branch, no_branch};
use super::key::{Key, KeyRange, Write};
use super::read::{Newest, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Version, placed, version};
use super::recent::{Pin, Reads};
use super::transaction::check_writes;
use super::{BranchId, StateView};
use crate::LedgerError;

/// A key that a branch left otherwise than it found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: Key,
    /// What it held where the branch began.
    pub base: Option<Version>,
    /// What it holds on the branch.
    pub ours: Option<Version>,
    /// What it holds on the parent.
    pub theirs: Option<Version>,
}

/// A part of what a branch changed, smallest key first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// The keys.
    pub differences: Vec<Difference>,
    /// There are more: ask again with `after` = this key. A part may have no keys and still go on.
    pub next: Option<Key>,
}

/// Whose value a merge takes for a key that both the branch and its parent changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergePolicy {
    /// Nobody's: the merge fails.
    #[default]
    FailOnConflict,
    /// The branch's.
    Ours,
    /// The parent's.
    Theirs,
}

impl Difference {
    /// Both sides changed it, to something different.
    pub fn conflicts(&self) -> bool {
        let seq = |side: &Option<Version>| side.as_ref().map(|version| version.seq);
        seq(&self.theirs) != seq(&self.base) && !self.agrees()
    }

    /// Both sides hold the same.
    fn agrees(&self) -> bool {
        same(self.ours.as_ref(), self.theirs.as_ref())
    }
}

fn same(a: Option<&Version>, b: Option<&Version>) -> bool {
    a.map(|version| &version.value) == b.map(|version| &version.value)
}

impl StateView {
    /// The keys a branch left otherwise than it found them, as of the records below `at`, from the one after `after`
    /// on; at most `limit` and [`PAGE_ENTRIES_MAX`].
    pub fn diff(&self, branch: BranchId, at: u64, limit: usize, after: Option<&Key>) -> Result<Diff, LedgerError> {
        self.guarded(branch, at, || self.diff_page(branch, at, limit, after))
    }

    fn diff_page(&self, branch: BranchId, at: u64, limit: usize, after: Option<&Key>) -> Result<Diff, LedgerError> {
        let limit = limit.clamp(1, PAGE_ENTRIES_MAX);
        let (ours, theirs) = {
            let definitions = self.definitions.read();
            let parent = definitions.at(branch, at)?.ok_or_else(main_has_no_parent)?.parent;
            (definitions.levels(branch, at)?, definitions.levels(parent, at)?)
        };
        let (own, base) = ours.split_first().ok_or_else(|| no_branch(branch))?;
        let range = KeyRange::everything();
        let range = after.map_or_else(|| range.clone(), |after| range.clone().behind(after));
        let mut newest = Newest::new(&self.index, *own, &range, limit);
        let mut diff = Diff::default();
        let (mut bytes, mut seen) = (0, 0);
        let mut last = None;
        while let Some((ordered, found)) = newest.next()? {
            if diff.differences.len() >= limit || bytes >= PAGE_BYTES_MAX || seen >= PAGE_ENTRIES_MAX {
                diff.next = last;
                break;
            }
            seen += 1;
            let key = Key::from_ordered(&ordered)?;
            last = Some(key.clone());
            let difference = Difference {
                base: self.look_up_in(base, &key)?,
                ours: version(Some(found)),
                theirs: self.look_up_in(&theirs, &key)?,
                key,
            };
            if !same(difference.ours.as_ref(), difference.base.as_ref()) {
                let sides = [&difference.base, &difference.ours, &difference.theirs];
                bytes += sides
                    .into_iter()
                    .flatten()
                    .map(|version| version.value.len())
                    .sum::<usize>();
                diff.differences.push(difference);
            }
        }
        Ok(diff)
    }

    /// What one commit must hold to bring a branch's changes into its parent. That commit fails with `Conflict` when
    /// the branch, or what it changed on the parent, is written before. The branch stays as it is.
    pub fn merge(
        &self,
        branch: BranchId,
        policy: MergePolicy,
        visible: impl FnOnce() -> u64,
    ) -> Result<(Reads, Vec<Write>), LedgerError> {
        let pin: Arc<Pin> = self.recent.pin(visible);
        let at = pin.snapshot;
        let parent = self
            .definitions
            .read()
            .at(branch, at)?
            .ok_or_else(main_has_no_parent)?
            .parent;
        let mut reads = Reads {
            pin: Some(pin),
            ..Reads::default()
        };
        let everything = KeyRange::everything();
        reads.add_range(placed(branch, &everything.from), placed(branch, &everything.end));
        let mut writes = Vec::new();
        let mut conflict = None;
        let mut conflicts = 0;
        let mut after = None;
        loop {
            let diff = self.diff_page(branch, at, PAGE_ENTRIES_MAX, after.as_ref())?;
            for difference in diff.differences {
                reads.keys.insert(placed(parent, &difference.key.ordered()));
                let conflicting = difference.conflicts();
                if conflicting && policy == MergePolicy::FailOnConflict {
                    conflicts += 1;
                    conflict.get_or_insert(difference.key);
                } else if !(difference.agrees() || conflicting && policy == MergePolicy::Theirs) {
                    writes.push(Write {
                        branch: parent,
                        key: difference.key,
                        value: difference.ours.map(|version| version.value),
                    });
                    check_writes(writes.len())?;
                }
            }
            after = diff.next;
            if after.is_none() {
                break;
            }
        }
        if let Some(key) = conflict {
            return Err(LedgerError::MergeConflict {
                key: key.to_string(),
                conflicts,
            });
        }
        self.recent.validate(&mut reads)?;
        Ok((reads, writes))
    }

    /// The branch of that owner and name, as of the records below `at`.
    pub fn branch(&self, owner: &super::Owner, name: &str, at: u64) -> Result<Arc<Branch>, LedgerError> {
        let definitions = self.definitions.read();
        let found = definitions
            .all_at(at, self.recent.visible())
            .find(|branch| branch.name == name && branch.owner == *owner);
        found
            .cloned()
            .ok_or_else(|| LedgerError::NoBranch { branch: name.into() })
    }

    /// The branch of that number, as of the records below `at`.
    pub fn branch_by_id(&self, id: BranchId, at: u64) -> Result<Arc<Branch>, LedgerError> {
        let definitions = self.definitions.read();
        definitions
            .readable(id, at, self.recent.visible())?
            .cloned()
            .ok_or_else(main_has_no_parent)
    }

    /// All branches as of the records below `at`, by number.
    pub fn branches(&self, at: u64) -> Vec<Arc<Branch>> {
        self.definitions
            .read()
            .all_at(at, self.recent.visible())
            .cloned()
            .collect()
    }
}

fn main_has_no_parent() -> LedgerError {
    LedgerError::InvalidDefinition {
        why: "the main branch has no parent".into(),
    }
}
