//! What registries say, held against the signed index of the namespace: a version must be listed, as it is, and not yanked.
//!
//! Whose word counts for an index is what the trust root says: a namespace with a root document has index keys, and then a
//! registry without an index, with an old one or with another one than before is not believed. Of any other namespace
//! nothing is asked.

mod kept;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_identity::{IdentityError, IndexEntry, SignedIndex, TrustRoot, now_unix_ms, utc_text};
use kinetic_model::{CapsuleRef, Digest, Pin, Urn};
use parking_lot::Mutex;
use semver::Version;

use self::kept::Kept;
use crate::store::blocking;
use crate::{Descriptor, IndexAnswer, RegistryError, Source, Summary};

/// The indexes of a host's registries: what was seen last, on the disk and in memory.
pub struct Indexes {
    folder: PathBuf,
    trust_file: PathBuf,
    max_age: Duration,
    held: Mutex<BTreeMap<(String, String), Slot>>,
}

/// One registry's index of one namespace; who asks while it is fetched waits.
type Slot = Arc<tokio::sync::Mutex<Option<Held>>>;

/// An index that was verified.
struct Held {
    index: Arc<SignedIndex>,
    tag: Option<String>,
    asked: Instant,
    /// The version of the root document that it was verified by: keys may go.
    root: Option<u64>,
}

/// An index to judge by, and whether it was asked for just now.
struct Current {
    index: Arc<SignedIndex>,
    is_new: bool,
}

