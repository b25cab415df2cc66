//! The interface's functions: each checks whose keys are meant, then asks the call's transaction, or the tape.

use std::sync::Arc;

use kinetic_engine::{CallState, TapedBytes as Value};
use kinetic_ledger::state::{Key, KeyRange, Owner, StateView};
use kinetic_ledger::{Effects, LedgerError};
use kinetic_model::Coded as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::answers::{Failure, TapedPage, TapedRevision, TapedVersion};
use crate::bindings::kinetic::state::store::{self, ChangesPage, Error, Host, Page, Revision, Version};
use crate::{Access, INTERFACE, changes};

/// The most entries one page has.
pub(crate) const LIMIT_MAX: u32 = 10_000;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

fn turn<T: Serialize + DeserializeOwned>(
    call: &mut CallState,
    function: &str,
    request: &impl Serialize,
    work: impl FnOnce(&Access, &mut Effects) -> Result<T, Failure>,
) -> Answer<T> {
    crate::turn::turn(call, INTERFACE, function, request, work)
}

pub(crate) fn shown(owner: &store::Owner) -> serde_json::Value {
    match owner {
        store::Owner::Mine => json!("mine"),
        store::Owner::Shared => json!("shared"),
        store::Owner::Other(urn) => json!({ "other": urn }),
    }
}

/// Whose keys may be read.
pub(crate) fn readable(access: &Access, owner: &store::Owner) -> Result<Owner, Failure> {
    match owner {
        store::Owner::Other(urn) if access.readable.contains(urn) => Ok(Owner::Capsule(urn.clone())),
        store::Owner::Other(urn) => Err(Failure::Denied(format!(
            "the keys of {urn}: add it to \"owners\" of {INTERFACE} under \"imports\" in manifest.json"
        ))),
        mine_or_shared => writable(access, mine_or_shared),
    }
}

/// Whose keys may be written.
pub(crate) fn writable(access: &Access, owner: &store::Owner) -> Result<Owner, Failure> {
    match owner {
        store::Owner::Mine => Ok(access.own.clone()),
        store::Owner::Shared => access.shared.clone().ok_or_else(|| {
            Failure::Denied(format!(
                "the keys of the capsule's type: add \"type\" to \"owners\" of {INTERFACE} under \"imports\" in manifest.json"
            ))
        }),
        store::Owner::Other(urn) => Err(Failure::Denied(format!("the keys of {urn} can be read, never written"))),
    }
}

pub(crate) fn failed(error: LedgerError) -> Failure {
    let text = format!("{error} {}", error.fix());
    match error {
        LedgerError::BelowHorizon { horizon, .. } => Failure::BelowHorizon(horizon),
        LedgerError::NoBranch { .. } => Failure::NoBranch(text),
        LedgerError::TransactionTooLarge { .. } | LedgerError::RecordTooLarge { .. } => Failure::TooLarge(text),
        _ => Failure::Other(text),
    }
}

/// A key as text again: guests write texts only, but an operator may write any bytes.
pub(crate) fn text(key: &Key) -> Option<String> {
    String::from_utf8(key.key.clone()).ok()
}

/// The records a look at the past may see: no more than the call's snapshot, so that it is the same when replayed.
fn past<T>(
    effects: &mut Effects,
    look: impl FnOnce(&Arc<StateView>, u64) -> Result<T, LedgerError>,
) -> Result<T, Failure> {
    let snapshot = effects.transaction().map_err(failed)?.snapshot();
    look(effects.ledger().state(), snapshot).map_err(failed)
}

impl Host for CallState {
    fn get(&mut self, owner: store::Owner, key: String) -> Answer<Option<Vec<u8>>> {
        let found = turn(self, "get", &(shown(&owner), &key), |access, effects| {
            let key = Key::new(readable(access, &owner)?, key.as_bytes());
            let value = effects.transaction().and_then(|t| t.get(&key)).map_err(failed)?;
            Ok(value.map(|value| Value(value.to_vec())))
        })?;
        Ok(found.map(|value| value.map(|value| value.0)))
    }

    fn put(&mut self, owner: store::Owner, key: String, value: Vec<u8>) -> Answer<()> {
        let value = Value(value);
        turn(self, "put", &(shown(&owner), &key, &value), |access, effects| {
            let key = Key::new(writable(access, &owner)?, key.as_bytes());
            effects
                .transaction()
                .and_then(|t| t.put(key, value.0.clone()))
                .map_err(failed)
        })
    }

    fn delete(&mut self, owner: store::Owner, key: String) -> Answer<()> {
        turn(self, "delete", &(shown(&owner), &key), |access, effects| {
            let key = Key::new(writable(access, &owner)?, key.as_bytes());
            effects.transaction().and_then(|t| t.delete(key)).map_err(failed)
        })
    }

