//! What a call would change: collected while it runs, committed with its receipt when it returns, else dropped.

use crate::state::{BranchId, Transaction};
use crate::{Commit, Control, Ledger, LedgerError};

/// The effects of one call. The provider of the state puts them into the call, the kernel takes them out.
pub struct Effects {
    ledger: Ledger,
    branch: BranchId,
    transaction: Option<Transaction>,
    control: Option<Control>,
}

impl Effects {
    /// None yet.
    pub const fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            branch: BranchId::MAIN,
            transaction: None,
            control: None,
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

    /// Adds the effects to the commit of the call.
    ///
    /// # Errors
    /// `Conflict` when somebody wrote meanwhile what the call read.
    pub fn into_commit(self, commit: &mut Commit) -> Result<(), LedgerError> {
        if let Some(transaction) = self.transaction {
            (commit.reads, commit.writes) = transaction.into_commit_parts()?;
        }
        commit.controls.extend(self.control);
        Ok(())
    }
}

impl std::fmt::Debug for Effects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Effects").field("snapshot", &self.snapshot()).finish_non_exhaustive()
    }
}
