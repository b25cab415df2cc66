//! What the host answers, in the form it has on a tape: JSON, values as base64.

use kinetic_engine::TapedBytes as Value;
use serde::{Deserialize, Serialize};

use crate::bindings::kinetic::state::store::{Change, ChangesPage, Entry, Error, Page, Revision, Version};

/// Why a call of the interface failed.
#[derive(Serialize, Deserialize)]
pub(crate) enum Failure {
    Denied(String),
    TooLarge(String),
    NoBranch(String),
    BelowHorizon(u64),
    Other(String),
}

impl Failure {
    /// There is no ledger on an author's machine.
    pub(crate) fn no_ledger() -> Self {
        Self::Other(
            "there is no ledger here: call the capsule on a host, with `kinetic call` instead of `kinetic run`".into(),
        )
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(why) => Self::Denied(why),
            Failure::TooLarge(why) => Self::TooLarge(why),
            Failure::NoBranch(name) => Self::NoBranch(name),
            Failure::BelowHorizon(horizon) => Self::BelowHorizon(horizon),
            Failure::Other(why) => Self::Other(why),
        }
    }
}

/// A version on a tape: value and record.
#[derive(Serialize, Deserialize)]
pub(crate) struct TapedVersion(pub(crate) Value, pub(crate) u64);

impl From<TapedVersion> for Version {
    fn from(TapedVersion(value, seq): TapedVersion) -> Self {
        Self { value: value.0, seq }
    }
}

/// A revision on a tape.
#[derive(Serialize, Deserialize)]
pub(crate) struct TapedRevision(pub(crate) Option<Value>, pub(crate) u64);

impl From<TapedRevision> for Revision {
    fn from(TapedRevision(value, seq): TapedRevision) -> Self {
        Self {
            value: value.map(|value| value.0),
            seq,
        }
    }
}

/// A page on a tape.
#[derive(Serialize, Deserialize)]
pub(crate) struct TapedPage {
    pub(crate) entries: Vec<(String, Value)>,
    pub(crate) next: Option<String>,
}

impl From<TapedPage> for Page {
    fn from(page: TapedPage) -> Self {
        let entry = |(key, value): (String, Value)| Entry { key, value: value.0 };
        Self {
            entries: page.entries.into_iter().map(entry).collect(),
            next: page.next,
        }
    }
}

/// A page of changes on a tape: keys, values and records.
#[derive(Serialize, Deserialize)]
pub(crate) struct TapedChanges {
    pub(crate) changes: Vec<(String, Option<Value>, u64)>,
    pub(crate) next: u64,
}

impl From<TapedChanges> for ChangesPage {
    fn from(page: TapedChanges) -> Self {
        let change = |(key, value, seq): (String, Option<Value>, u64)| Change {
            key,
            value: value.map(|value| value.0),
            seq,
        };
        Self {
            changes: page.changes.into_iter().map(change).collect(),
            next: page.next,
        }
    }
}
