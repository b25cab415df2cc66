//! Retention: removes the oldest records, as far as nobody needs them, and signs that it did.
//!
//! In this order, so that a crash at any point loses nothing: reads below the new horizon are refused; what the views
//! made of the records (the *base*) is written to a file of its own; the horizon is signed, with the base's digest; only
//! then do segments go.

mod base;
mod horizon;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use self::base::{is_whole, restore};
pub(crate) use self::horizon::Horizon;
use crate::LedgerError;
use crate::bus::BusView;
use crate::index::Index;
use crate::log::{Disk, Log};

/// How long the index may take to have all records that are to be removed.
const INDEXED_WITHIN: Duration = Duration::from_secs(10);

/// Where the horizon could be so that at most about `bytes` of records stay: the first record of a segment, not above
/// what was signed, what the index has or what a group of consumers has still to read. None when nothing is to go.
pub(crate) fn target(log: &Log, bus: &BusView, bytes: u64) -> Result<Option<u64>, LedgerError> {
    let signed = log.shared.tree.lock().last.as_ref().map_or(0, |last| last.size);
    let pinned = bus.pinned()?.unwrap_or(u64::MAX);
    Ok(log.first_kept(bytes, signed.min(pinned)))
}

/// Removes the records below `first`, which [`target`] gave and which views refuse to show already.
pub(crate) fn remove(disk: &dyn Disk, ledger: &Path, log: &Log, index: &Index, first: u64) -> Result<(), LedgerError> {
    let until = Instant::now() + INDEXED_WITHIN;
    while index.applied() < first {
        if Instant::now() > until {
            return Err(LedgerError::Index {
                what: "catch up with the log before records are removed".into(),
                why: format!("it has those below {} only", index.applied()),
            });
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let (applied, base) = base::write(disk, ledger, first, index)?;
    let (chain, root) = log.before(first)?;
    let horizon = Horizon {
        first,
        chain,
        root,
        applied,
        base,
    };
    horizon.save(disk, ledger, &log.shared.tree.lock().signer)?;
    log.remove_below(first)?;
    horizon.remove_others(disk, ledger)
}