    fn scan(&mut self, owner: store::Owner, prefix: String, after: Option<String>, limit: u32) -> Answer<Page> {
        let request = (shown(&owner), &prefix, &after, limit);
        let page = turn(self, "scan", &request, |access, effects| {
            let owner = readable(access, &owner)?;
            let range = KeyRange::prefix(&owner, prefix.as_bytes());
            let after = after.as_ref().map(|after| Key::new(owner.clone(), after.as_bytes()));
            let limit = usize::try_from(limit.min(LIMIT_MAX)).unwrap_or(usize::MAX);
            let found = effects
                .transaction()
                .and_then(|t| t.scan(&range, limit, after.as_ref()))
                .map_err(failed)?;
            let entries = found.entries.into_iter();
            Ok(TapedPage {
                entries: entries
                    .filter_map(|(key, value)| Some((text(&key)?, Value(value.to_vec()))))
                    .collect(),
                next: found.next.as_ref().and_then(text),
            })
        })?;
        Ok(page.map(Page::from))
    }

    fn as_of(&mut self, owner: store::Owner, key: String, at: u64) -> Answer<Option<Version>> {
        let found = turn(self, "as-of", &(shown(&owner), &key, at), |access, effects| {
            let key = Key::new(readable(access, &owner)?, key.as_bytes());
            let branch = effects.branch();
            let version = past(effects, |state, snapshot| state.get(branch, &key, at.min(snapshot)))?;
            Ok(version.map(|version| TapedVersion(Value(version.value.to_vec()), version.seq)))
        })?;
        Ok(found.map(|version| version.map(Version::from)))
    }

    fn history(&mut self, owner: store::Owner, key: String, before: Option<u64>, limit: u32) -> Answer<Vec<Revision>> {
        let request = (shown(&owner), &key, before, limit);
        let found = turn(self, "history", &request, |access, effects| {
            let key = Key::new(readable(access, &owner)?, key.as_bytes());
            let branch = effects.branch();
            let limit = usize::try_from(limit.min(LIMIT_MAX)).unwrap_or(usize::MAX);
            let history = past(effects, |state, snapshot| {
                state.history(branch, &key, before.unwrap_or(u64::MAX).min(snapshot), limit)
            })?;
            let taped = history.revisions.into_iter().map(|revision| {
                let value = revision.value.map(|value| Value(value.to_vec()));
                TapedRevision(value, revision.seq)
            });
            Ok(taped.collect::<Vec<_>>())
        })?;
        Ok(found.map(|revisions| revisions.into_iter().map(Revision::from).collect()))
    }

    async fn changes(
        &mut self,
        owner: store::Owner,
        prefix: String,
        from: u64,
        limit: u32,
        wait_ms: u32,
    ) -> Answer<ChangesPage> {
        let ask = changes::Ask {
            owner,
            prefix,
            from,
            limit,
            wait_ms,
        };
        changes::turn(self, ask).await
    }

    fn snapshot(&mut self) -> Answer<u64> {
        turn(self, "snapshot", &(), |_, effects| {
            effects.transaction().map(|t| t.snapshot()).map_err(failed)
        })
    }

    fn use_branch(&mut self, name: String) -> Answer<()> {
        turn(self, "use-branch", &name, |access, effects| {
            let at = effects.ledger().visible();
            let branch = effects.ledger().state().branch(&access.own, &name, at);
            let branch = branch.map_err(|_| Failure::NoBranch(name.clone()))?;
            if effects.use_branch(branch.id) {
                Ok(())
            } else {
                Err(Failure::Other(
                    "a branch can only be chosen before anything is read or written".into(),
                ))
            }
        })
    }

    fn create_branch(&mut self, name: String) -> Answer<()> {
        turn(self, "create-branch", &name, |access, effects| {
            let parent = effects.branch();
            let base = effects.transaction().map_err(failed)?.snapshot();
            change(
                effects,
                StateView::create_branch(access.own.clone(), name.clone(), parent, base),
            )
        })
    }

    fn discard_branch(&mut self, name: String) -> Answer<()> {
        turn(self, "discard-branch", &name, |access, effects| {
            let at = effects.transaction().map_err(failed)?.snapshot();
            let branch = effects.ledger().state().branch(&access.own, &name, at);
            let branch = branch.map_err(|_| Failure::NoBranch(name.clone()))?;
            change(effects, StateView::discard_branch(branch.id))
        })
    }
}

fn change(effects: &mut Effects, control: kinetic_ledger::Control) -> Result<(), Failure> {
    if effects.change(control) {
        Ok(())
    } else {
        Err(Failure::Other("one call makes or discards one branch".into()))
    }
}
