//! Reading the state as of a record: one key, the history of a key, a range of keys; through branches.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::branch::Level;
use super::key::{Key, KeyRange};
use super::{BranchId, StateView};
use crate::LedgerError;
use crate::index::{Index, Table, behind_versions, split_version, version_key};
use crate::wire::malformed;

/// The most entries one page of a scan, a history or a diff has.
pub const PAGE_ENTRIES_MAX: usize = 10_000;
/// A page ends when its values take so many bytes.
pub const PAGE_BYTES_MAX: usize = 16 << 20;
/// A page ends after so many keys that were deleted or not shown.
const PAGE_SKIPPED_MAX: usize = 100_000;
/// After so many versions of a key that are not wanted, the next wanted one is looked up instead of walked to.
const WALK_MAX: usize = 8;
/// How many keys of a level are read ahead, at most.
const AHEAD_MAX: usize = 512;

/// What a key held, and which record wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The record.
    pub seq: u64,
    /// The value.
    pub value: Bytes,
}

/// A write in the history of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The record.
    pub seq: u64,
    /// The branch it was written to: the one asked for, or one below it.
    pub branch: BranchId,
    /// The value; none when the key was deleted.
    pub value: Option<Bytes>,
}

/// A part of a history, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The writes.
    pub revisions: Vec<Revision>,
    /// There are older ones: ask again with `before` = the last one's `seq`.
    pub more: bool,
}

/// A part of a range, smallest key first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys that exist.
    pub entries: Vec<(Key, Version)>,
    /// The range is not at its end: ask again with `after` = this key. A page may have no entries and still go on.
    pub next: Option<Key>,
}

/// What a record left of a key: its number, and the value unless it deleted the key.
pub(super) type Found = (u64, Option<Bytes>);

/// A key with its branch in front: what the keys of its versions in the index begin with.
pub(super) fn placed_key(branch: BranchId, key: &Key) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + key.ordered_bytes());
    put_placed_key(&mut out, branch, key);
    out
}

pub(super) fn put_placed_key(out: &mut Vec<u8>, branch: BranchId, key: &Key) {
    out.extend_from_slice(&branch.0.to_be_bytes());
    key.put_ordered(out);
}

/// The same for the ordered form of a key, or for the beginning of one.
pub(super) fn placed(branch: BranchId, ordered: &[u8]) -> Vec<u8> {
    [&branch.0.to_be_bytes(), ordered].concat()
}

/// The value as the index holds it: a byte that says whether there is one, then the value.
pub(super) fn put_index_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.push(u8::from(value.is_some()));
    out.extend_from_slice(value.unwrap_or_default());
}

pub(super) fn read_value(bytes: &[u8]) -> Result<Option<Bytes>, LedgerError> {
    match bytes {
        [0] => Ok(None),
        [1, value @ ..] => Ok(Some(Bytes::copy_from_slice(value))),
        _ => Err(malformed("a version is neither a value nor a deletion")),
    }
}

impl StateView {
    /// What a key holds as of the records below `at`.
    pub fn get(&self, branch: BranchId, key: &Key, at: u64) -> Result<Option<Version>, LedgerError> {
        self.guarded(branch, at, || self.look_up(branch, key, at))
    }

    /// The writes of a key by records below `before`, newest first, those of the branches below it included. What only
    /// reads below the horizon would show is left out.
    pub fn history(&self, branch: BranchId, key: &Key, before: u64, limit: usize) -> Result<History, LedgerError> {
        let limit = limit.clamp(1, PAGE_ENTRIES_MAX);
        self.guarded(branch, before, || self.history_of(branch, key, before, limit))
    }

    /// The keys of a range that exist as of the records below `at`, in order, from the one after `after` on; at most
    /// `limit` and [`PAGE_ENTRIES_MAX`].
    pub fn scan(
        &self,
        branch: BranchId,
        range: &KeyRange,
        at: u64,
        limit: usize,
        after: Option<&Key>,
    ) -> Result<Page, LedgerError> {
        self.guarded(branch, at, || self.scan_page(branch, range, at, limit, after))
    }

