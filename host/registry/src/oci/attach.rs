//! What a component was made from, beside its artifact: a referrer, and an entry for it where a registry keeps no list.

use bytes::Bytes;
use kinetic_model::{Digest, Sorted};
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use serde_json::{Value, json};

use super::OciSource;
use super::artifact::{EMPTY_CONFIG, EMPTY_CONFIG_TEXT, OCI_MANIFEST};
use super::client::Access;
use crate::descriptor::at_most;
use crate::{RegistryError, Source as _, wire};

/// A bill of materials in CycloneDX's JSON.
const SBOM: &str = "application/vnd.cyclonedx+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The largest bill of materials, in bytes.
const SBOM_BYTES_MAX: u64 = 4_194_304;
/// The largest list of referrers read, in bytes.
const REFERRERS_BYTES_MAX: u64 = 1_048_576;

impl OciSource {
    /// Puts a bill of materials beside an artifact, given by its text, that may come later.
    pub(super) async fn attach(&self, repository: &str, artifact: &[u8], sbom: Bytes) -> Result<(), RegistryError> {
        at_most("the bill of materials", sbom.len() as u64, SBOM_BYTES_MAX)?;
        let empty = Bytes::from_static(EMPTY_CONFIG_TEXT);
        let subject = Digest::of(artifact);
        let referrer = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": SBOM,
            "config": blob(EMPTY_CONFIG, &empty),
            "layers": [blob(SBOM, &sbom)],
            "subject": blob(OCI_MANIFEST, artifact),
        });
        let referrer = text(&referrer);
        self.push_blob(repository, empty).await?;
        self.push_blob(repository, sbom).await?;
        let name = Digest::of(&referrer).to_string();
        let lists_itself = self.put_manifest(repository, &name, OCI_MANIFEST, &referrer).await?;
        if lists_itself {
            return Ok(());
        }
        let mut entry = blob(OCI_MANIFEST, &referrer);
        if let Some(members) = entry.as_object_mut() {
            members.insert("artifactType".into(), SBOM.into());
        }
        self.list_referrer(repository, &format!("sha256-{}", subject.hex()), entry)
            .await
    }

    /// Puts an entry into the list that stands for the one that a registry without such a list does not keep.
    async fn list_referrer(&self, repository: &str, tag: &str, entry: Value) -> Result<(), RegistryError> {
        let url = self.client.url(repository, &["manifests", tag]);
        let mut entries = match self.metadata(repository, url, Some(OCI_INDEX), tag).await {
            Ok(response) => {
                let index: Value = wire::read(response, self.name(), REFERRERS_BYTES_MAX).await?;
                index
                    .get("manifests")
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default()
            }
            Err(RegistryError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        if entries.iter().any(|other| other.get("digest") == entry.get("digest")) {
            return Ok(());
        }
        entries.push(entry);
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        self.put_manifest(repository, tag, OCI_INDEX, &text(&index)).await?;
        Ok(())
    }

    /// Puts a manifest there under a tag or its digest; whether the registry says that it lists it as a referrer.
    pub(super) async fn put_manifest(
        &self,
        repository: &str,
        name: &str,
        media_type: &'static str,
        text: &[u8],
    ) -> Result<bool, RegistryError> {
        let url = self.client.url(repository, &["manifests", name]);
        let text = Bytes::copy_from_slice(text);
        let timeout = self.client.metadata_timeout();
        let put = |http: &Client| {
            let request = http.put(url.clone()).timeout(timeout);
            request.header(CONTENT_TYPE, media_type).body(text.clone())
        };
        let response = self.client.send(repository, Access::Push, &put).await?;
        let response = self.client.accepted(response, "place for artifacts").await?;
        Ok(response.headers().contains_key(HeaderName::from_static("oci-subject")))
    }
}

/// How a manifest names bytes.
fn blob(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() })
}

fn text(value: &Value) -> Vec<u8> {
    // A value always has a text.
    serde_json::to_vec(&Sorted(value)).unwrap_or_default()
}
