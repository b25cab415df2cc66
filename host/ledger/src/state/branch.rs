//! Branches: their definitions, the controls that change them, and what of them a read goes through.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::key::Owner;
use crate::index::{Staged, Table};
use crate::wire::{Wire, malformed, put_bytes, put_u64};
use crate::{Control, LedgerError, View};

/// How many branches there are at most, those included that were discarded and still take room.
pub const BRANCHES_MAX: usize = 1024;
/// A branch of a branch of the main one has depth 2; it goes no deeper than this.
pub const BRANCH_DEPTH_MAX: usize = 8;
/// The longest name of a branch, in bytes.
pub const BRANCH_NAME_BYTES_MAX: usize = 128;

/// The number of a branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchId(pub u32);

impl BranchId {
    /// The branch that is always there.
    pub const MAIN: Self = Self(0);
}

/// A branch: an overlay over its parent as of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Its number.
    pub id: BranchId,
    /// Who created it. Names are unique per owner.
    pub owner: Owner,
    /// Its name.
    pub name: String,
    /// What it is an overlay of.
    pub parent: BranchId,
    /// It shows the parent's records below this number.
    pub base: u64,
    /// The record that created it.
    pub created: u64,
    /// The record that discarded it.
    pub discarded: Option<u64>,
}

/// A change of the state's definitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create {
        owner: Owner,
        name: String,
        parent: BranchId,
        base: u64,
    },
    Discard(BranchId),
    /// Versions that only reads below this number can see may go.
    Retain(u64),
}

const CREATE: u8 = 1;
const DISCARD: u8 = 2;
const RETAIN: u8 = 3;

impl Change {
    pub(super) fn control(&self) -> Control {
        let mut out = Vec::new();
        match self {
            Self::Create {
                owner,
                name,
                parent,
                base,
            } => {
                out.push(CREATE);
                owner.put_wire(&mut out);
                put_bytes(&mut out, name.as_bytes());
                put_u64(&mut out, u64::from(parent.0));
                put_u64(&mut out, *base);
            }
            Self::Discard(id) => {
                out.push(DISCARD);
                put_u64(&mut out, u64::from(id.0));
            }
            Self::Retain(horizon) => {
                out.push(RETAIN);
                put_u64(&mut out, *horizon);
            }
        }
        Control {
            view: View::State,
            payload: Bytes::from(out),
        }
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(payload);
        let change = match wire.u8()? {
            CREATE => Self::Create {
                owner: Owner::from_wire(&mut wire)?,
                name: wire.text()?.into(),
                parent: BranchId(wire.u32()?),
                base: wire.u64()?,
            },
            DISCARD => Self::Discard(BranchId(wire.u32()?)),
            RETAIN => Self::Retain(wire.u64()?),
            _ => return Err(malformed("it changes the state's definitions in an unknown way")),
        };
        wire.end()?;
        Ok(change)
    }
}

/// A branch and the number below which its records count, as a read goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) branch: BranchId,
    pub(super) at: u64,
}

/// The definitions, as of the last record staged.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    branches: BTreeMap<BranchId, Arc<Branch>>,
    last_id: u32,
    /// Reads below it are refused.
    pub(super) horizon: u64,
}

const META_BRANCH: &[u8] = b"state/branch/";
const META_BRANCH_END: &[u8] = b"state/branch0";
const META_HORIZON: &[u8] = b"state/horizon";
const META_LAST_ID: &[u8] = b"state/last-branch";

impl Definitions {
    pub(super) fn load(index: &crate::index::Index) -> Result<Self, LedgerError> {
        let number = |key: &[u8]| -> Result<u64, LedgerError> {
            let found = index.get(Table::Meta, key)?;
            found.map_or(Ok(0), |value| Wire::new(&value).u64())
        };
        let mut definitions = Self {
            branches: BTreeMap::new(),
            last_id: u32::try_from(number(META_LAST_ID)?).map_err(|_| malformed("a branch's number is too large"))?,
            horizon: number(META_HORIZON)?,
        };
        for (_, value) in index.range(Table::Meta, META_BRANCH, META_BRANCH_END, BRANCHES_MAX)? {
            let branch = Branch::decode(&value)?;
            definitions.branches.insert(branch.id, Arc::new(branch));
        }
        Ok(definitions)
    }