    /// Runs a read whose records may go away meanwhile, and finds out afterwards whether they did.
    pub(super) fn guarded<T>(
        &self,
        branch: BranchId,
        at: u64,
        read: impl FnOnce() -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let result = read()?;
        let definitions = self.definitions.read();
        if at < definitions.horizon {
            return Err(LedgerError::BelowHorizon {
                seq: at,
                horizon: definitions.horizon,
            });
        }
        if branch != BranchId::MAIN {
            definitions.readable(branch, at, self.recent.visible())?;
        }
        Ok(result)
    }

    /// As `get`, without asking whether it may.
    pub(super) fn look_up(&self, branch: BranchId, key: &Key, at: u64) -> Result<Option<Version>, LedgerError> {
        if branch == BranchId::MAIN {
            return Ok(version(find(&self.index, Level { branch, at }, key)?));
        }
        let levels = self.definitions.read().levels(branch, at)?;
        self.look_up_in(&levels, key)
    }

    /// The first level that has the key decides.
    pub(super) fn look_up_in(&self, levels: &[Level], key: &Key) -> Result<Option<Version>, LedgerError> {
        for level in levels {
            if let Some(found) = find(&self.index, *level, key)? {
                return Ok(version(Some(found)));
            }
        }
        Ok(None)
    }

