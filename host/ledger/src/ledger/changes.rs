//! Changes of the state page by page, out of the log, waited for when there are none.

use tokio::time::{Instant, timeout_at};

use super::Ledger;
use crate::LedgerError;
use crate::state::{BranchId, KeyRange, StateChange};

/// What a change takes besides its key and its value, in bytes.
const CHANGE_BYTES: u64 = 64;
/// Records read from the log at a time: a record may be large.
const RECORDS_AT_ONCE: u64 = 32;
/// Records a page looks through before it looks at the clock.
const RECORDS_MAX: u64 = 16_384;

/// Which changes are wanted, and for how long.
#[derive(Clone, Debug)]
pub struct ChangesAsk {
    /// Of this branch.
    pub branch: BranchId,
    /// Of these keys.
    pub range: KeyRange,
    /// From this record on.
    pub from: u64,
    /// Of records below this number only, which is not waited for; none means all that are visible.
    pub end: Option<u64>,
    /// A page is full with so many changes...
    pub changes_max: usize,
    /// ...or when they take so many bytes. Those of one record stay together, however many they are.
    pub bytes_max: u64,
    /// Until when a page waits for its first change.
    pub deadline: Instant,
}

/// Changes of whole records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesPage {
    /// In the order of the log.
    pub changes: Vec<StateChange>,
    /// What they take, in bytes, about.
    pub bytes: u64,
    /// The record that the next page begins with.
    pub next: u64,
}

impl Ledger {
    /// The changes that there are; when there are none, those that come until the deadline. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// `NotYet` for a beginning in the future, `BelowHorizon`, `NoBranch`; `Damaged`, `Closed`.
    pub async fn changes(&self, mut ask: ChangesAsk) -> Result<ChangesPage, LedgerError> {
        let (seq, visible, horizon) = (ask.from, self.visible(), self.horizon());
        if seq > visible {
            return Err(LedgerError::NotYet { seq, next: visible });
        }
        if seq < horizon {
            return Err(LedgerError::BelowHorizon { seq, horizon });
        }
        loop {
            let end = ask.end.unwrap_or_else(|| self.visible());
            let (ledger, wanted) = (self.clone(), ask.clone());
            // Reads the disk, and dropping the future must not wait for that.
            let read = tokio::task::spawn_blocking(move || ledger.changes_below(&wanted, end));
            let page = read.await.map_err(|_| LedgerError::Closed {})??;
            ask.from = page.next;
            if !page.changes.is_empty() || Instant::now() >= ask.deadline {
                return Ok(page);
            }
            if ask.from < end {
                continue;
            }
            if ask.end.is_some() {
                return Ok(page);
            }
            // What is watched comes in order and none is left out: the records before it change nothing wanted.
            let mut watch = self.watch(ask.branch, ask.range.clone(), ask.from)?;
            match timeout_at(ask.deadline, watch.next()).await {
                Err(_) => return Ok(page),
                Ok(Ok(change)) => ask.from = change.seq,
                Ok(Err(LedgerError::WatchLagged { seq })) => ask.from = seq,
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// A page of the records below `end`.
    fn changes_below(&self, ask: &ChangesAsk, end: u64) -> Result<ChangesPage, LedgerError> {
        let mut page = ChangesPage {
            next: ask.from,
            ..ChangesPage::default()
        };
        let end = end.min(ask.from.saturating_add(RECORDS_MAX));
        while page.next < end {
            let count = usize::try_from((end - page.next).min(RECORDS_AT_ONCE)).unwrap_or(1);
            for record in self.read(page.next, count)? {
                let writes = record.parts()?.writes.into_iter();
                for write in writes.filter(|write| write.branch == ask.branch && ask.range.has(&write.key)) {
                    let value = write.value.as_deref().map_or(0, <[u8]>::len);
                    page.bytes += (write.key.key.len() + value) as u64 + CHANGE_BYTES;
                    page.changes.push(StateChange { seq: record.seq, write });
                }
                page.next = record.seq + 1;
                if page.changes.len() >= ask.changes_max || page.bytes >= ask.bytes_max {
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }
}
