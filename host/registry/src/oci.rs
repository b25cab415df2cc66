//! A registry of the OCI distribution protocol: capsules as artifacts, pulled and pushed.
//!
//! The URN is the repository, the version a tag. manifest.json is the artifact's config, the component its first layer,
//! the receipt its second. Tags can be moved and registries can lie, so nothing here is believed: what is fetched is
//! checked against the digests in the receipt by whoever loads it.

mod address;
mod artifact;
mod attach;
mod challenge;
mod client;
mod indexed;
mod promotion;
mod push;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use async_trait::async_trait;
use kinetic_identity::RECEIPT_BYTES_MAX;
use kinetic_model::{CapsuleRef, Digest, Pin, Urn};
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderValue, LINK};
use semver::Version;
use serde::Deserialize;
use serde_json::Value;

pub use self::address::OciAddress;
pub(crate) use self::address::{SCHEME, ip_of};
use self::artifact::{Artifact, Blob, OCI_MANIFEST, Parts, tag_of, version_of};
use self::client::{Access, OciClient};
use crate::credentials::Credentials;
use crate::descriptor::{at_most, read_json};
use crate::{
    Descriptor, Download, HttpOptions, IndexAnswer, MANIFEST_BYTES_MAX, RegistryError, Rest, Source, Summary, range,
    wire,
};

/// The largest OCI manifest read, in bytes; ours have less than one thousand.
const OCI_MANIFEST_BYTES_MAX: u64 = 65_536;
/// The largest page of tags read, in bytes.
const TAGS_BYTES_MAX: u64 = 1_048_576;
/// Tags asked for at once, and pages of them read at most.
const TAGS_PAGE: &str = "1000";
const TAG_PAGES_MAX: usize = 16;
/// Versions looked into for one with a certain digest: a registry has no index of them.
const DIGEST_VERSIONS_MAX: usize = 256;