    /// Whether a change can be applied after all that is staged, of which the records below `visible` can be read.
    pub(super) fn check(&self, change: &Change, visible: u64) -> Result<(), LedgerError> {
        let exists = |seq: u64| {
            if seq <= visible {
                Ok(())
            } else {
                Err(LedgerError::NotYet { seq, next: visible })
            }
        };
        match change {
            Change::Create {
                owner,
                name,
                parent,
                base,
            } => {
                exists(*base)?;
                self.check_create(owner, name, *parent, *base)
            }
            Change::Discard(id) => {
                let branch = self.live(*id)?.ok_or_else(|| refused("the main branch stays"))?;
                let child = self
                    .branches
                    .values()
                    .find(|child| child.parent == *id && child.discarded.is_none());
                match child {
                    None => Ok(()),
                    Some(child) => Err(LedgerError::BranchInUse {
                        name: branch.name.clone(),
                        by: child.name.clone(),
                    }),
                }
            }
            Change::Retain(horizon) if *horizon < self.horizon => Err(refused("the horizon only moves forward")),
            Change::Retain(horizon) => exists(*horizon),
        }
    }

    fn check_create(&self, owner: &Owner, name: &str, parent: BranchId, base: u64) -> Result<(), LedgerError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if name.is_empty() || name.len() > BRANCH_NAME_BYTES_MAX || !name.bytes().all(good) || name == "main" {
            return Err(refused(&format!(
                "a branch's name is 1 to {BRANCH_NAME_BYTES_MAX} letters, digits, or any of -_./, and not \"main\""
            )));
        }
        let taken = |branch: &&Arc<Branch>| branch.discarded.is_none() && branch.name == name && branch.owner == *owner;
        if self.branches.values().find(taken).is_some() {
            return Err(LedgerError::BranchExists { name: name.into() });
        }
        self.live(parent)?;
        if self.branches.len() >= BRANCHES_MAX {
            return Err(refused(&format!("there are {BRANCHES_MAX} branches already")));
        }
        if self.depth(parent) >= BRANCH_DEPTH_MAX {
            return Err(refused(&format!("branches go at most {BRANCH_DEPTH_MAX} deep")));
        }
        if base < self.horizon {
            return Err(LedgerError::BelowHorizon {
                seq: base,
                horizon: self.horizon,
            });
        }
        Ok(())
    }

    /// Applies a change that was checked, or comes from the log. Returns what the index keeps of it.
    pub(super) fn apply(&mut self, seq: u64, change: Change) -> Vec<Staged> {
        match change {
            Change::Create {
                owner,
                name,
                parent,
                base,
            } => {
                self.last_id += 1;
                let last = (
                    Table::Meta,
                    META_LAST_ID.to_vec(),
                    Some(number(u64::from(self.last_id))),
                );
                let branch = Branch {
                    id: BranchId(self.last_id),
                    owner,
                    name,
                    parent,
                    base,
                    created: seq,
                    discarded: None,
                };
                vec![last, self.keep(branch)]
            }
            Change::Discard(id) => {
                let branch = self.branches.get(&id).map(|branch| Branch::clone(branch));
                let discarded = branch.map(|branch| {
                    self.keep(Branch {
                        discarded: Some(seq),
                        ..branch
                    })
                });
                discarded.into_iter().collect()
            }
            Change::Retain(horizon) => {
                self.horizon = self.horizon.max(horizon);
                vec![(Table::Meta, META_HORIZON.to_vec(), Some(number(self.horizon)))]
            }
        }
    }

    fn keep(&mut self, branch: Branch) -> Staged {
        let entry = (Table::Meta, meta_key(branch.id), Some(branch.encode()));
        self.branches.insert(branch.id, Arc::new(branch));
        entry
    }

    /// The branch, if it was not discarded by any staged record; nothing for the main one.
    pub(super) fn live(&self, id: BranchId) -> Result<Option<&Arc<Branch>>, LedgerError> {
        if id == BranchId::MAIN {
            return Ok(None);
        }
        let found = self.branches.get(&id).filter(|branch| branch.discarded.is_none());
        found.map(Some).ok_or_else(|| no_branch(id))
    }

    /// As `at`, for a read that no open transaction protects: a branch whose discarding is visible is gone for it, also
    /// as of earlier records, because its versions may be.
    pub(super) fn readable(&self, id: BranchId, at: u64, visible: u64) -> Result<Option<&Arc<Branch>>, LedgerError> {
        let branch = self.at(id, at)?;
        match branch {
            Some(branch) if branch.is_gone(visible) => Err(no_branch(id)),
            _ => Ok(branch),
        }
    }

    /// The branch as of a record; nothing for the main one.
    pub(super) fn at(&self, id: BranchId, at: u64) -> Result<Option<&Arc<Branch>>, LedgerError> {
        if id == BranchId::MAIN {
            return Ok(None);
        }
        let found = self.branches.get(&id).filter(|branch| branch.exists_at(at));
        found.map(Some).ok_or_else(|| no_branch(id))
    }

    /// All branches as of a record, but for those that are gone.
    pub(super) fn all_at(&self, at: u64, visible: u64) -> impl Iterator<Item = &Arc<Branch>> {
        self.branches
            .values()
            .filter(move |branch| branch.exists_at(at) && !branch.is_gone(visible))
    }

    /// What a read of a branch as of a record goes through, the branch first.
    pub(super) fn levels(&self, id: BranchId, at: u64) -> Result<Vec<Level>, LedgerError> {
        self.at(id, at)?;
        self.levels_below(Level { branch: id, at })
    }

    /// A level and those under it. A parent may be younger than what is shown of it: then it is looked through.
    fn levels_below(&self, top: Level) -> Result<Vec<Level>, LedgerError> {
        let mut levels = vec![top];
        let mut level = top;
        while level.branch != BranchId::MAIN {
            let branch = self
                .branches
                .get(&level.branch)
                .ok_or_else(|| no_branch(level.branch))?;
            level = Level {
                branch: branch.parent,
                at: level.at.min(branch.base),
            };
            levels.push(level);
        }
        Ok(levels)
    }

    fn depth(&self, id: BranchId) -> usize {
        let parents = std::iter::successors(self.branches.get(&id), |branch| self.branches.get(&branch.parent));
        parents.take(BRANCH_DEPTH_MAX).count()
    }

    /// As of which numbers the branches over this one show it, at the latest.
    pub(super) fn bases_on(&self, id: BranchId) -> Vec<u64> {
        let mut bases = Vec::new();
        for top in self.branches.keys() {
            let at = u64::MAX;
            // Without its parent a branch cannot be read, so it shows nothing.
            let levels = self.levels_below(Level { branch: *top, at }).unwrap_or_default();
            let shown = levels.iter().skip(1).find(|level| level.branch == id);
            bases.extend(shown.map(|level| level.at));
        }
        bases
    }

    /// Whether a branch was discarded by a record below this number.
    pub(super) fn has_discarded(&self, before: u64) -> bool {
        self.discarded(before).is_some()
    }

    fn discarded(&self, before: u64) -> Option<BranchId> {
        let gone = |branch: &&Arc<Branch>| branch.discarded.is_some_and(|discarded| discarded < before);
        self.branches.values().find(gone).map(|branch| branch.id)
    }

    /// Takes out a branch that was discarded by a record below this number. From here on no read finds it.
    pub(super) fn take_discarded(&mut self, before: u64) -> Option<BranchId> {
        let id = self.discarded(before)?;
        self.branches.remove(&id);
        Some(id)
    }

    /// What makes the index forget a branch's definition.
    pub(super) fn forget(id: BranchId) -> Staged {
        (Table::Meta, meta_key(id), None)
    }
}

