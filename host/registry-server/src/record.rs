//! What the store keeps of one version: its descriptor, and who published it.

use bytes::Bytes;
use kinetic_identity::{IndexEntry, strict_json};
use kinetic_model::Digest;
use kinetic_registry::{DESCRIPTOR_BYTES_MAX, Descriptor};
use serde::{Deserialize, Serialize};

use crate::ServerError;
use crate::error::tame;
use crate::layout;
use crate::store::Store;

/// The largest record, in bytes: a descriptor, and a name around it.
pub(crate) const RECORD_BYTES_MAX: u64 = DESCRIPTOR_BYTES_MAX + 4_096;
/// A receipt may nest 32 deep, and sits two levels down.
const DEPTH_MAX: usize = 34;

/// One version as the store keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) descriptor: Descriptor,
    /// The name of the token it was published with: its quota counts it.
    pub(crate) publisher: String,
}

impl Record {
    /// What the store holds there; none when nothing is there.
    pub(crate) async fn read(store: &Store, path: &str) -> Result<Option<Self>, ServerError> {
        let Some(bytes) = store.read(path, RECORD_BYTES_MAX).await? else {
            return Ok(None);
        };
        let damaged = |why: String| ServerError::StoreDamaged { path: path.into(), why };
        let value = strict_json::parse(&bytes, DEPTH_MAX).map_err(|e| damaged(e.to_string()))?;
        let record: Self = serde_json::from_value(value).map_err(|e| damaged(tame(&e.to_string())))?;
        record.descriptor.check().map_err(|e| damaged(e.to_string()))?;
        if layout::version(&record.descriptor.urn, &record.descriptor.version) != path {
            return Err(damaged("it is of another version than its place says".into()));
        }
        Ok(Some(record))
    }

    /// Whether another one is of the same component and manifest: only then may both be one version.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let (a, b) = (&self.descriptor, &other.descriptor);
        a.digest == b.digest && a.manifest == b.manifest
    }

    pub(crate) fn to_bytes(&self) -> Bytes {
        // Texts and numbers can always be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// What an index says of it, as long as it is not yanked.
    pub(crate) fn entry(&self) -> IndexEntry {
        let Descriptor {
            urn,
            version,
            manifest,
            receipt,
            digest,
            size_bytes,
        } = &self.descriptor;
        IndexEntry {
            component: *digest,
            manifest: Digest::of(manifest.as_bytes()),
            receipt: Digest::of(receipt.to_string().as_bytes()),
            size_bytes: *size_bytes,
            urn: urn.clone(),
            version: version.clone(),
            yanked: None,
        }
    }
}