/// What an index says about a URN without a pin.
enum Newest<'a> {
    Unlisted,
    Yanked(&'a IndexEntry),
    Is(&'a IndexEntry),
}

impl Indexes {
    /// Those that are remembered in this folder, judged by the trust root of that file. A registry is asked for its index
    /// at most once in `max_age`, unless it offers a version that the one in memory does not list. Nothing is read yet.
    pub fn new(folder: PathBuf, trust_file: PathBuf, max_age: Duration) -> Self {
        Self {
            folder,
            trust_file,
            max_age,
            held: Mutex::default(),
        }
    }

    /// What a registry says a reference means, if its index of the namespace says so too. An unpinned one means the
    /// newest version that is listed and not yanked; a pinned one that is yanked passes, which is logged.
    ///
    /// # Errors
    /// [`RegistryError::NotInIndex`], [`RegistryError::Yanked`], [`RegistryError::NotAsIndexed`],
    /// [`RegistryError::NoIndex`], [`RegistryError::IndexedMissing`], [`RegistryError::IndexRefused`],
    /// [`RegistryError::IndexStateDamaged`], and those of asking.
    pub(super) async fn describe(
        &self,
        registry: &str,
        source: &dyn Source,
        what: &CapsuleRef,
    ) -> Result<Descriptor, RegistryError> {
        let namespace = what.urn.namespace();
        let Some(root) = self.root_of(namespace, source)? else {
            return source.describe(what).await;
        };
        let Some(current) = self.current(registry, source, namespace, &root, self.max_age).await? else {
            // What it does not hold needs no index.
            source.describe(what).await?;
            return Err(RegistryError::NoIndex {
                namespace: namespace.into(),
                origin: source.name().into(),
            });
        };
        let unlisted = match judged(source, what, &current.index).await {
            Err(unlisted @ RegistryError::NotInIndex { .. }) if !current.is_new => unlisted,
            judged => return judged,
        };
        // It may be listed by now.
        match self.current(registry, source, namespace, &root, Duration::ZERO).await? {
            Some(newer) if newer.index.digest() != current.index.digest() => judged(source, what, &newer.index).await,
            _ => Err(unlisted),
        }
    }

    /// The index that a registry has of a namespace; none where nobody has index keys for that, or it has none.
    ///
    /// # Errors
    /// [`RegistryError::IndexRefused`], [`RegistryError::IndexStateDamaged`], and those of asking.
    pub(super) async fn index_of(
        &self,
        registry: &str,
        source: &dyn Source,
        namespace: &str,
    ) -> Result<Option<Arc<SignedIndex>>, RegistryError> {
        let Some(root) = self.root_of(namespace, source)? else {
            return Ok(None);
        };
        let current = self.current(registry, source, namespace, &root, self.max_age).await?;
        Ok(current.map(|current| current.index))
    }

    /// Whether a version was taken back in the index that was seen last of a registry, which is not asked.
    ///
    /// # Errors
    /// [`RegistryError::IndexStateDamaged`].
    pub(super) async fn was_yanked(&self, registry: &str, urn: &Urn, version: &Version) -> Result<bool, RegistryError> {
        let file = self.file(registry, urn.namespace());
        let (urn, version) = (urn.clone(), version.clone());
        blocking(move || {
            let kept = Kept::read(&file)?;
            let entry = kept.as_ref().and_then(|kept| kept.index.entry(&urn, &version));
            Ok(entry.is_some_and(|entry| entry.yanked.is_some()))
        })
        .await
    }

    /// The index that a registry has of a namespace, be it expired or not: what the next one goes on from.
    ///
    /// # Errors
    /// As [`Indexes::describe`]'s of an index.
    pub(super) async fn before(
        &self,
        registry: &str,
        source: &dyn Source,
        namespace: &str,
    ) -> Result<Option<SignedIndex>, RegistryError> {
        match source.index(namespace, None).await? {
            IndexAnswer::Index { bytes, .. } => {
                let index = read(source, namespace, bytes).await?;
                // At the beginning of time nothing has expired.
                let accepted = self
                    .accept(registry, source, index, &self.load_root(source)?, 0)
                    .await?;
                Ok(Some(accepted))
            }
            IndexAnswer::Nothing | IndexAnswer::Same => Ok(None),
        }
    }

    /// Passes when this host would take the index from the registry now. Nothing is remembered.
    ///
    /// # Errors
    /// As [`Indexes::describe`]'s of an index.
    pub(super) fn may_follow(
        &self,
        registry: &str,
        source: &dyn Source,
        index: &SignedIndex,
    ) -> Result<(), RegistryError> {
        let kept = Kept::read(&self.file(registry, &index.document().namespace))?;
        let (state, before) = kept
            .as_ref()
            .map_or_else(Default::default, |kept| (kept.state.clone(), Some(&kept.index)));
        let root = self.load_root(source)?;
        let judged = index.clone().verify(&root, &state, before, now_unix_ms());
        judged
            .map(drop)
            .map_err(|error| RegistryError::index_refused(source.name(), error))
    }

    /// The trust root, if it asks for an index of the namespace: every root document names index keys, and one that cannot
    /// be used is no reason to ask for less.
    fn root_of(&self, namespace: &str, source: &dyn Source) -> Result<Option<TrustRoot>, RegistryError> {
        let root = self.load_root(source)?;
        Ok(root.has_root(namespace).then_some(root))
    }

    /// The trust root as of now.
    ///
    /// # Errors
    /// [`RegistryError::IndexRefused`].
    pub(super) fn load_root(&self, source: &dyn Source) -> Result<TrustRoot, RegistryError> {
        TrustRoot::load(&self.trust_file).map_err(|error| RegistryError::index_refused(source.name(), error))
    }

    async fn current(
        &self,
        registry: &str,
        source: &dyn Source,
        namespace: &str,
        root: &TrustRoot,
        max_age: Duration,
    ) -> Result<Option<Current>, RegistryError> {
        let slot = {
            let mut held = self.held.lock();
            held.entry((registry.into(), namespace.into())).or_default().clone()
        };
        let mut held = slot.lock().await;
        let root_version = root.document(namespace).map(|document| document.version);
        let is_good = |held: &&Held| {
            let is_recent = held.asked.elapsed() < max_age && held.root == root_version;
            is_recent && not_expired(source, &held.index).is_ok()
        };
        if let Some(held) = held.as_ref().filter(is_good) {
            return Ok(Some(Current {
                index: held.index.clone(),
                is_new: false,
            }));
        }
        let asked = Instant::now();
        let tag = held.as_ref().and_then(|held| held.tag.clone());
        let answer = source.index(namespace, tag.as_deref()).await?;
        let (index, tag) = match (answer, held.as_ref()) {
            (IndexAnswer::Index { bytes, tag }, _) => (read(source, namespace, bytes).await?, tag),
            (IndexAnswer::Same, Some(held)) => ((*held.index).clone(), tag),
            (IndexAnswer::Nothing | IndexAnswer::Same, _) => {
                self.never_had(registry, source, namespace).await?;
                return Ok(None);
            }
        };
        // Also when it is the same one: keys may have gone since.
        let index = self.accept(registry, source, index, root, now_unix_ms()).await?;
        let index = Arc::new(index);
        *held = Some(Held {
            index: index.clone(),
            tag,
            asked,
            root: root_version,
        });
        Ok(Some(Current { index, is_new: true }))
    }

    /// Passes when no index of the namespace was seen at the registry yet: one that takes it away again would never be found
    /// to be frozen.
    async fn never_had(&self, registry: &str, source: &dyn Source, namespace: &str) -> Result<(), RegistryError> {
        let file = self.file(registry, namespace);
        if blocking(move || Kept::read(&file).map(|kept| kept.is_none())).await? {
            return Ok(());
        }
        Err(RegistryError::NoIndex {
            namespace: namespace.into(),
            origin: source.name().into(),
        })
    }

    /// Verifies an index against what was seen before and remembers it on the disk, before anything is judged by it.
    pub(super) async fn accept(
        &self,
        registry: &str,
        source: &dyn Source,
        index: SignedIndex,
        root: &TrustRoot,
        now_unix_ms: u64,
    ) -> Result<SignedIndex, RegistryError> {
        let file = self.file(registry, &index.document().namespace);
        let (origin, root) = (source.name().to_string(), root.clone());
        blocking(move || kept::accept(&file, &origin, index, &root, now_unix_ms)).await
    }

    /// As [`Indexes::accept`], of an index that this machine has just signed.
    pub(super) async fn remember(
        &self,
        registry: &str,
        source: &dyn Source,
        index: SignedIndex,
    ) -> Result<SignedIndex, RegistryError> {
        let root = self.load_root(source)?;
        self.accept(registry, source, index, &root, now_unix_ms()).await
    }

    fn file(&self, registry: &str, namespace: &str) -> PathBuf {
        self.folder.join(registry).join(format!("{namespace}.json"))
    }
}

/// A large one takes a while to read, which must keep nobody else waiting.
async fn read(source: &dyn Source, namespace: &str, bytes: Bytes) -> Result<SignedIndex, RegistryError> {
    let (origin, namespace) = (source.name().to_string(), namespace.to_string());
    blocking(move || {
        let index = SignedIndex::from_json(&bytes).map_err(|error| RegistryError::index_refused(&origin, error))?;
        if index.document().namespace == namespace {
            return Ok(index);
        }
        Err(RegistryError::OtherThanAsked {
            origin,
            asked: format!("the index of {namespace}"),
            found: format!("that of {}", index.document().namespace),
        })
    })
    .await
}

fn not_expired(source: &dyn Source, index: &SignedIndex) -> Result<(), RegistryError> {
    let document = index.document();
    if now_unix_ms() < document.expires_unix_ms {
        return Ok(());
    }
    let error = IdentityError::IndexExpired {
        namespace: document.namespace.clone(),
        version: document.version,
        expired: utc_text(document.expires_unix_ms),
    };
    Err(RegistryError::index_refused(source.name(), error))
}

/// What a source says, against an index that was verified.
async fn judged(source: &dyn Source, what: &CapsuleRef, index: &SignedIndex) -> Result<Descriptor, RegistryError> {
    if what.pin == Pin::Active {
        return judged_newest(source, what, index).await;
    }
    let descriptor = source.describe(what).await?;
    let Some(entry) = entry(index, &descriptor.urn, &descriptor.version) else {
        return Err(not_in(source, &descriptor, index));
    };
    fits(source, entry, &descriptor)?;
    if let Some(why) = &entry.yanked {
        tracing::warn!(%what, registry = source.name(), "yanked by the owner of its namespace, and asked for all the same: {why}");
    }
    Ok(descriptor)
}

/// The index says which version is the newest, and not the registry: one that hides a version is found out.
async fn judged_newest(
    source: &dyn Source,
    what: &CapsuleRef,
    index: &SignedIndex,
) -> Result<Descriptor, RegistryError> {
    let entry = match newest(index, &what.urn) {
        Newest::Is(entry) => entry,
        Newest::Yanked(entry) => {
            return Err(RegistryError::Yanked {
                what: format!("{}@{}", entry.urn, entry.version),
                origin: source.name().into(),
                why: entry.yanked.clone().unwrap_or_default(),
            });
        }
        Newest::Unlisted => {
            let offered = source.describe(what).await?;
            return Err(not_in(source, &offered, index));
        }
    };
    let pinned = CapsuleRef {
        urn: what.urn.clone(),
        pin: Pin::Version(entry.version.clone()),
    };
    let descriptor = source.describe(&pinned).await.map_err(|error| match error {
        RegistryError::NotFound { .. } => RegistryError::IndexedMissing {
            what: pinned.to_string(),
            origin: source.name().into(),
            version: index.document().version,
        },
        other => other,
    })?;
    if descriptor.urn != entry.urn || descriptor.version != entry.version {
        return Err(RegistryError::OtherThanAsked {
            origin: source.name().into(),
            asked: pinned.to_string(),
            found: format!("{}@{}", descriptor.urn, descriptor.version),
        });
    }
    fits(source, entry, &descriptor)?;
    Ok(descriptor)
}

/// The highest version that is no pre-release and not yanked, else the highest that is not yanked.
fn newest<'a>(index: &'a SignedIndex, urn: &Urn) -> Newest<'a> {
    let versions = versions(index, urn);
    let good = || versions.iter().rev().filter(|entry| entry.yanked.is_none());
    let newest = good()
        .find(|entry| entry.version.pre.is_empty())
        .or_else(|| good().next());
    match (newest, versions.last()) {
        (Some(newest), _) => Newest::Is(newest),
        (None, Some(last)) => Newest::Yanked(last),
        (None, None) => Newest::Unlisted,
    }
}

