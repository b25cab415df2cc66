//! Pushing a capsule: its blobs, then the artifact that names them, then a look at what is there.

use bytes::Bytes;
use kinetic_model::{CapsuleRef, Digest, Pin, Sorted};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};

use super::OciSource;
use super::artifact::{Artifact, OCI_MANIFEST, tag_of};
use super::client::Access;
use crate::{Descriptor, RegistryError, Source as _};

const OCTETS: &str = "application/octet-stream";

impl OciSource {
    /// Pushes one version, and beside it the bill of materials that there may be. What is there already stays as it is:
    /// pushing the same again succeeds, and anything else under the same version is refused.
    ///
    /// OCI's tags can be moved, so two who push different things at the very same time may both get through up to the
    /// last step; then it is looked at who was the later one, and the other is told.
    ///
    /// # Errors
    /// [`RegistryError::VersionTaken`], [`RegistryError::NoOciName`], and those of reaching it.
    pub(crate) async fn publish(
        &self,
        descriptor: &Descriptor,
        component: Bytes,
        sbom: Option<Bytes>,
    ) -> Result<(), RegistryError> {
        descriptor.check()?;
        match self.is_there(descriptor).await {
            Err(RegistryError::NotFound { .. }) => {}
            there => return there,
        }
        let repository = self.address.repository(&descriptor.urn)?;
        let bad = |error: serde_json::Error| RegistryError::BadDescriptor {
            why: crate::error::tame(&error.to_string()),
        };
        let receipt = serde_json::to_vec(&Sorted(&descriptor.receipt)).map_err(bad)?;
        let artifact = Artifact::of(descriptor, &receipt).text().map_err(bad)?;
        let manifest = Bytes::copy_from_slice(descriptor.manifest.as_bytes());
        for blob in [component, manifest, receipt.into()] {
            self.push_blob(&repository, blob).await?;
        }
        // The tag comes last: where it is, everything is.
        if let Some(sbom) = sbom {
            self.attach(&repository, &artifact, sbom).await?;
        }
        let tag = tag_of(&descriptor.version);
        self.put_manifest(&repository, &tag, OCI_MANIFEST, &artifact).await?;
        self.is_there(descriptor).await
    }

    /// Whether the registry has just this under this version.
    async fn is_there(&self, descriptor: &Descriptor) -> Result<(), RegistryError> {
        let what = CapsuleRef {
            urn: descriptor.urn.clone(),
            pin: Pin::Version(descriptor.version.clone()),
        };
        let there = match self.describe(&what).await {
            // The tag is taken by something else.
            Err(RegistryError::NotACapsule { .. }) => None,
            there => Some(there?),
        };
        if there.is_some_and(|there| there.digest == descriptor.digest && there.manifest == descriptor.manifest) {
            return Ok(());
        }
        let (urn, version) = (descriptor.urn.to_string(), descriptor.version.to_string());
        Err(RegistryError::VersionTaken { urn, version })
    }

    /// Puts a blob there, unless it is.
    pub(super) async fn push_blob(&self, repository: &str, bytes: Bytes) -> Result<(), RegistryError> {
        let digest = Digest::of(&bytes).to_string();
        let timeout = self.client.metadata_timeout();
        let at = self.client.url(repository, &["blobs", &digest]);
        let head = |http: &Client| http.head(at.clone()).timeout(timeout);
        let response = self.client.send(repository, Access::Push, &head).await?;
        // One that keeps its blobs elsewhere points there.
        if response.status().is_success() || response.status().is_redirection() {
            return Ok(());
        }
        if response.status() != StatusCode::NOT_FOUND {
            self.client.accepted(response, "place for blobs").await?;
        }
        let uploads = self.client.url(repository, &["blobs", "uploads", ""]);
        let begin = |http: &Client| http.post(uploads.clone()).timeout(timeout);
        let response = self.client.send(repository, Access::Push, &begin).await?;
        let response = self.client.accepted(response, "place for blobs").await?;
        let mut to = self.client.location(&response, &uploads)?;
        if !self.client.is_own(&to) {
            // The credentials go along, so it must be the same place.
            to.set_query(None);
            return Err(RegistryError::Redirected {
                origin: self.client.name().to_string(),
                location: crate::error::tame(to.as_str()),
            });
        }
        to.query_pairs_mut().append_pair("digest", &digest);
        let put = |http: &Client| {
            let request = http.put(to.clone()).header(CONTENT_TYPE, OCTETS);
            request.body(bytes.clone())
        };
        let response = self.client.send(repository, Access::Push, &put).await?;
        self.client.accepted(response, "place for blobs").await?;
        Ok(())
    }
}
