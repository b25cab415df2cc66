//! Reading: what the newest layer says that knows a key, the generations in memory first, the store behind them.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::generation::Table;
use super::merge::{self, Entry};
use super::version::{behind_versions, version_key, version_seq};
use super::{Index, Pair};
use crate::LedgerError;

/// How many entries of the active generation are copied at a time while going through a range: few for those who stop
/// soon, many for those who do not.
const COPIED_ENTRIES: std::ops::RangeInclusive<usize> = 16..=1024;

impl Index {
    /// The value of a key.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        let layers = self.shared.layers.read();
        for generation in layers.generations() {
            if let Some(value) = generation.map(table).get(key) {
                return Ok(value.map(<[u8]>::to_vec));
            }
        }
        let store = layers.store()?;
        drop(layers);
        store.get(table, key)
    }

    /// The entry with the smallest key in `from <= key < end`.
    pub(crate) fn first(&self, table: Table, from: &[u8], end: &[u8]) -> Result<Option<Pair>, LedgerError> {
        let mut found = None;
        self.visit(table, from, end, |key, value| {
            found = Some((key.to_vec(), value.to_vec()));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Shows the newest version of a key by a record below `below`: the record's number and the value. `placed` is the
    /// beginning of the keys of its versions, which no other key's begin with; the rest is the inverted number.
    pub(crate) fn newest<R>(
        &self,
        placed: &[u8],
        below: u64,
        read: impl FnOnce(u64, &[u8]) -> R,
    ) -> Result<Option<R>, LedgerError> {
        let table = Table::State;
        let Some(newest) = below.checked_sub(1) else {
            return Ok(None);
        };
        let (from, end) = (version_key(placed, newest), behind_versions(placed));
        let (store, turn) = {
            let layers = self.shared.layers.read();
            // A later generation has later records, so it has the newer versions.
            let mut deleted = false;
            for generation in layers.generations() {
                match generation.range(table, &from, &end).next() {
                    None => {}
                    Some((key, Some(value))) => return Ok(Some(read(version_seq(key), value))),
                    Some((_, None)) => {
                        deleted = true;
                        break;
                    }
                }
            }
            if deleted {
                drop(layers);
                let found = self.first(table, &from, &end)?;
                return Ok(found.map(|(key, value)| read(version_seq(&key), &value)));
            }
            (layers.store()?, self.shared.cache.turn())
        };
        let known = if let Some(known) = self.shared.cache.get(placed) {
            known
        } else {
            let found = store.first(table, &version_key(placed, u64::MAX), &end)?;
            let found = found.map(|(key, value)| (version_seq(&key), Arc::from(&*value)));
            self.shared.cache.keep(turn, placed, found.clone());
            found
        };
        match known {
            None => Ok(None),
            Some((seq, value)) if seq < below => Ok(Some(read(seq, &value))),
            Some(_) => {
                let found = store.first(table, &from, &end)?;
                Ok(found.map(|(key, value)| read(version_seq(&key), &value)))
            }
        }
    }

    /// The entry with the largest key in `from <= key < end`.
    pub(crate) fn last(&self, table: Table, from: &[u8], end: &[u8]) -> Result<Option<Pair>, LedgerError> {
        let mut end = end.to_vec();
        loop {
            let layers = self.shared.layers.read();
            let mut best: Option<(&[u8], Option<&[u8]>)> = None;
            for generation in layers.generations() {
                let found = generation.range(table, from, &end).next_back();
                let larger = found.filter(|(key, _)| best.is_none_or(|(known, _)| *key > known));
                best = larger.or(best);
            }
            let best = best.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
            let store = layers.store()?;
            drop(layers);
            let above = best.as_ref().map_or(from, |(key, _)| key);
            if above >= end.as_slice() {
                return Ok(None);
            }
            let stored = store
                .last(table, above, &end)?
                .map(|(key, value)| (key.to_vec(), value.to_vec()));
            match (best, stored) {
                (None, stored) => return Ok(stored),
                (Some((known, _)), Some(stored)) if stored.0 > known => return Ok(Some(stored)),
                (Some((known, Some(value))), _) => return Ok(Some((known, value))),
                (Some((deleted, None)), _) => end = deleted,
            }
        }
    }

    /// The first entries with `from <= key < end`, smallest key first, at most `limit`.
    pub(crate) fn range(&self, table: Table, from: &[u8], end: &[u8], limit: usize) -> Result<Vec<Pair>, LedgerError> {
        let mut found = Vec::new();
        if limit > 0 {
            self.visit(table, from, end, |key, value| {
                found.push((key.to_vec(), value.to_vec()));
                if found.len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
        }
        Ok(found)
    }

    /// Shows the entries with `from <= key < end`, smallest key first, until the visitor breaks. Writers go on
    /// meanwhile; what they stage in the range may be seen or not.
    pub(crate) fn visit(
        &self,
        table: Table,
        from: &[u8],
        end: &[u8],
        mut visitor: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let mut from = from.to_vec();
        let mut copied_max = *COPIED_ENTRIES.start();
        while from.as_slice() < end {
            let layers = self.shared.layers.read();
            let active: Vec<Entry> = layers
                .active
                .range(table, &from, end)
                .take(copied_max)
                .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
                .collect();
            let frozen = layers.frozen.clone();
            let store = layers.store()?;
            drop(layers);
            // Beyond the last one copied the active generation may hold more.
            let after = active
                .last()
                .filter(|_| active.len() == copied_max)
                .map(|(key, _)| successor(key));
            let upto = after.as_deref().unwrap_or(end);
            let frozen_entries = frozen.as_deref().map(|frozen| frozen.range(table, &from, upto));
            let walk = store.walk(table, &from, upto)?;
            if merge::visit(&active, frozen_entries.unwrap_or_default(), walk, &mut visitor)?.is_break() {
                return Ok(());
            }
            let Some(after) = after else { return Ok(()) };
            from = after;
            copied_max = (copied_max * 4).min(*COPIED_ENTRIES.end());
        }
        Ok(())
    }
}

/// The smallest key after this one.
fn successor(key: &[u8]) -> Vec<u8> {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after
}
