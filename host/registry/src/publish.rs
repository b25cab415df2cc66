//! Publishing to a remote registry: manifest, receipt and component in one request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinetic_model::{Digest, Urn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{HttpSource, RegistryError, Source as _, wire};

/// The largest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 65_536;

/// What a registry says it stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The capability.
    pub urn: Urn,
    /// Its version.
    pub version: semver::Version,
    /// SHA-256 of the component.
    pub digest: Digest,
}

#[derive(Serialize)]
struct Publication<'a> {
    manifest: &'a str,
    receipt: &'a Value,
    component: String,
}

impl HttpSource {
    /// Publishes one version: `POST /publish` with the exact text of manifest.json, its receipt and the component.
    ///
    /// # Errors
    /// [`RegistryError::SourceConflict`], [`RegistryError::SourceRefuses`], [`RegistryError::SourceForbids`] and
    /// [`RegistryError::SourceUnauthenticated`] carry the registry's own code and words;
    /// [`RegistryError::OtherThanAsked`] when it stored something else.
    pub async fn publish(&self, manifest: &str, receipt: &Value, component: &[u8]) -> Result<Published, RegistryError> {
        self.send(manifest, receipt, component, true).await
    }

    /// As [`HttpSource::publish`], but the version does not become active by it: a swap comes later.
    ///
    /// # Errors
    /// As [`HttpSource::publish`]'s.
    pub async fn stage(&self, manifest: &str, receipt: &Value, component: &[u8]) -> Result<Published, RegistryError> {
        self.send(manifest, receipt, component, false).await
    }

    async fn send(
        &self,
        manifest: &str,
        receipt: &Value,
        component: &[u8],
        activate: bool,
    ) -> Result<Published, RegistryError> {
        let publication = Publication {
            manifest,
            receipt,
            component: STANDARD.encode(component),
        };
        let mut url = self.url(&["publish"]);
        if !activate {
            url.set_query(Some("activate=false"));
        }
        let request = self.client.post(url).json(&publication);
        let response = wire::send(request, self.name(), "route to publish to").await?;
        let published: Published = wire::read(response, self.name(), ANSWER_BYTES_MAX).await?;
        let asked = Digest::of(component);
        if published.digest != asked {
            let (asked, found) = (asked.to_string(), published.digest.to_string());
            return Err(RegistryError::OtherThanAsked {
                origin: self.name().to_string(),
                asked,
                found,
            });
        }
        Ok(published)
    }
}
