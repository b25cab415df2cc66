//! Watched registries: where one has a newer version of what is active here, that is taken as from a watched folder.
//!
//! Only what is active is looked after: a registry brings nothing here that nobody asked for. A version that was refused
//! is remembered as one from a folder is, and not even downloaded again before another try can end otherwise.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use kinetic_model::{CapsuleRef, Digest, ErrorKind, Fault, Pin, Urn};
use kinetic_registry::{Descriptor, RegistryError, Source};

use super::Candidate;
use super::tries::Try;
use crate::install::as_asked;
use crate::{Capsule, Kernel};

/// The most names that are watched.
pub const NAMES_MAX: usize = 256;
/// The longest name of a namespace, in bytes.
const NAMESPACE_BYTES_MAX: usize = 200;
/// The most rounds that a capsule is passed over while its registries are away.
const ROUNDS_PASSED_MAX: u32 = 15;

/// What is watched at registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchedName {
    /// One capability.
    Urn(Urn),
    /// Every one of a namespace.
    Namespace(String),
}

impl WatchedName {
    fn covers(&self, urn: &Urn) -> bool {
        match self {
            Self::Urn(one) => one == urn,
            Self::Namespace(namespace) => namespace == urn.namespace(),
        }
    }
}

impl FromStr for WatchedName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            return text.parse().map(Self::Urn).map_err(|_| format!("\"{text}\" is no URN"));
        }
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty() || text.len() > NAMESPACE_BYTES_MAX || !text.bytes().all(is_word) {
            return Err(format!("\"{text}\" is neither a URN nor a namespace"));
        }
        Ok(Self::Namespace(text.to_string()))
    }
}

/// What is watched at registries, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryWatch {
    /// Of what is active, that which one of these names covers; default none.
    pub names: Vec<WatchedName>,
    /// About how long between two looks; default 60 s. Each look comes up to a quarter sooner or later, so that many hosts
    /// do not all ask at once.
    pub every: Duration,
}

impl Default for RegistryWatch {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            every: Duration::from_mins(1),
        }
    }
}

/// What is known of one watched capsule from one round to the next.
#[derive(Debug, Default)]
struct Asked {
    /// The refusal that was said last.
    said: Option<&'static str>,
    /// Rounds in a row in which its registries were away.
    away: u32,
    /// Rounds that it is passed over.
    pass: u32,
}

/// How a look ended.
enum Looked {
    Well,
    /// Something is wrong with what was found, or with who was asked.
    Wrong(Fault),
    /// The owner of the namespace took the active version back.
    Yanked(Fault),
}

impl Kernel {
    /// Asks the registries for newer versions of what is active for as long as it is awaited, and publishes those. What
    /// was yanked is reported, and stays.
    pub async fn watch_registries(self, settings: RegistryWatch) {
        if settings.names.is_empty() {
            return;
        }
        let (mut all, mut tries) = (BTreeMap::<Urn, Asked>::new(), BTreeMap::<String, Try>::new());
        loop {
            let covered = |capsule: &Arc<Capsule>| settings.names.iter().any(|name| name.covers(&capsule.manifest.id));
            let watched: Vec<_> = self.list().into_iter().filter(covered).collect();
            all.retain(|urn, _| {
                let stays = watched.iter().any(|capsule| capsule.manifest.id == *urn);
                if !stays {
                    self.0.watched.forget(&entry_of(urn));
                    tries.remove(&entry_of(urn));
                }
                stays
            });
            for capsule in &watched {
                let asked = all.entry(capsule.manifest.id.clone()).or_default();
                if asked.pass > 0 {
                    asked.pass -= 1;
                    continue;
                }
                let looked = self.look_for_newer(capsule, &mut tries).await;
                self.tell_of(capsule, looked, asked).await;
            }
            tokio::time::sleep(jittered(settings.every)).await;
        }
    }

    /// Looks for a newer version of a capsule, and takes it.
    async fn look_for_newer(&self, capsule: &Capsule, tries: &mut BTreeMap<String, Try>) -> Looked {
        let (urn, version) = (&capsule.manifest.id, &capsule.manifest.version);
        let yanked = match self.registries().yanked(urn, version).await {
            Ok(yanked) => yanked,
            Err(error) => return Looked::Wrong(Fault::from(&error)),
        };
        let what = self.as_locked(&urn.clone().into());
        let found = match self.registries().find(&what).await {
            Ok((source, descriptor)) => as_asked(&what, source, descriptor).map(Some),
            // What came from its publisher no registry needs to have; and of what is yanked as a whole nothing is newer.
            Err(RegistryError::NotFound { .. } | RegistryError::Yanked { .. }) => Ok(None),
            Err(error) => Err(Fault::from(&error)),
        };
        let newer = match found {
            Ok(found) => found.filter(|(_, descriptor)| descriptor.version > *version),
            Err(fault) => return Looked::Wrong(fault),
        };
        match (newer, yanked) {
            (Some((source, descriptor)), _) => self.take_newer(source, descriptor, tries).await,
            (None, Some(yanked)) => Looked::Yanked(Fault::from(&yanked)),
            (None, None) => {
                self.0.watched.taken(&entry_of(urn), (urn, version));
                Looked::Well
            }
        }
    }

