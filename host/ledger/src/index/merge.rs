//! Reads the layers of the index as one map: the newest layer that knows a key decides it.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use super::sorted::Entries;
use super::store::Walk;
use crate::LedgerError;

/// An entry as a generation holds it; `None` deletes.
pub(super) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// Shows the entries of three layers, newest layer first in the arguments, in key order.
pub(super) fn visit(
    active: &[Entry],
    frozen: Entries<'_>,
    mut stored: Walk<'_>,
    visitor: &mut impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, LedgerError> {
    let active = active.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
    let mut active = active.peekable();
    let mut frozen = frozen.peekable();
    loop {
        let memory = match (active.peek(), frozen.peek()) {
            (Some(newer), Some(older)) => match newer.0.cmp(older.0) {
                Ordering::Greater => frozen.next(),
                Ordering::Less => active.next(),
                Ordering::Equal => {
                    frozen.next();
                    active.next()
                }
            },
            (Some(_), None) => active.next(),
            (None, _) => frozen.next(),
        };
        // The store's entries before the one in memory come first.
        while let Some((key, value)) = stored.current() {
            let order = memory.map_or(Ordering::Less, |(known, _)| key.cmp(known));
            if order == Ordering::Greater {
                break;
            }
            if order == Ordering::Less && visitor(key, value).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            stored.advance()?;
            if order == Ordering::Equal {
                break;
            }
        }
        let Some((key, value)) = memory else {
            return Ok(ControlFlow::Continue(()));
        };
        if let Some(value) = value
            && visitor(key, value).is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
}
