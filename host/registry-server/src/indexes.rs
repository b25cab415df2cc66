//! Signed indexes: one object for each version of it, so that no version is ever used twice, whoever else writes.
//!
//! The newest one is the record of what is yanked. It is in the store before anybody is served it. Older ones are emptied
//! and not removed: their names stay taken.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kinetic_identity::{INDEX_BYTES_MAX, IndexDocument, IndexEntry, SignedIndex, now_unix_ms};
use kinetic_model::{Digest, Fault};
use parking_lot::RwLock;
use semver::Version;

use crate::error::tame;
use crate::record::Record;
use crate::registry::Registry;
use crate::store::Put;
use crate::{ServerError, layout};

/// How often another server may win before whoever asked is told to try again.
const TRIES_MAX: usize = 16;
/// The longest namespace, in bytes.
const NAMESPACE_BYTES_MAX: usize = 200;
/// Versions of an index that are kept. Clients need only the newest; a server that is slow may still read one before.
const KEPT: u64 = 8;

/// A namespace's index.
#[derive(Default)]
pub(crate) struct Slot {
    /// Held by whoever changes it.
    turn: tokio::sync::Mutex<()>,
    current: RwLock<Option<Signed>>,
}

/// The newest index that is in the store, as far as this server knows.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) document: Arc<IndexDocument>,
    /// The envelope, as it is served.
    pub(crate) bytes: Bytes,
    /// SHA-256 of the envelope.
    pub(crate) digest: Digest,
}

/// What the store has as one version of an index.
enum Found {
    Nothing,
    Emptied,
    Index(Signed),
}

/// What an index lists, by URN and version in its order.
pub(crate) type Entries = BTreeMap<(String, Version), IndexEntry>;

impl Signed {
    fn new(signed: &SignedIndex, bytes: Bytes) -> Self {
        Self {
            document: Arc::new(signed.document().clone()),
            digest: Digest::of(&bytes),
            bytes,
        }
    }
}

/// Whether that can be the namespace of a URN.
pub(crate) fn is_namespace(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !text.is_empty() && text.len() <= NAMESPACE_BYTES_MAX && text.bytes().all(word)
}

/// The key of an entry.
pub(crate) fn key(entry: &IndexEntry) -> (String, Version) {
    (entry.urn.to_string(), entry.version.clone())
}

impl Registry {
    /// The index of a namespace as it is served; what another server signed a moment ago is looked for.
    pub(crate) async fn index(&self, namespace: &str) -> Result<Signed, Fault> {
        let missing = || ServerError::NoIndex {
            namespace: tame(namespace),
        };
        // It becomes part of a path.
        if !is_namespace(namespace) {
            return Err(missing().into());
        }
        let known = self.indexes.lock().get(namespace).cloned();
        let slot = match known {
            Some(slot) => slot,
            None => {
                self.load_index(namespace).await?;
                self.indexes.lock().get(namespace).cloned().ok_or_else(missing)?
            }
        };
        // While it is being changed, and when the store does not answer, the one from before is good until it expires.
        if let Ok(_turn) = slot.turn.try_lock()
            && let Err(error) = self.catch_up(namespace, &slot).await
        {
            tracing::warn!("the index of {namespace} may be older than the store's: {error}");
        }
        let current = slot.current.read().clone();
        Ok(current.ok_or_else(missing)?)
    }

    /// The namespaces that have an index.
    pub(crate) fn indexed(&self) -> Vec<String> {
        let slots = self.indexes.lock();
        let known = slots.iter().filter(|(_, slot)| slot.current.read().is_some());
        known.map(|(namespace, _)| namespace.clone()).collect()
    }

    /// Takes in the indexes that the store has and this server does not know, and every version they list.
    pub(crate) async fn load_indexes(&self) -> Result<(), Fault> {
        for namespace in self.store.folders(layout::INDEXES).await? {
            self.load_index(&namespace).await?;
        }
        Ok(())
    }

    /// Takes in the newest index of a namespace, if it has one that this server does not know.
    async fn load_index(&self, namespace: &str) -> Result<(), Fault> {
        let known = self.indexes.lock().get(namespace).cloned();
        if known.is_some_and(|slot| slot.current.read().is_some()) {
            return Ok(());
        }
        let paths = self.store.list(&layout::indexes(namespace)).await?;
        let versions = paths.iter().filter_map(|path| layout::index_at(path));
        let Some(version) = versions.map(|(_, version)| version).max() else {
            return Ok(());
        };
        let slot = self.slot(namespace);
        let _turn = slot.turn.lock().await;
        if slot.current.read().is_some() {
            return Ok(());
        }
        match self.read_index(namespace, version).await? {
            Found::Index(found) => self.take_over(&slot, found).await,
            // Other servers went on while it was looked for.
            Found::Emptied => self.catch_up(namespace, &slot).await,
            Found::Nothing => Ok(()),
        }
    }

