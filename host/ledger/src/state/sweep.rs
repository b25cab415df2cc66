//! Removes what nobody can ask for any more: branches that were discarded, versions below the horizon.

use std::ops::ControlFlow;

use super::branch::Definitions;
use super::read::placed;
use super::{BranchId, StateView};
use crate::LedgerError;
use crate::index::{Staged, Table, split_version};

/// What is being removed.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    task: Option<Task>,
    /// Versions were removed up to this horizon.
    horizon: u64,
}

#[derive(Debug)]
struct Task {
    kind: Kind,
    /// Where it goes on in the index.
    from: Vec<u8>,
}

#[derive(Debug)]
enum Kind {
    Branch(BranchId),
    Versions { horizon: u64, key: KeptOfKey },
}

/// Which versions of the key at hand are kept.
#[derive(Debug, Default)]
struct KeptOfKey {
    placed: Vec<u8>,
    /// Largest first: reads as of these numbers show what they showed.
    reads: Vec<u64>,
    /// On the main branch nothing lies below a deletion, so the oldest ones kept can go as well.
    on_main: bool,
    oldest_deletions: Vec<Vec<u8>>,
}

impl StateView {
    /// Looks at up to `budget` versions and removes those that are not needed. Returns whether there is more to do.
    /// For a background task: each call is short, and costs nothing when there is nothing to do.
    pub fn sweep(&self, budget: usize) -> Result<bool, LedgerError> {
        let Some(mut sweeper) = self.sweeper.try_lock() else {
            return Ok(true);
        };
        let Some(task) = sweeper.task.take().or_else(|| self.next_task(sweeper.horizon)) else {
            return Ok(false);
        };
        let unfinished = match task.kind {
            Kind::Branch(id) => self.sweep_branch(id, &task.from, budget)?,
            Kind::Versions { horizon, key } => {
                let unfinished = self.sweep_versions(horizon, key, &task.from, budget)?;
                if unfinished.is_none() {
                    sweeper.horizon = horizon;
                }
                unfinished
            }
        };
        sweeper.task = unfinished;
        Ok(sweeper.task.is_some() || self.has_task(sweeper.horizon))
    }

    fn next_task(&self, done: u64) -> Option<Task> {
        let needed = self.recent.needed();
        let mut definitions = self.definitions.write();
        if let Some(id) = definitions.take_discarded(needed) {
            let from = placed(id, &[]);
            return Some(Task {
                kind: Kind::Branch(id),
                from,
            });
        }
        let horizon = definitions.horizon.min(needed);
        (horizon > done).then(|| Task {
            kind: Kind::Versions {
                horizon,
                key: KeptOfKey::default(),
            },
            from: Vec::new(),
        })
    }

    fn has_task(&self, done: u64) -> bool {
        let needed = self.recent.needed();
        let definitions = self.definitions.read();
        definitions.has_discarded(needed) || definitions.horizon.min(needed) > done
    }

    fn sweep_branch(&self, id: BranchId, from: &[u8], budget: usize) -> Result<Option<Task>, LedgerError> {
        let end = placed(id, &[255]);
        let found = self.index.range(Table::State, from, &end, budget)?;
        let more = found.len() >= budget;
        let last = found.last().map(|(key, _)| key.clone());
        self.index
            .stage_upkeep(found.into_iter().map(|(key, _)| (Table::State, key, None)));
        if more {
            return Ok(last.map(|from| Task {
                kind: Kind::Branch(id),
                from,
            }));
        }
        self.index.stage_upkeep([Definitions::forget(id)]);
        Ok(None)
    }

    fn sweep_versions(
        &self,
        horizon: u64,
        mut key: KeptOfKey,
        from: &[u8],
        budget: usize,
    ) -> Result<Option<Task>, LedgerError> {
        let mut removed: Vec<Staged> = Vec::new();
        let mut go_on = None;
        let mut looked_at = 0;
        let end = [255; 5];
        self.index.visit(Table::State, from, &end, |index_key, value| {
            if looked_at >= budget {
                go_on = Some(index_key.to_vec());
                return ControlFlow::Break(());
            }
            looked_at += 1;
            let (placed, seq) = split_version(index_key);
            if key.placed != placed {
                key.finish(&mut removed);
                key.start(placed, self.reads_below(placed, horizon));
            }
            if seq < horizon {
                key.look_at(index_key, seq, value == [0], &mut removed);
            }
            ControlFlow::Continue(())
        })?;
        if go_on.is_none() {
            key.finish(&mut removed);
        }
        self.index.stage_upkeep(removed);
        Ok(go_on.map(|from| Task {
            kind: Kind::Versions { horizon, key },
            from,
        }))
    }

    /// As of which numbers, not above the horizon, a key's branch can be read.
    fn reads_below(&self, placed: &[u8], horizon: u64) -> Vec<u64> {
        let branch = placed
            .first_chunk::<4>()
            .map_or(BranchId::MAIN, |id| BranchId(u32::from_be_bytes(*id)));
        let mut reads = self.definitions.read().bases_on(branch);
        reads.retain(|base| *base < horizon);
        reads.push(horizon);
        reads.sort_unstable_by(|a, b| b.cmp(a));
        reads
    }
}

impl KeptOfKey {
    fn start(&mut self, placed: &[u8], reads: Vec<u64>) {
        self.placed.clear();
        self.placed.extend_from_slice(placed);
        self.on_main = placed.starts_with(&BranchId::MAIN.0.to_be_bytes());
        self.reads = reads;
    }

    /// Looks at the next older version, which is below the horizon.
    fn look_at(&mut self, index_key: &[u8], seq: u64, deletion: bool, removed: &mut Vec<Staged>) {
        let shown_to = self.reads.iter().take_while(|read| **read > seq).count();
        if shown_to == 0 {
            removed.push((Table::State, index_key.to_vec(), None));
            return;
        }
        self.reads.drain(..shown_to);
        if deletion {
            self.oldest_deletions.push(index_key.to_vec());
        } else {
            self.oldest_deletions.clear();
        }
    }

    fn finish(&mut self, removed: &mut Vec<Staged>) {
        let deletions = std::mem::take(&mut self.oldest_deletions);
        if self.on_main {
            removed.extend(deletions.into_iter().map(|key| (Table::State, key, None)));
        }
    }
}
