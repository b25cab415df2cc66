//! Watched folders: what is laid into one is published, as if somebody had handed it over; only what changed is read.
//!
//! Registries can be watched for newer versions of what is active, and those go the same way.
//!
//! A scanner looks at the folders and gives candidates; what becomes of a candidate is decided here, through the same door
//! as publishing. Whatever else can give candidates needs no other door.

mod board;
mod part;
mod registries;
mod scan;
#[cfg(test)]
mod tests;
mod tries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use kinetic_model::{Digest, Urn};
use kinetic_registry::Descriptor;
use semver::Version;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

pub(crate) use self::board::Board;
pub use self::board::{WatchState, Watched};
pub use self::registries::{NAMES_MAX as WATCHED_NAMES_MAX, RegistryWatch, WatchedName};
pub use self::scan::FOLDERS_MAX as WATCHED_FOLDERS_MAX;
use self::scan::{Scanner, Sight};
use self::tries::{Try, World};
use crate::Kernel;

/// Which folders are watched, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchSettings {
    /// The folders, at most [`WATCHED_FOLDERS_MAX`]; default none.
    pub folders: Vec<PathBuf>,
    /// How often they are looked at, in milliseconds; default 1,000. What was written within the last interval is left
    /// alone.
    pub interval_ms: u64,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            folders: Vec::new(),
            interval_ms: 1_000,
        }
    }
}

/// A version that was found whole, and may be published.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Where it was found: the name of the watched folder and, behind a slash, of the capsule folder in it; or what is
    /// looked for at registries.
    pub(crate) entry: String,
    /// Where its bytes came from, as records name it.
    pub(crate) source: String,
    /// What its manifest says it is.
    pub(crate) urn: Urn,
    pub(crate) version: Version,
    /// The text of manifest.json.
    pub(crate) manifest: String,
    /// The signed receipt.
    pub(crate) receipt: Value,
    pub(crate) component: Bytes,
}

impl Candidate {
    /// It as a registry describes it.
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor {
            urn: self.urn.clone(),
            version: self.version.clone(),
            manifest: self.manifest.clone(),
            receipt: self.receipt.clone(),
            digest: Digest::of(&self.component),
            size_bytes: self.component.len() as u64,
        }
    }
}

impl Kernel {
    /// How each capsule folder of the watched folders stands, and what is looked for at registries, sorted by name.
    pub fn watched(&self) -> Vec<Watched> {
        self.0.watched.list()
    }

    /// Looks at the folders for as long as it is awaited, and publishes what is new in them. A version that is in the store
    /// already is left as it is; a folder that goes away unloads nothing.
    pub async fn watch(self, settings: WatchSettings) {
        if settings.folders.is_empty() {
            return;
        }
        let bytes_max = self.engine().config().component_bytes_max;
        let mut scanner = Scanner::new(&settings.folders, bytes_max);
        let mut tries: BTreeMap<String, Try> = BTreeMap::new();
        let mut ticks = interval(Duration::from_millis(settings.interval_ms.max(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let again = self.to_be_tried_again(&tries);
            let looked = tokio::task::spawn_blocking(move || {
                let sights = scanner.scan(&again);
                (scanner, sights)
            });
            let sights = match looked.await {
                Ok((same, sights)) => {
                    scanner = same;
                    sights
                }
                Err(error) => {
                    tracing::error!("folders are not watched any more: {error}");
                    return;
                }
            };
            for sight in sights {
                self.act_on(sight, &mut tries).await;
            }
        }
    }

    /// What was refused, and may be taken now.
    fn to_be_tried_again(&self, tries: &BTreeMap<String, Try>) -> BTreeSet<String> {
        let due = tries.iter().filter(|(_, refused)| refused.is_due(self));
        due.map(|(entry, _)| entry.clone()).collect()
    }

    async fn act_on(&self, sight: Sight, tries: &mut BTreeMap<String, Try>) {
        match sight {
            Sight::Candidate(candidate) => self.take_candidate(candidate, tries).await,
            Sight::Unfit { entry, fault } => {
                tries.remove(&entry);
                tracing::warn!(%entry, "not taken: {fault}");
                self.0.watched.waits(&entry, &fault);
            }
            Sight::Gone { entry } => {
                tries.remove(&entry);
                tracing::info!(%entry, "gone from a watched folder; what was published stays");
                self.0.watched.forget(&entry);
            }
            Sight::Lost { folder, fault } => {
                tracing::warn!(%folder, "{fault}");
                self.0.watched.lost(&folder, &fault);
            }
            Sight::Back { folder } => {
                tracing::info!(%folder, "a watched folder can be read again");
                self.0.watched.forget(&folder);
            }
        }
    }

    async fn take_candidate(&self, candidate: Candidate, tries: &mut BTreeMap<String, Try>) {
        let (entry, urn, version) = (
            candidate.entry.clone(),
            candidate.urn.clone(),
            candidate.version.clone(),
        );
        let content = candidate.digests();
        let before = tries.remove(&entry).filter(|before| before.is_of(content));
        // One that was refused after it was stored has to go through the door again.
        if before.is_none() && self.has_stored(&candidate.descriptor()).await {
            self.0.watched.taken(&entry, (&urn, &version));
            return;
        }
        let then = World::now(self, &content.0);
        let source = candidate.source.clone();
        match self.publish_watched(candidate).await {
            Ok(_) => {
                tracing::info!(%entry, %urn, %version, "taken from what is watched");
                self.0.watched.taken(&entry, (&urn, &version));
            }
            Err(fault) => {
                self.0.watched.refused(&entry, (&urn, &version), &fault);
                let refused = Try::refused(self, content, then, &fault, before.as_ref());
                // Once for the same bytes and the same reason, however often they are tried.
                if refused.is_news(before.as_ref()) {
                    tracing::warn!(%entry, %urn, %version, "not taken: {fault}");
                    let named = self.journal().begin(urn, version, content.0, &source);
                    if let Err(lost) = self.journal().refused_entry(&named, &entry, &fault).await {
                        tracing::warn!(%entry, "that could not be recorded: {lost}");
                    }
                }
                tries.insert(entry, refused);
            }
        }
    }
}
