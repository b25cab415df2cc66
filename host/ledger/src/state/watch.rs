//! Watching a range of keys: each change in the order of the log, from any record on, none left out.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::key::{Key, KeyRange, Write};
use super::{BranchId, StateView};
use crate::{LedgerError, Parts};

/// How many watchers there are at most.
pub const WATCHERS_MAX: usize = 1024;
/// How many records with changes wait for a watcher, before it is told that it is too slow.
const WAITING_MAX: usize = 1024;
/// How many records a watcher that is behind reads from the log at a time.
const RECORDS_AT_ONCE: u64 = 256;

/// A write that a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The record.
    pub seq: u64,
    /// What was written.
    pub write: Write,
}

impl StateChange {
    /// The key.
    pub const fn key(&self) -> &Key {
        &self.write.key
    }

    /// The value it holds from then on; none when it was deleted.
    pub const fn value(&self) -> Option<&Bytes> {
        self.write.value.as_ref()
    }
}

/// Reads a record that is visible from the log.
pub(crate) type ReadRecord = Arc<dyn Fn(u64) -> Result<Parts, LedgerError> + Send + Sync>;

/// What is watched.
#[derive(Clone, Debug)]
struct Interest {
    branch: BranchId,
    range: KeyRange,
}

impl Interest {
    fn select(&self, seq: u64, writes: &[Write]) -> Vec<StateChange> {
        let wanted = |write: &&Write| write.branch == self.branch && self.range.contains(&write.key.ordered());
        let change = |write: &Write| StateChange {
            seq,
            write: write.clone(),
        };
        writes.iter().filter(wanted).map(change).collect()
    }
}

type Batch = (u64, Vec<StateChange>);

pub(super) struct Watchers {
    inner: Mutex<Inner>,
    visible: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    /// The number of the next record to be staged.
    next: u64,
    watchers: Vec<(Interest, mpsc::Sender<Batch>)>,
    /// Staged while somebody watched, not visible yet.
    staged: VecDeque<(u64, Vec<Write>)>,
}

impl Watchers {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::default(),
            visible: watch::Sender::new(0),
        }
    }

    pub(super) fn stage(&self, seq: u64, writes: &[Write]) {
        let mut inner = self.inner.lock();
        inner.next = seq + 1;
        if !inner.watchers.is_empty() && !writes.is_empty() {
            inner.staged.push_back((seq, writes.to_vec()));
        }
    }

    /// Tells what the records below `visible` changed.
    pub(super) fn advance(&self, visible: u64) {
        let mut inner = self.inner.lock();
        inner.next = inner.next.max(visible);
        while let Some((seq, writes)) = inner.staged.pop_front_if(|(seq, _)| *seq < visible) {
            inner.watchers.retain(|(interest, sender)| {
                let changes = interest.select(seq, &writes);
                // A watcher that is full loses its sender, and finds that out after what it was sent.
                changes.is_empty() || sender.try_send((seq, changes)).is_ok()
            });
        }
        drop(inner);
        self.visible.send_if_modified(|known| {
            let later = visible > *known;
            *known = visible.max(*known);
            later
        });
    }

    /// Takes a watcher. Returns also from which record on it is told.
    fn register(&self, interest: &Interest) -> Result<(mpsc::Receiver<Batch>, u64), LedgerError> {
        let mut inner = self.inner.lock();
        inner.watchers.retain(|(_, sender)| !sender.is_closed());
        if inner.watchers.len() >= WATCHERS_MAX {
            return Err(LedgerError::TooManyWatchers {
                watchers_max: WATCHERS_MAX,
            });
        }
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        inner.watchers.push((interest.clone(), sender));
        Ok((receiver, inner.next))
    }
}

/// A stream of changes. See [`Watch::next`].
pub struct Watch {
    state: Arc<StateView>,
    interest: Interest,
    read: ReadRecord,
    visible: watch::Receiver<u64>,
    /// The changes of all records below this number were handed out, or are in `ready`.
    next: u64,
    ready: VecDeque<StateChange>,
    /// Once it has caught up: what it is told, and from which record on.
    live: Option<(mpsc::Receiver<Batch>, u64)>,
}

impl StateView {
    /// Watches a range of a branch from the record `from` on. `read` gives the records before now.
    pub(crate) fn watch(
        self: &Arc<Self>,
        branch: BranchId,
        range: KeyRange,
        from: u64,
        read: ReadRecord,
    ) -> Result<Watch, LedgerError> {
        let visible = self.watchers.visible.subscribe();
        let now = *visible.borrow();
        self.definitions.read().at(branch, now)?;
        Ok(Watch {
            state: Arc::clone(self),
            interest: Interest { branch, range },
            read,
            visible,
            next: from,
            ready: VecDeque::new(),
            live: None,
        })
    }
}

impl Watch {
    /// Waits for the next change. Fails with `WatchLagged` once when more changes came than it took; asked again it
    /// goes on with the next one, none is lost. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<StateChange, LedgerError> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            let Some((receiver, told_from)) = &mut self.live else {
                let visible = *self.visible.borrow_and_update();
                if self.next < visible {
                    self.read_log(visible).await?;
                } else {
                    self.live = Some(self.state.watchers.register(&self.interest)?);
                }
                continue;
            };
            if self.next < *told_from {
                // Staged before it registered: these are in the log as soon as they are visible.
                let visible = *self.visible.borrow_and_update();
                if self.next < visible {
                    let end = visible.min(*told_from);
                    self.read_log(end).await?;
                } else if self.visible.changed().await.is_err() {
                    return Err(LedgerError::Closed {});
                }
                continue;
            }
            match receiver.recv().await {
                Some((seq, changes)) if seq >= self.next => {
                    self.ready = changes.into();
                    self.next = seq + 1;
                }
                Some(_) => {}
                None => {
                    self.live = None;
                    return Err(LedgerError::WatchLagged { seq: self.next });
                }
            }
        }
    }

    /// Leaves out the changes up to now: from here on it is told those of the records from `visible` on.
    pub fn skip_to_now(&mut self) {
        let visible = *self.visible.borrow_and_update();
        self.ready.clear();
        self.next = self.next.max(visible);
    }

    /// Reads some records below `end` from the log.
    async fn read_log(&mut self, end: u64) -> Result<(), LedgerError> {
        let records = self.next..end.min(self.next.saturating_add(RECORDS_AT_ONCE));
        let next = records.end;
        let (read, interest) = (Arc::clone(&self.read), self.interest.clone());
        let changes = tokio::task::spawn_blocking(move || {
            let mut changes = VecDeque::new();
            for seq in records {
                changes.extend(interest.select(seq, &read(seq)?.writes));
            }
            Ok(changes)
        });
        let changes: Result<_, LedgerError> = changes.await.map_err(|error| LedgerError::Io {
            what: "read the log for a watcher".into(),
            why: error.to_string(),
        })?;
        self.ready = changes?;
        self.next = next;
        Ok(())
    }
}
