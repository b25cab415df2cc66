//! What the manifests in the local store say: of each URN the newest version, read and parsed once, for all who ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinetic_model::{CapsuleRef, Digest, Urn};
use kinetic_registry::{RegistryError, Source as _, Summary};
use parking_lot::RwLock;
use semver::Version;

use crate::{Kernel, Manifest};

/// The newest version of a URN in the local store.
#[derive(Debug)]
pub(crate) struct Stored {
    version: Version,
    /// SHA-256 of its component.
    pub(crate) digest: Digest,
    /// SHA-256 of the manifest's text.
    pub(crate) manifest_digest: Digest,
    /// What the manifest says, or why it cannot be read.
    pub(crate) manifest: Result<Manifest, String>,
}

impl Stored {
    /// A version in the store never changes: the same version with the same component has the same manifest.
    fn is(&self, summary: &Summary) -> bool {
        (&self.version, &self.digest) == (&summary.version, &summary.digest)
    }
}

/// All that was read.
#[derive(Default)]
pub(crate) struct Manifests(RwLock<BTreeMap<Urn, Arc<Stored>>>);

impl Kernel {
    /// The newest version of a URN in the local store; none when there is none.
    ///
    /// # Errors
    /// Those of reading it.
    pub(crate) async fn in_store(&self, urn: &Urn) -> Result<Option<Arc<Stored>>, RegistryError> {
        let what = CapsuleRef::from(urn.clone());
        let Some(newest) = self.store().resolve(&what) else {
            return Ok(None);
        };
        let known = self.0.manifests.0.read().get(urn).cloned();
        if let Some(known) = known.filter(|known| known.is(&newest)) {
            return Ok(Some(known));
        }
        let descriptor = self.store().describe(&what).await?;
        let stored = Arc::new(Stored {
            version: descriptor.version,
            digest: descriptor.digest,
            manifest_digest: Digest::of(descriptor.manifest.as_bytes()),
            manifest: Manifest::parse(&descriptor.manifest).map_err(|error| error.to_string()),
        });
        self.0.manifests.0.write().insert(urn.clone(), stored.clone());
        Ok(Some(stored))
    }
}