    /// Fetches a newer version and publishes it, unless that was refused before and nothing has changed, or it is in the
    /// store already.
    async fn take_newer(
        &self,
        source: Arc<dyn Source>,
        descriptor: Descriptor,
        tries: &mut BTreeMap<String, Try>,
    ) -> Looked {
        let entry = entry_of(&descriptor.urn);
        let content = (descriptor.digest, Digest::of(descriptor.manifest.as_bytes()));
        let before = tries.get(&entry).filter(|before| before.is_of(content));
        let is_due = before.map(|before| before.is_due(self));
        if is_due == Some(false) {
            return Looked::Well;
        }
        if is_due.is_none() && self.has_stored(&descriptor).await {
            self.0.watched.taken(&entry, (&descriptor.urn, &descriptor.version));
            return Looked::Well;
        }
        let what = CapsuleRef {
            urn: descriptor.urn.clone(),
            pin: Pin::Version(descriptor.version.clone()),
        };
        // Receipt and manifest are judged as of what was asked for, before anything of the component is fetched: publishing
        // alone would go by the manifest, and take another capsule or an older version for it.
        let pulled = match self.pulled(&what, source, descriptor).await {
            Ok(pulled) => pulled,
            Err(fault) => return Looked::Wrong(fault),
        };
        let candidate = Candidate {
            entry,
            source: pulled.source,
            urn: pulled.descriptor.urn,
            version: pulled.descriptor.version,
            manifest: pulled.descriptor.manifest,
            receipt: pulled.descriptor.receipt,
            component: pulled.component,
        };
        self.take_candidate(candidate, tries).await;
        Looked::Well
    }

    /// Shows how a look ended, and says what is wrong once.
    async fn tell_of(&self, capsule: &Capsule, looked: Looked, asked: &mut Asked) {
        let (urn, version) = (&capsule.manifest.id, &capsule.manifest.version);
        let entry = entry_of(urn);
        let fault = match looked {
            Looked::Well => {
                *asked = Asked::default();
                return;
            }
            Looked::Wrong(fault) if is_away(&fault) => {
                self.0.watched.lost(&entry, &fault);
                asked.pass = 1_u32.checked_shl(asked.away).unwrap_or(u32::MAX).min(ROUNDS_PASSED_MAX);
                asked.away = asked.away.saturating_add(1);
                if asked.said != Some(fault.code) {
                    tracing::warn!(%entry, "not looked for: {fault}");
                }
                asked.said = Some(fault.code);
                return;
            }
            Looked::Wrong(fault) => {
                self.0.watched.refused(&entry, (urn, version), &fault);
                fault
            }
            Looked::Yanked(fault) => {
                self.0.watched.yanked(&entry, (urn, version), &fault);
                fault
            }
        };
        (asked.away, asked.pass) = (0, 0);
        if asked.said != Some(fault.code) {
            asked.said = Some(fault.code);
            tracing::warn!(%entry, %version, "{fault}");
            if let Err(lost) = self.journal().refused_entry(&capsule.named, &entry, &fault).await {
                tracing::warn!(%entry, "that could not be recorded: {lost}");
            }
        }
    }
}

/// What boards and records call a capsule that is looked for at registries.
fn entry_of(urn: &Urn) -> String {
    format!("registries/{urn}")
}

/// Whether somebody was not there, which says nothing about what he holds.
const fn is_away(fault: &Fault) -> bool {
    use ErrorKind::{Busy, Internal, Timeout, Unavailable};
    matches!(fault.kind, Busy | Internal | Timeout | Unavailable)
}

/// From three quarters of a time to five quarters of it; no secret depends on how long.
fn jittered(every: Duration) -> Duration {
    let quarter_ms = u64::try_from(every.as_millis() / 4).unwrap_or(u64::MAX);
    let random = RandomState::new().build_hasher().finish();
    let more_ms = random % quarter_ms.saturating_mul(2).saturating_add(1);
    every
        .saturating_sub(Duration::from_millis(quarter_ms))
        .saturating_add(Duration::from_millis(more_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_urn_or_a_namespace_and_covers_no_more_than_that() {
        let urn = |name: &str| format!("urn:acme:actionspace:solver:{name}:v1").parse::<Urn>().unwrap();
        let one: WatchedName = urn("a").as_str().parse().unwrap();
        assert!(one.covers(&urn("a")) && !one.covers(&urn("b")));
        let all: WatchedName = "acme".parse().unwrap();
        assert!(all.covers(&urn("a")) && all.covers(&urn("b")));
        assert!(!"acm".parse::<WatchedName>().unwrap().covers(&urn("a")));
        for bad in ["", "Acme", "a b", "urn:acme", "a/b"] {
            assert!(bad.parse::<WatchedName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn looks_are_spread_by_a_quarter_in_either_direction() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_mins(1));
            assert!(
                (Duration::from_secs(45)..=Duration::from_secs(75)).contains(&wait),
                "{wait:?}"
            );
        }
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
    }
}
