//! The signed index of a namespace in an OCI registry, and what lies beside a version: one artifact each.

use bytes::Bytes;
use kinetic_identity::INDEX_BYTES_MAX;
use kinetic_model::Digest;
use serde_json::Value;

use super::artifact::{Artifact, EMPTY_CONFIG_TEXT, OCI_MANIFEST, tag_of};
use super::{OCI_MANIFEST_BYTES_MAX, OciSource};
use crate::source::IndexAnswer;
use crate::{Descriptor, RegistryError, Source as _, wire};

/// The tag of an index. Unlike those of versions it moves.
const INDEX_TAG: &str = "index";
/// The media type of a list of artifacts.
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The largest list of referrers read, in bytes.
const REFERRERS_BYTES_MAX: u64 = 1_048_576;

impl OciSource {
    /// The index of a namespace, unless its digest is that tag.
    pub(super) async fn read_index(&self, namespace: &str, tag: Option<&str>) -> Result<IndexAnswer, RegistryError> {
        let repository = self.address.index_repository(namespace)?;
        let url = self.client.url(&repository, &["manifests", INDEX_TAG]);
        let response = match self.metadata(&repository, url, Some(OCI_MANIFEST), INDEX_TAG).await {
            Err(RegistryError::NotFound { .. }) => return Ok(IndexAnswer::Nothing),
            response => response?,
        };
        let artifact: Artifact = wire::read(response, self.name(), OCI_MANIFEST_BYTES_MAX).await?;
        let blob = artifact.index().map_err(|why| RegistryError::NotACapsule {
            origin: self.name().to_string(),
            what: format!("the index of {namespace}"),
            why,
        })?;
        let found = blob.digest.to_string();
        if tag == Some(found.as_str()) {
            return Ok(IndexAnswer::Same);
        }
        let bytes = self
            .small_blob(&repository, &blob, INDEX_BYTES_MAX as u64, "the index")
            .await?;
        Ok(IndexAnswer::Index {
            bytes: bytes.into(),
            tag: Some(found),
        })
    }

    /// Puts an index there, in the place of the one before.
    ///
    /// # Errors
    /// Those of reaching it.
    pub(crate) async fn put_index(&self, namespace: &str, bytes: Bytes) -> Result<(), RegistryError> {
        let repository = self.address.index_repository(namespace)?;
        let artifact = Artifact::of_index(&bytes).text();
        let artifact = artifact.map_err(|error| self.odd(crate::error::tame(&error.to_string())))?;
        for blob in [Bytes::from_static(EMPTY_CONFIG_TEXT), bytes] {
            self.push_blob(&repository, blob).await?;
        }
        // The tag comes last: where it is, everything is.
        self.put_manifest(&repository, INDEX_TAG, OCI_MANIFEST, &artifact)
            .await
            .map(drop)
    }

    /// Whether something was attached to a version: a referrer, or an entry in the list that stands for those.
    pub(super) async fn has_attached(&self, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let repository = self.address.repository(&descriptor.urn)?;
        let what = format!("{}@{}", descriptor.urn, descriptor.version);
        let url = self
            .client
            .url(&repository, &["manifests", &tag_of(&descriptor.version)]);
        let response = self.metadata(&repository, url, Some(OCI_MANIFEST), &what).await?;
        let text = wire::read_bytes(response, self.name(), OCI_MANIFEST_BYTES_MAX).await?;
        let digest = Digest::of(&text);
        let (listed, fallback) = (digest.to_string(), format!("sha256-{}", digest.hex()));
        for below in [["referrers", listed.as_str()], ["manifests", fallback.as_str()]] {
            let url = self.client.url(&repository, &below);
            let list: Value = match self.metadata(&repository, url, Some(OCI_INDEX), &what).await {
                Ok(response) => wire::read(response, self.name(), REFERRERS_BYTES_MAX).await?,
                Err(RegistryError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let entries = list.get("manifests").and_then(Value::as_array);
            if entries.is_some_and(|entries| !entries.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