    fn history_of(&self, branch: BranchId, key: &Key, before: u64, limit: usize) -> Result<History, LedgerError> {
        let (levels, horizon) = {
            let definitions = self.definitions.read();
            (definitions.levels(branch, before)?, definitions.horizon)
        };
        let mut history = History::default();
        let mut bytes = 0;
        let mut failure = None;
        for level in levels.into_iter().filter(|level| level.at > 0) {
            let mut done = false;
            let placed = placed_key(level.branch, key);
            let (from, end) = (version_key(&placed, level.at - 1), behind_versions(&placed));
            self.index.visit(Table::State, &from, &end, |version, value| {
                let (_, seq) = split_version(version);
                let value = match read_value(value) {
                    Ok(value) => value,
                    Err(error) => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                };
                // The oldest one that a read at the horizon shows; a deletion there looks as if nothing had been.
                done = seq < horizon;
                if done && value.is_none() {
                    return ControlFlow::Break(());
                }
                if history.revisions.len() >= limit || bytes >= PAGE_BYTES_MAX {
                    history.more = true;
                    done = true;
                    return ControlFlow::Break(());
                }
                bytes += value.as_ref().map_or(0, Bytes::len);
                history.revisions.push(Revision {
                    seq,
                    branch: level.branch,
                    value,
                });
                if done {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            if done || failure.is_some() {
                break;
            }
        }
        failure.map_or(Ok(history), Err)
    }

    /// As `scan`, without asking whether it may.
    pub(super) fn scan_page(
        &self,
        branch: BranchId,
        range: &KeyRange,
        at: u64,
        limit: usize,
        after: Option<&Key>,
    ) -> Result<Page, LedgerError> {
        let limit = limit.clamp(1, PAGE_ENTRIES_MAX);
        let levels = self.definitions.read().levels(branch, at)?;
        let range = after.map_or_else(|| range.clone(), |after| range.clone().behind(after));
        let mut merged = Merged::new(&self.index, &levels, &range, limit);
        let mut page = Page::default();
        let mut bytes = 0;
        let mut skipped = 0;
        let mut last = None;
        while let Some((ordered, found)) = merged.next()? {
            if page.entries.len() >= limit || bytes >= PAGE_BYTES_MAX || skipped >= PAGE_SKIPPED_MAX {
                page.next = last;
                break;
            }
            let key = Key::from_ordered(&ordered)?;
            last = Some(key.clone());
            match version(Some(found)) {
                None => skipped += 1,
                Some(version) => {
                    bytes += version.value.len();
                    page.entries.push((key, version));
                }
            }
        }
        Ok(page)
    }
}

pub(super) fn version(found: Option<Found>) -> Option<Version> {
    let (seq, value) = found?;
    value.map(|value| Version { seq, value })
}

/// The newest write of a key in one level.
pub(super) fn find(index: &Index, level: Level, key: &Key) -> Result<Option<Found>, LedgerError> {
    let placed = placed_key(level.branch, key);
    let found = index.newest(&placed, level.at, |seq, value| {
        read_value(value).map(|value| (seq, value))
    })?;
    found.transpose()
}

/// The newest write of each key in one level, read some keys ahead.
pub(super) struct Newest<'a> {
    index: &'a Index,
    level: Level,
    /// Where to go on in the index; none at the end.
    from: Option<Vec<u8>>,
    end: Vec<u8>,
    ahead: VecDeque<(Vec<u8>, Found)>,
    ahead_max: usize,
}

impl<'a> Newest<'a> {
    pub(super) fn new(index: &'a Index, level: Level, range: &KeyRange, limit: usize) -> Self {
        Self {
            index,
            level,
            from: (level.at > 0).then(|| placed(level.branch, &range.from)),
            end: placed(level.branch, &range.end),
            ahead: VecDeque::new(),
            ahead_max: limit.clamp(1, AHEAD_MAX),
        }
    }

    pub(super) fn peek(&mut self) -> Result<Option<&(Vec<u8>, Found)>, LedgerError> {
        while self.ahead.is_empty() && self.from.is_some() {
            self.walk()?;
        }
        Ok(self.ahead.front())
    }

    pub(super) fn next(&mut self) -> Result<Option<(Vec<u8>, Found)>, LedgerError> {
        self.peek()?;
        Ok(self.ahead.pop_front())
    }

    /// Walks through the index until enough is read ahead, or until looking up is faster than walking.
    fn walk(&mut self) -> Result<(), LedgerError> {
        let Some(from) = self.from.take() else {
            return Ok(());
        };
        let (at, ahead, ahead_max) = (self.level.at, &mut self.ahead, self.ahead_max);
        let mut current: Vec<u8> = Vec::new();
        let mut current_found = false;
        let mut walked = 0;
        let mut go_on = None;
        let mut failure = None;
        self.index.visit(Table::State, &from, &self.end, |version, value| {
            let mut step = || -> Result<ControlFlow<()>, LedgerError> {
                let (placed, seq) = split_version(version);
                if current != placed {
                    if ahead.len() >= ahead_max {
                        go_on = Some(version.to_vec());
                        return Ok(ControlFlow::Break(()));
                    }
                    current.clear();
                    current.extend_from_slice(placed);
                    current_found = false;
                    walked = 0;
                }
                if !current_found && seq < at {
                    let ordered = placed.get(4..).unwrap_or_default().to_vec();
                    ahead.push_back((ordered, (seq, read_value(value)?)));
                    current_found = true;
                    walked = 0;
                    return Ok(ControlFlow::Continue(()));
                }
                walked += 1;
                if walked <= WALK_MAX {
                    return Ok(ControlFlow::Continue(()));
                }
                go_on = Some(match at.checked_sub(1) {
                    Some(newest) if !current_found => version_key(placed, newest),
                    _ => behind_versions(placed),
                });
                Ok(ControlFlow::Break(()))
            };
            step().unwrap_or_else(|error| {
                failure = Some(error);
                ControlFlow::Break(())
            })
        })?;
        self.from = go_on;
        failure.map_or(Ok(()), Err)
    }
}

/// The newest write of each key in a branch: the first level that has the key decides.
pub(super) struct Merged<'a> {
    levels: Vec<Newest<'a>>,
}

impl<'a> Merged<'a> {
    pub(super) fn new(index: &'a Index, levels: &[Level], range: &KeyRange, limit: usize) -> Self {
        let newest = |level: &Level| Newest::new(index, *level, range, limit);
        Self {
            levels: levels.iter().map(newest).collect(),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<(Vec<u8>, Found)>, LedgerError> {
        let mut smallest: Option<Vec<u8>> = None;
        for level in &mut self.levels {
            if let Some((key, _)) = level.peek()?
                && smallest.as_ref().is_none_or(|known| key < known)
            {
                smallest = Some(key.clone());
            }
        }
        let Some(smallest) = smallest else {
            return Ok(None);
        };
        let mut decides = None;
        for level in &mut self.levels {
            if level.peek()?.is_some_and(|(key, _)| *key == smallest) {
                let found = level.next()?;
                decides = decides.or(found);
            }
        }
        Ok(decides)
    }
}
