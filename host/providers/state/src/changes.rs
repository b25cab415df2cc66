//! What changed, as a capsule is told: a look at the log beside the call's transaction, waited for only before that begins.
//!
//! A call without a snapshot sees what is visible, and its snapshot, taken later, holds all of that; a call with one sees
//! what lies below it. So nothing it is told is newer than what it reads.

use std::time::Duration;

use kinetic_engine::{CallState, TapedBytes as Value};
use kinetic_ledger::state::{KeyRange, StateChange};
use kinetic_ledger::{ChangesAsk, ChangesPage, Effects, Ledger};
use tokio::time::Instant;

use crate::answers::{Failure, TapedChanges};
use crate::bindings::kinetic::state::store::{self, ChangesPage as Given, Error};
use crate::host::{LIMIT_MAX, failed, readable, shown, text};
use crate::{INTERFACE, PerCall};

/// The longest wait of one look.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// What the changes of a page take, about, in bytes; those of one record are given whatever they take.
const PAGE_BYTES_MAX: u64 = 8 << 20;
/// What a guest asks.
pub(crate) struct Ask {
    pub(crate) owner: store::Owner,
    pub(crate) prefix: String,
    pub(crate) from: u64,
    pub(crate) limit: u32,
    pub(crate) wait_ms: u32,
}

/// Answers from the tape, or looks and records what it saw.
pub(crate) async fn turn(call: &mut CallState, ask: Ask) -> wasmtime::Result<Result<Given, Error>> {
    let request = (shown(&ask.owner), &ask.prefix, ask.from, ask.limit, ask.wait_ms);
    let answer = match call.replayed::<Result<TapedChanges, Failure>>(INTERFACE, "changes", &request)? {
        Some(answer) => answer,
        None => {
            let answer = match look(call, &ask) {
                Ok((ledger, ask)) => ledger.changes(ask).await.map_err(failed),
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
    Ok(answer.map(Given::from).map_err(Error::from))
}

/// What is to be looked for, within what this call may see and how long it may wait.
fn look(call: &mut CallState, ask: &Ask) -> Result<(Ledger, ChangesAsk), Failure> {
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
    let wanted = ChangesAsk {
        branch: effects.branch(),
        range: KeyRange::prefix(&owner, ask.prefix.as_bytes()),
        from: ask.from,
        end: effects.snapshot(),
        changes_max: usize::try_from(ask.limit.clamp(1, LIMIT_MAX)).unwrap_or(usize::MAX),
        bytes_max,
        deadline: Instant::now() + wait,
    };
    Ok((effects.ledger().clone(), wanted))
}

impl From<ChangesPage> for TapedChanges {
    fn from(page: ChangesPage) -> Self {
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
