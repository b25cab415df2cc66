//! What a call would change: collected while it runs, committed with its receipt when it returns, else dropped.

use crate::bus::{NewEvent, OffsetCommit};
use crate::state::{BranchId, Transaction};
use crate::{Commit, Control, Ledger, LedgerError};

/// The most events one call publishes.
pub const CALL_EVENTS_MAX: u64 = 65_536;
/// The most they take in memory, in bytes.
pub const CALL_EVENT_BYTES_MAX: u64 = 32 << 20;

/// The effects of one call. The providers of state and events put them into the call, the kernel takes them out.
pub struct Effects {
    ledger: Ledger,
    branch: BranchId,
    transaction: Option<Transaction>,
    control: Option<Control>,
    events: Vec<NewEvent>,
    event_bytes: u64,
    offsets: Vec<OffsetCommit>,
}

impl Effects {
    /// None yet.
    pub const fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            branch: BranchId::MAIN,
            transaction: None,
            control: None,
            events: Vec::new(),
            event_bytes: 0,
            offsets: Vec::new(),
        }
    }

    /// The ledger.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The branch the call works on.
    pub const fn branch(&self) -> BranchId {
        self.branch
    }

    /// The call's transaction; it begins with the first use.
    ///
    /// # Errors
    /// `NoBranch`.
    pub fn transaction(&mut self) -> Result<&mut Transaction, LedgerError> {
        if self.transaction.is_none() {
            self.transaction = Some(self.ledger.begin(self.branch)?);
        }
        self.transaction.as_mut().ok_or(LedgerError::Closed {})
    }

    /// Works on another branch from here on; `false` when something was read or written already.
    pub const fn use_branch(&mut self, branch: BranchId) -> bool {
        let fresh = self.transaction.is_none();
        if fresh {
            self.branch = branch;
        }
        fresh
    }

    /// Changes a definition with the commit; `false` when the call does so already.
    pub fn change(&mut self, control: Control) -> bool {
        let first = self.control.is_none();
        self.control.get_or_insert(control);
        first
    }

    /// The records below this number are what the call saw; none when it did not look.
    pub fn snapshot(&self) -> Option<u64> {
        self.transaction.as_ref().map(Transaction::snapshot)
    }

    /// Publishes with the commit.
    ///
    /// # Errors
    /// `NoTopic`, `InvalidEvent`, `EventTooLarge`, `EventRefused`; `TooMany`, `TransactionTooLarge` for one call.
    pub fn publish(&mut self, events: Vec<NewEvent>) -> Result<(), LedgerError> {
        self.ledger.bus().check_events(&events)?;
        if (self.events.len() + events.len()) as u64 > CALL_EVENTS_MAX {
            return Err(LedgerError::TooMany {
                what: "events published by one call".into(),
                max: CALL_EVENTS_MAX,
            });
        }
        let bytes = self.event_bytes + events.iter().map(NewEvent::weight).sum::<u64>();
        if bytes > CALL_EVENT_BYTES_MAX {
            return Err(LedgerError::EventTooLarge {
                what: "what one call publishes".into(),
                bytes,
                bytes_max: CALL_EVENT_BYTES_MAX,
            });
        }
        self.event_bytes = bytes;
        self.events.extend(events);
        Ok(())
    }

    /// Consumes with the commit: a later position of the same group in the same partition takes the place of an earlier.
    pub fn consume(&mut self, offsets: Vec<OffsetCommit>) {
        for offset in offsets {
            let place = (offset.topic, offset.partition);
            let known = self
                .offsets
                .iter_mut()
                .find(|known| (known.topic, known.partition) == place && known.group == offset.group);
            match known {
                Some(known) if known.next < offset.next || known.epoch < offset.epoch => *known = offset,
                Some(_) => {}
                None => self.offsets.push(offset),
            }
        }
    }

    /// Adds the effects to the commit of the call, and gives the events that no commit can hold: those for topics in
    /// memory, to be published when it is acknowledged.
    ///
    /// # Errors
    /// `Conflict` when somebody wrote meanwhile what the call read.
    pub fn into_commit(self, commit: &mut Commit) -> Result<Vec<NewEvent>, LedgerError> {
        if let Some(transaction) = self.transaction {
            (commit.reads, commit.writes) = transaction.into_commit_parts()?;
        }
        commit.controls.extend(self.control);
        commit.offsets = self.offsets;
        let memory;
        (memory, commit.events) = self.ledger.bus().by_store(self.events)?;
        Ok(memory)
    }
}

impl std::fmt::Debug for Effects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effects")
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}