impl Branch {
    fn exists_at(&self, at: u64) -> bool {
        self.created < at && self.discarded.is_none_or(|discarded| at <= discarded)
    }

    fn is_gone(&self, visible: u64) -> bool {
        self.discarded.is_some_and(|discarded| discarded < visible)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, u64::from(self.id.0));
        self.owner.put_wire(&mut out);
        put_bytes(&mut out, self.name.as_bytes());
        put_u64(&mut out, u64::from(self.parent.0));
        put_u64(&mut out, self.base);
        put_u64(&mut out, self.created);
        if let Some(discarded) = self.discarded {
            put_u64(&mut out, discarded);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let mut wire = Wire::new(bytes);
        let branch = Self {
            id: BranchId(wire.u32()?),
            owner: Owner::from_wire(&mut wire)?,
            name: wire.text()?.into(),
            parent: BranchId(wire.u32()?),
            base: wire.u64()?,
            created: wire.u64()?,
            discarded: if wire.is_empty() { None } else { Some(wire.u64()?) },
        };
        wire.end()?;
        Ok(branch)
    }
}

fn meta_key(id: BranchId) -> Vec<u8> {
    [META_BRANCH, &id.0.to_be_bytes()].concat()
}

fn number(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_u64(&mut out, value);
    out
}

pub(super) fn no_branch(id: BranchId) -> LedgerError {
    LedgerError::NoBranch {
        branch: id.0.to_string(),
    }
}

fn refused(why: &str) -> LedgerError {
    LedgerError::InvalidDefinition { why: why.into() }
}
