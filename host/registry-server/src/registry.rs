//! The registry itself: what it holds, who asks for what, and how it starts from what the store has.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use kinetic_identity::{Role, SigningKey, TrustRoot};
use kinetic_model::{CapsuleRef, Fault, Pin};
use kinetic_registry::{Descriptor, RegistryError, Yanked};
use parking_lot::{Mutex, RwLock};

use crate::catalogue::{Catalogue, Held};
use crate::indexes::Slot;
use crate::manifest::Manifest;
use crate::record::Record;
use crate::store::Store;
use crate::{ServerError, Settings, layout};

/// How it calls itself where something is not there.
pub(crate) const NAME: &str = "this registry";
/// Versions read at once when it starts.
pub(crate) const READS_AT_ONCE: usize = 16;

/// What every request shares.
pub(crate) struct Registry {
    pub(crate) store: Store,
    pub(crate) catalogue: RwLock<Catalogue>,
    pub(crate) indexes: Mutex<BTreeMap<String, Arc<Slot>>>,
    pub(crate) index_key: SigningKey,
    pub(crate) index_valid_ms: u64,
    pub(crate) trust: PathBuf,
    pub(crate) component_bytes_max: u64,
    /// Held by whoever stores a version, so that quotas hold too.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Opens the store, reads what it holds, and signs what a crash left unsigned.
    pub(crate) async fn open(settings: Settings) -> Result<Arc<Self>, Fault> {
        let index_valid_ms = settings.index_valid_ms();
        let store = settings.store.open(Duration::from_millis(settings.store_timeout_ms))?;
        let registry = Self {
            store,
            catalogue: RwLock::default(),
            indexes: Mutex::default(),
            index_key: settings.index_key,
            index_valid_ms,
            trust: settings.trust,
            component_bytes_max: settings.component_bytes_max,
            writing: tokio::sync::Mutex::default(),
        };
        registry.load_versions().await?;
        registry.load_promotions().await?;
        registry.load_indexes().await?;
        registry.renew().await;
        Ok(Arc::new(registry))
    }

    /// Looks for indexes of other servers on the same store, and renews those that would expire.
    pub(crate) async fn tend(&self) -> Result<(), Fault> {
        let loaded = self.load_indexes().await;
        self.renew().await;
        loaded
    }

    async fn renew(&self) {
        let mut namespaces = self.catalogue.read().namespaces();
        namespaces.extend(self.indexed());
        namespaces.sort_unstable();
        namespaces.dedup();
        for namespace in namespaces {
            // What is wrong with one index must not let the others expire.
            if let Err(fault) = self.update(&namespace, |_| Ok(())).await {
                tracing::warn!("the index of {namespace} stays as it is: {fault}");
            }
        }
    }

    /// What of a damaged version is left is not served; the others are.
    async fn load_versions(&self) -> Result<(), Fault> {
        let paths = self.store.list(layout::VERSIONS).await?;
        let reads = paths.into_iter().map(|path| {
            let store = self.store.clone();
            async move {
                let read = Record::read(&store, &path).await;
                (path, read)
            }
        });
        let mut records = futures_util::stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        while let Some((path, read)) = records.next().await {
            match read {
                Ok(Some(record)) => {
                    if let Err(fault) = self.take_in(&record) {
                        tracing::warn!("{path} is not served: {fault}");
                    }
                }
                Ok(None) => {}
                Err(error @ ServerError::StoreDamaged { .. }) => tracing::warn!("{path} is not served: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Takes a version of the store into the catalogue.
    pub(crate) fn take_in(&self, record: &Record) -> Result<(), Fault> {
        let manifest = Manifest::parse(&record.descriptor.manifest)?;
        self.catalogue.write().insert(record, &manifest);
        Ok(())
    }

    /// The version that a reference means. That nothing is left of a URN but what was yanked is said: who needs one of
    /// those all the same can pin it.
    pub(crate) fn resolve(&self, what: &CapsuleRef) -> Result<Held, Fault> {
        let catalogue = self.catalogue.read();
        if let Some(held) = catalogue.resolve(what) {
            return Ok(held.clone());
        }
        if what.pin == Pin::Active
            && let Some(Held { entry, .. }) = catalogue.highest(&what.urn)
        {
            return Err(ServerError::AllYanked {
                urn: entry.urn.to_string(),
                version: entry.version.to_string(),
                why: entry.yanked.clone().unwrap_or_default(),
            }
            .into());
        }
        Err(RegistryError::NotFound {
            what: what.to_string(),
            origin: NAME.into(),
        }
        .into())
    }

    /// Its descriptor, as it was published.
    pub(crate) async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, Fault> {
        let entry = self.resolve(what)?.entry;
        let path = layout::version(&entry.urn, &entry.version);
        let damaged = |why: &str| ServerError::StoreDamaged {
            path: path.clone(),
            why: why.into(),
        };
        let record = Record::read(&self.store, &path)
            .await?
            .ok_or_else(|| damaged("it is gone"))?;
        if record.descriptor.digest != entry.component {
            return Err(damaged("it names another component than it did").into());
        }
        Ok(record.descriptor)
    }

    /// Yanks a version for a reason, or takes that back. The index says so from then on.
    pub(crate) async fn yank(&self, what: &CapsuleRef, reason: Option<String>) -> Result<Yanked, Fault> {
        if what.pin == Pin::Active {
            return Err(ServerError::BadRequest {
                path: "the path".into(),
                why: "name one version: URN@1.2.3 or URN@sha256:...".into(),
            }
            .into());
        }
        let entry = self.resolve(what)?.entry;
        let key = crate::indexes::key(&entry);
        let ((), index_version) = self
            .update(entry.urn.namespace(), |entries| {
                let listed = entries.get_mut(&key).ok_or_else(|| RegistryError::NotFound {
                    what: what.to_string(),
                    origin: NAME.into(),
                })?;
                listed.yanked.clone_from(&reason);
                Ok(())
            })
            .await?;
        Ok(Yanked {
            urn: entry.urn,
            version: entry.version,
            digest: entry.component,
            yanked: reason,
            index_version,
        })
    }

    /// The namespaces whose readers will not believe the index key, as far as this server's own trust root knows, and why.
    pub(crate) fn doubtful(&self) -> Result<Vec<(String, String)>, Fault> {
        let root = TrustRoot::load(&self.trust)?;
        let key = self.index_key.public();
        let namespaces = self.catalogue.read().namespaces().into_iter();
        let doubts = namespaces.filter_map(|namespace| {
            let why = match root.document(&namespace) {
                Some(document) if !document.keys_of(Role::Index).any(|known| *known == key) => {
                    "its root document does not give that key the index role".to_string()
                }
                Some(document) if document.thresholds.of(Role::Index) > 1 => {
                    format!(
                        "its root document wants {} signatures",
                        document.thresholds.of(Role::Index)
                    )
                }
                None if !root.trusted(&namespace).iter().any(|known| known.key == key) => {
                    "the trust root does not list that key for it".to_string()
                }
                _ => return None,
            };
            Some((namespace, why))
        });
        Ok(doubts.collect())
    }
}