/// The entries of a URN, oldest first.
fn versions<'a>(index: &'a SignedIndex, urn: &Urn) -> &'a [IndexEntry] {
    let entries = &index.document().entries;
    let start = entries.partition_point(|entry| entry.urn.as_str() < urn.as_str());
    let end = entries.partition_point(|entry| entry.urn.as_str() <= urn.as_str());
    entries.get(start..end).unwrap_or_default()
}

/// What an index says about a version.
pub(super) fn entry<'a>(index: &'a SignedIndex, urn: &Urn, version: &Version) -> Option<&'a IndexEntry> {
    versions(index, urn).iter().find(|entry| entry.version == *version)
}

/// What an index lists and does not take back.
pub(super) fn offered(index: &SignedIndex) -> impl Iterator<Item = Summary> {
    let entries = index.document().entries.iter();
    entries.filter(|entry| entry.yanked.is_none()).map(|entry| Summary {
        urn: entry.urn.clone(),
        version: entry.version.clone(),
        digest: entry.component,
        size_bytes: entry.size_bytes,
    })
}

fn not_in(source: &dyn Source, offered: &Descriptor, index: &SignedIndex) -> RegistryError {
    RegistryError::NotInIndex {
        what: format!("{}@{}", offered.urn, offered.version),
        origin: source.name().into(),
        version: index.document().version,
    }
}

/// Refuses what is not just what the index lists. The receipt may be another one: a build can be signed anew.
pub(super) fn fits(source: &dyn Source, entry: &IndexEntry, descriptor: &Descriptor) -> Result<(), RegistryError> {
    let manifest = Digest::of(descriptor.manifest.as_bytes());
    let parts = [
        ("component", entry.component.to_string(), descriptor.digest.to_string()),
        ("manifest", entry.manifest.to_string(), manifest.to_string()),
        (
            "size of the component",
            entry.size_bytes.to_string(),
            descriptor.size_bytes.to_string(),
        ),
    ];
    match parts.into_iter().find(|(_, listed, found)| listed != found) {
        None => Ok(()),
        Some((part, listed, found)) => Err(RegistryError::NotAsIndexed {
            what: format!("{}@{}", descriptor.urn, descriptor.version),
            origin: source.name().into(),
            part: part.into(),
            listed: listed.into(),
            found: found.into(),
        }),
    }
}
