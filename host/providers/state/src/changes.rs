//! What changed, as a capsule is told: a look at the log beside the call's transaction, waited for only before that begins.
//!
//! A call without a snapshot sees what is visible, and its snapshot, taken later, holds all of that; a call with one sees
//! what lies below it. So nothing it is told is newer than what it reads.

use std::time::{Duration, Instant};

use kinetic_engine::{CallState, TapedBytes as Value};
use kinetic_ledger::state::{BranchId, KeyRange, Owner, StateChange, Write};
use kinetic_ledger::{Effects, Ledger, LedgerError};
use tokio::time::timeout;

use crate::answers::{Failure, TapedChanges};
use crate::bindings::kinetic::state::store::{self, ChangesPage, Error};
use crate::host::{LIMIT_MAX, failed, readable, shown, text};
use crate::{INTERFACE, PerCall};

/// The longest wait of one look.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// What the changes of a page take, about, in bytes; those of one record are given whatever they take.
const PAGE_BYTES_MAX: u64 = 8 << 20;
/// What a change takes besides its key and its value, in bytes.
const CHANGE_BYTES: u64 = 64;
/// Records read from the log at a time: a record may be large.
const RECORDS_AT_ONCE: u64 = 32;
/// Records that a look goes through before it looks at the clock.
const RECORDS_MAX: u64 = 16_384;

/// What a guest asks.
pub(crate) struct Ask {
    pub(crate) owner: store::Owner,
    pub(crate) prefix: String,
    pub(crate) from: u64,
    pub(crate) limit: u32,
    pub(crate) wait_ms: u32,
}

/// Answers from the tape, or looks and records what it saw.
pub(crate) async fn turn(call: &mut CallState, ask: Ask) -> wasmtime::Result<Result<ChangesPage, Error>> {
    let request = (shown(&ask.owner), &ask.prefix, ask.from, ask.limit, ask.wait_ms);
    let answer = match call.replayed::<Result<TapedChanges, Failure>>(INTERFACE, "changes", &request)? {
        Some(answer) => answer,
        None => {
            let answer = match Look::new(call, &ask) {
                Ok(look) => look.page().await.map_err(failed),
                Err(failure) => Err(failure),
            };
            if let Ok(page) = &answer
                && !call.tape().is_on()
            {
                // With a tape, what is on it is counted.
                call.host_bytes()
                    .spend(usize::try_from(page.bytes).unwrap_or(usize::MAX))?;
            }
            let answer = answer.map(TapedChanges::from);
            call.taped(&answer)?;
            answer
        }
    };
    Ok(answer.map(ChangesPage::from).map_err(Error::from))
}

/// A look at the log.
struct Look {
    ledger: Ledger,
    branch: BranchId,
    owner: Owner,
    prefix: Vec<u8>,
    from: u64,
    /// The call's snapshot: what is not below it is not shown, and not waited for.
    snapshot: Option<u64>,
    limit: usize,
    bytes_max: u64,
    deadline: Instant,
}

impl Look {
    fn new(call: &mut CallState, ask: &Ask) -> Result<Self, Failure> {
        let wall = Duration::from_millis(call.limits().wall_time_ms);
        // On a tape bytes take more than they do here.
        let bytes_max = PAGE_BYTES_MAX.min(call.host_bytes().left() / 2);
        let own = call.extension::<PerCall>().0.ok_or_else(Failure::no_ledger)?;
        let (access, begun) = (own.access.clone(), own.begun);
        let owner = readable(&access, &ask.owner)?;
        let effects = call.extension::<Effects>().0.ok_or_else(Failure::no_ledger)?;
        // Half of it stays for doing something with what comes.
        let left = wall.saturating_sub(begun.elapsed()) / 2;
        let wait = Duration::from_millis(ask.wait_ms.into()).min(WAIT_MAX).min(left);
        Ok(Self {
            ledger: effects.ledger().clone(),
            branch: effects.branch(),
            owner,
            prefix: ask.prefix.as_bytes().to_vec(),
            from: ask.from,
            snapshot: effects.snapshot(),
            limit: usize::try_from(ask.limit.clamp(1, LIMIT_MAX)).unwrap_or(usize::MAX),
            bytes_max,
            deadline: Instant::now() + wait,
        })
    }

    /// What there is; when that is nothing and the call has no snapshot, what comes until the deadline.
    async fn page(mut self) -> Result<Page, LedgerError> {
        let (seq, visible, horizon) = (self.from, self.ledger.visible(), self.ledger.horizon());
        if seq > visible {
            return Err(LedgerError::NotYet { seq, next: visible });
        }
        if seq < horizon {
            return Err(LedgerError::BelowHorizon { seq, horizon });
        }
        loop {
            let end = self.snapshot.unwrap_or_else(|| self.ledger.visible());
            // Reads the disk, and dropping a call must not wait for that.
            let read = tokio::task::spawn_blocking(move || {
                let page = self.read(end);
                (self, page)
            });
            let (look, page) = read.await.map_err(|error| LedgerError::Io {
                what: "read the log for a capsule".into(),
                why: error.to_string(),
            })?;
            let page = page?;
            self = look;
            self.from = page.next;
            let left = self.deadline.saturating_duration_since(Instant::now());
            if !page.changes.is_empty() || left.is_zero() {
                return Ok(page);
            }
            if self.from < end {
                continue;
            }
            if self.snapshot.is_some() {
                return Ok(page);
            }
            // What is watched comes in order and none is left out: the records before it change nothing wanted.
            let range = KeyRange::prefix(&self.owner, &self.prefix);
            let mut watch = self.ledger.watch(self.branch, range, self.from)?;
            match timeout(left, watch.next()).await {
                Err(_) => return Ok(page),
                Ok(Ok(change)) => self.from = change.seq,
                Ok(Err(LedgerError::WatchLagged { seq })) => self.from = seq,
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// Reads records below `end` until a page is full.
    fn read(&self, end: u64) -> Result<Page, LedgerError> {
        let mut page = Page {
            changes: Vec::new(),
            bytes: 0,
            next: self.from,
        };
        let end = end.min(self.from.saturating_add(RECORDS_MAX));
        while page.next < end {
            let count = usize::try_from((end - page.next).min(RECORDS_AT_ONCE)).unwrap_or(1);
            for record in self.ledger.read(page.next, count)? {
                for write in record.parts()?.writes.into_iter().filter(|write| self.wants(write)) {
                    let value = write.value.as_deref().map_or(0, <[u8]>::len);
                    page.bytes += (write.key.key.len() + value) as u64 + CHANGE_BYTES;
                    page.changes.push(StateChange { seq: record.seq, write });
                }
                page.next = record.seq + 1;
                if page.changes.len() >= self.limit || page.bytes >= self.bytes_max {
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    fn wants(&self, write: &Write) -> bool {
        write.branch == self.branch && write.key.owner == self.owner && write.key.key.starts_with(&self.prefix)
    }
}

/// Changes of whole records, and the record behind them.
struct Page {
    changes: Vec<StateChange>,
    bytes: u64,
    next: u64,
}

impl From<Page> for TapedChanges {
    fn from(page: Page) -> Self {
        let change = |change: StateChange| {
            let key = text(change.key())?;
            Some((key, change.value().map(|value| Value(value.to_vec())), change.seq))
        };
        Self {
            changes: page.changes.into_iter().filter_map(change).collect(),
            next: page.next,
        }
    }
}