    /// Brings the index of a namespace up to what is held, with a change of one's own, and signs it anew if anything is
    /// different or it would expire. Gives the index's version.
    pub(crate) async fn update<T>(
        &self,
        namespace: &str,
        change: impl Fn(&mut Entries) -> Result<T, Fault> + Send + Sync,
    ) -> Result<(T, u64), Fault> {
        let slot = self.slot(namespace);
        let _turn = slot.turn.lock().await;
        for _ in 0..TRIES_MAX {
            self.catch_up(namespace, &slot).await?;
            let newest = slot.current.read().clone();
            let mut entries = Entries::new();
            if let Some(newest) = &newest {
                entries.extend(newest.document.entries.iter().map(|entry| (key(entry), entry.clone())));
            }
            for held in self.catalogue.read().entries(namespace) {
                let there = entries.entry(key(&held)).or_insert_with(|| held.clone());
                if there.component == held.component && there.manifest == held.manifest {
                    there.receipt = held.receipt;
                }
            }
            let done = change(&mut entries)?;
            let now = now_unix_ms();
            if let Some(newest) = &newest
                && newest.document.entries.iter().eq(entries.values())
                && now < newest.document.expires_unix_ms.saturating_sub(self.index_valid_ms / 2)
            {
                return Ok((done, newest.document.version));
            }
            let document = IndexDocument {
                entries: entries.into_values().collect(),
                expires_unix_ms: now.saturating_add(self.index_valid_ms),
                namespace: namespace.into(),
                version: newest.map_or(0, |newest| newest.document.version).saturating_add(1),
            };
            let version = document.version;
            let signed = SignedIndex::sign(document, &self.index_key)?;
            let bytes = Bytes::from(signed.to_json());
            let put = self
                .store
                .put_once(&layout::index(namespace, version), bytes.clone())
                .await?;
            // Otherwise another server was faster: its index goes first, and ours is made anew from it.
            if put != Put::Different {
                self.take_over(&slot, Signed::new(&signed, bytes)).await?;
                self.forget(namespace, version).await;
                return Ok((done, version));
            }
        }
        Err(ServerError::IndexContended {
            namespace: namespace.into(),
        }
        .into())
    }

    fn slot(&self, namespace: &str) -> Arc<Slot> {
        self.indexes.lock().entry(namespace.into()).or_default().clone()
    }

    /// Goes forward to the newest index in the store. Whoever calls has the turn.
    async fn catch_up(&self, namespace: &str, slot: &Slot) -> Result<(), Fault> {
        let mut version = slot.current.read().as_ref().map_or(0, |signed| signed.document.version);
        let mut newest = None;
        loop {
            match self.read_index(namespace, version.saturating_add(1)).await? {
                Found::Nothing => break,
                // Others went on from it already.
                Found::Emptied => {}
                Found::Index(found) => newest = Some(found),
            }
            version += 1;
        }
        match newest {
            Some(newest) => self.take_over(slot, newest).await,
            None => Ok(()),
        }
    }

    /// An index by its version.
    async fn read_index(&self, namespace: &str, version: u64) -> Result<Found, ServerError> {
        let path = layout::index(namespace, version);
        let Some(bytes) = self.store.read(&path, INDEX_BYTES_MAX as u64).await? else {
            return Ok(Found::Nothing);
        };
        if bytes.is_empty() {
            return Ok(Found::Emptied);
        }
        let damaged = |why: String| ServerError::StoreDamaged {
            path: path.clone(),
            why,
        };
        let signed = SignedIndex::from_json(&bytes).map_err(|error| damaged(error.to_string()))?;
        let document = signed.document();
        if document.namespace != namespace || document.version != version {
            return Err(damaged("it is another index than its place says".into()));
        }
        Ok(Found::Index(Signed::new(&signed, bytes)))
    }

    /// Makes an index the current one, and takes in what another server published.
    async fn take_over(&self, slot: &Slot, signed: Signed) -> Result<(), Fault> {
        let unknown = self.catalogue.write().adopt(&signed.document);
        for (urn, version) in &unknown {
            let path = layout::version(urn, version);
            match Record::read(&self.store, &path).await {
                Ok(Some(record)) => self.take_in(&record)?,
                Ok(None) => tracing::warn!("{urn}@{version} is in the index, and gone from the store"),
                Err(error @ ServerError::StoreDamaged { .. }) => tracing::warn!("{error}"),
                Err(error) => return Err(error.into()),
            }
        }
        if !unknown.is_empty() {
            self.catalogue.write().adopt(&signed.document);
        }
        *slot.current.write() = Some(signed);
        Ok(())
    }

    /// Empties an index that nobody is behind any more. That it cannot be done changes nothing.
    async fn forget(&self, namespace: &str, version: u64) {
        if let Some(old) = version.checked_sub(KEPT).filter(|old| *old > 0) {
            let path = layout::index(namespace, old);
            if let Err(error) = self.store.replace(&path, Bytes::new()).await {
                tracing::debug!("{path} stays as it is: {error}");
            }
        }
    }
}