/// An OCI registry.
pub(crate) struct OciSource {
    address: OciAddress,
    client: OciClient,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl OciSource {
    /// A client of the registry there. Nothing is sent yet, and no credentials are looked up before it asks for some.
    ///
    /// # Errors
    /// [`RegistryError::ClientFailed`].
    pub(crate) fn new(
        address: &OciAddress,
        credentials: Credentials,
        options: &HttpOptions,
    ) -> Result<Self, RegistryError> {
        Ok(Self {
            client: OciClient::new(address, credentials, options)?,
            address: address.clone(),
        })
    }

    /// Every version there is a tag for, oldest first.
    async fn tagged(&self, urn: &Urn, repository: &str) -> Result<BTreeSet<Version>, RegistryError> {
        let mut versions = BTreeSet::new();
        let mut url = self.client.url(repository, &["tags", "list"]);
        url.query_pairs_mut().append_pair("n", TAGS_PAGE);
        for _ in 0..TAG_PAGES_MAX {
            let response = self.metadata(repository, url.clone(), None, urn.as_str()).await?;
            let goes_on = response.headers().get(LINK).cloned();
            let page: Tags = wire::read(response, self.name(), TAGS_BYTES_MAX).await?;
            let tags = page.tags.unwrap_or_default();
            let of_urn = tags.iter().filter_map(|tag| version_of(tag));
            versions.extend(of_urn.filter(|version| version.major == urn.major()));
            let Some(link) = goes_on else {
                return Ok(versions);
            };
            // A list that breaks off would pass an older version for the newest.
            let next = next_query(&link, &url);
            let next = next.ok_or_else(|| self.odd("its list of tags goes on nowhere".to_string()))?;
            url.set_query(Some(&next));
        }
        Err(self.odd(format!("it has more than {TAG_PAGES_MAX} pages of tags for {urn}")))
    }

    fn odd(&self, why: String) -> RegistryError {
        RegistryError::NotAnAnswer {
            origin: self.name().to_string(),
            why,
        }
    }

    async fn metadata(
        &self,
        repository: &str,
        url: Url,
        accept: Option<&'static str>,
        what: &str,
    ) -> Result<reqwest::Response, RegistryError> {
        let timeout = self.client.metadata_timeout();
        let make = |http: &reqwest::Client| {
            let request = http.get(url.clone()).timeout(timeout);
            match accept {
                Some(accept) => request.header(ACCEPT, accept),
                None => request,
            }
        };
        let response = self.client.send(repository, Access::Pull, &make).await?;
        self.client.accepted(response, what).await
    }

    /// What the tag of a version points to.
    async fn parts(&self, repository: &str, urn: &Urn, version: &Version) -> Result<Parts, RegistryError> {
        let what = format!("{urn}@{version}");
        let url = self.client.url(repository, &["manifests", &tag_of(version)]);
        let response = self.metadata(repository, url, Some(OCI_MANIFEST), &what).await?;
        let artifact: Artifact = wire::read(response, self.name(), OCI_MANIFEST_BYTES_MAX).await?;
        artifact.parts().map_err(|why| RegistryError::NotACapsule {
            origin: self.name().to_string(),
            what,
            why,
        })
    }

    /// Manifest and receipt of a version, and what its component is.
    async fn descriptor(
        &self,
        repository: &str,
        urn: &Urn,
        version: Version,
        parts: Parts,
    ) -> Result<Descriptor, RegistryError> {
        let manifest = self
            .small_blob(repository, &parts.manifest, MANIFEST_BYTES_MAX, "the manifest")
            .await?;
        let receipt = self
            .small_blob(repository, &parts.receipt, RECEIPT_BYTES_MAX as u64, "the receipt")
            .await?;
        let no_capsule = |why: String| RegistryError::NotACapsule {
            origin: self.name().to_string(),
            what: format!("{urn}@{version}"),
            why,
        };
        let manifest = String::from_utf8(manifest).map_err(|_| no_capsule("its manifest is not UTF-8".into()))?;
        let receipt: Value = read_json(&receipt).map_err(|why| no_capsule(format!("its receipt: {why}")))?;
        let descriptor = Descriptor {
            urn: urn.clone(),
            version,
            manifest,
            receipt,
            digest: parts.component.digest,
            size_bytes: parts.component.size,
        };
        descriptor.check()?;
        Ok(descriptor)
    }

    /// A blob that is held in memory, checked against what the artifact says of it.
    async fn small_blob(
        &self,
        repository: &str,
        blob: &Blob,
        bytes_max: u64,
        what: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        at_most(what, blob.size, bytes_max)?;
        let origin = || self.name().to_string();
        let timeout = self.client.metadata_timeout();
        let response = self
            .client
            .blob(repository, &blob.digest, timeout, &Rest::default())
            .await;
        let response = response.map_err(|error| match error {
            // Its artifact is there, so it is not one that has nothing: a farther registry would be asked, or the tag be
            // taken for a free one.
            RegistryError::NotFound { .. } => RegistryError::Truncated {
                origin: origin(),
                expected_bytes: blob.size,
                found_bytes: 0,
            },
            other => other,
        })?;
        wire::announces(&response, self.name(), blob.size)?;
        let bytes = wire::read_bytes(response, self.name(), blob.size).await?;
        if bytes.len() as u64 != blob.size {
            return Err(RegistryError::Truncated {
                origin: origin(),
                expected_bytes: blob.size,
                found_bytes: bytes.len() as u64,
            });
        }
        let found = Digest::of(&bytes);
        if found != blob.digest {
            return Err(RegistryError::DigestMismatch {
                origin: origin(),
                expected: blob.digest.to_string(),
                found: found.to_string(),
            });
        }
        Ok(bytes)
    }

    /// The version whose component has that digest, among the newest.
    async fn with_digest(
        &self,
        repository: &str,
        what: &CapsuleRef,
        digest: &Digest,
    ) -> Result<(Version, Parts), RegistryError> {
        let versions = self.tagged(&what.urn, repository).await?;
        for version in versions.into_iter().rev().take(DIGEST_VERSIONS_MAX) {
            match self.parts(repository, &what.urn, &version).await {
                Ok(parts) if parts.component.digest == *digest => return Ok((version, parts)),
                // Under other tags there may be anything.
                Ok(_) | Err(RegistryError::NotACapsule { .. } | RegistryError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.not_found(what))
    }

    fn not_found(&self, what: &CapsuleRef) -> RegistryError {
        RegistryError::NotFound {
            what: what.to_string(),
            origin: self.name().to_string(),
        }
    }
}

/// The query of the page behind that one. Nothing else is taken of what is named: this registry is asked, and nobody else.
fn next_query(link: &HeaderValue, at: &Url) -> Option<String> {
    let (_, target) = link.to_str().ok()?.split_once('<')?;
    let (target, _) = target.split_once('>')?;
    at.join(target).ok()?.query().map(str::to_string)
}

#[async_trait]
impl Source for OciSource {
    fn name(&self) -> &str {
        self.client.name()
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let urn = &what.urn;
        let repository = self.address.repository(urn)?;
        let (version, parts) = match &what.pin {
            Pin::Version(version) => (version.clone(), self.parts(&repository, urn, version).await?),
            Pin::Digest(digest) => self.with_digest(&repository, what, digest).await?,
            Pin::Active => {
                let versions = self.tagged(urn, &repository).await?;
                let released = versions.iter().rev().find(|version| version.pre.is_empty());
                let newest = released.or_else(|| versions.last()).cloned();
                let newest = newest.ok_or_else(|| self.not_found(what))?;
                let parts = self.parts(&repository, urn, &newest).await;
                let parts = parts.map_err(|error| match error {
                    // Listed, so it is damage and no reason to ask somebody else.
                    RegistryError::NotFound { .. } => {
                        self.odd(format!("it lists version {newest} of {urn} and has none"))
                    }
                    other => other,
                })?;
                (newest, parts)
            }
        };
        self.descriptor(&repository, urn, version, parts).await
    }

    async fn download(&self, descriptor: &Descriptor, rest: &Rest) -> Result<Download, RegistryError> {
        let repository = self.address.repository(&descriptor.urn)?;
        let timeout = self.client.component_timeout();
        let response = self.client.blob(&repository, &descriptor.digest, timeout, rest).await?;
        range::stream(response, self.name(), descriptor.size_bytes, rest)
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        Err(RegistryError::CannotList {
            origin: self.name().to_string(),
        })
    }

    async fn versions(&self, urn: &Urn) -> Result<Vec<Version>, RegistryError> {
        let repository = self.address.repository(urn)?;
        match self.tagged(urn, &repository).await {
            Ok(versions) => Ok(versions.into_iter().collect()),
            Err(RegistryError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn index(&self, namespace: &str, tag: Option<&str>) -> Result<IndexAnswer, RegistryError> {
        self.read_index(namespace, tag).await
    }

    async fn has_sbom(&self, descriptor: &Descriptor) -> Result<Option<bool>, RegistryError> {
        self.has_attached(descriptor).await.map(Some)
    }
}
