//! How each watched capsule folder, and what is looked for at registries, stands, for whoever looks.

use std::collections::BTreeMap;

use kinetic_model::{Fault, Urn};
use parking_lot::Mutex;
use semver::Version;
use serde::Serialize;

use crate::unix_ms;

/// A capsule folder of a watched folder, a watched folder that cannot be read, or a capsule whose registries are watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watched {
    /// The name of the watched folder and, behind a slash, of the capsule folder in it; or `registries/` and the URN.
    pub entry: String,
    /// What became of it.
    pub state: WatchState,
    /// Which capsule it is; none where that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urn: Option<Urn>,
    /// In which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The stable code of why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// Why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// What became of what is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchState {
    /// It is in the store.
    Taken,
    /// Its files are not whole, not of one version, or not those of a capsule: it waits until they change.
    Waiting,
    /// It was refused.
    Refused,
    /// The watched folder itself cannot be read, or only in part; or the registries are away.
    Lost,
    /// The owner of its namespace took the version back that is active here. It stays until a newer one comes.
    Yanked,
}

impl WatchState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Taken, Self::Waiting, Self::Refused, Self::Lost, Self::Yanked];
}

/// What is known of all of them.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<String, Watched>>);

impl Board {
    pub(super) fn list(&self) -> Vec<Watched> {
        self.0.lock().values().cloned().collect()
    }

    pub(super) fn taken(&self, entry: &str, what: (&Urn, &Version)) {
        self.put(entry, WatchState::Taken, Some(what), None);
    }

    pub(super) fn waits(&self, entry: &str, fault: &Fault) {
        self.put(entry, WatchState::Waiting, None, Some(fault));
    }

    pub(super) fn refused(&self, entry: &str, what: (&Urn, &Version), fault: &Fault) {
        self.put(entry, WatchState::Refused, Some(what), Some(fault));
    }

    pub(super) fn lost(&self, folder: &str, fault: &Fault) {
        self.put(folder, WatchState::Lost, None, Some(fault));
    }

    pub(super) fn yanked(&self, entry: &str, what: (&Urn, &Version), fault: &Fault) {
        self.put(entry, WatchState::Yanked, Some(what), Some(fault));
    }

    pub(super) fn forget(&self, entry: &str) {
        self.0.lock().remove(entry);
    }

    fn put(&self, entry: &str, state: WatchState, what: Option<(&Urn, &Version)>, fault: Option<&Fault>) {
        let watched = Watched {
            entry: entry.to_string(),
            state,
            urn: what.map(|(urn, _)| urn.clone()),
            version: what.map(|(_, version)| version.clone()),
            code: fault.map(|fault| fault.code),
            message: fault.map(|fault| fault.message.clone()),
            fix: fault.map(|fault| fault.fix.clone()),
            at_unix_ms: unix_ms(),
        };
        let mut all = self.0.lock();
        let differs = |there: &Watched| {
            let at_unix_ms = there.at_unix_ms;
            *there
                != Watched {
                    at_unix_ms,
                    ..watched.clone()
                }
        };
        // Since when it stands so, and not when it was last looked at.
        if all.get(entry).is_none_or(differs) {
            all.insert(entry.to_string(), watched);
        }
    }
}
