//! Promotions in an OCI registry: one artifact for each version, with the signed envelope as its only layer.

use bytes::Bytes;
use kinetic_identity::{PROMOTION_BYTES_MAX, Promotion};
use kinetic_model::{CapsuleRef, Digest, Pin, Sorted};
use serde::Deserialize;
use serde_json::json;

use super::artifact::{Blob, OCI_MANIFEST, tag_of};
use super::{OCI_MANIFEST_BYTES_MAX, OciSource};
use crate::error::tame;
use crate::promotion::{agree, kept, newest, not_found, reference, taken};
use crate::{RegistryError, Source as _, wire};

/// What an artifact is that is a promotion.
const PROMOTION: &str = "application/vnd.kinetic.promotion.v1+json";
/// Its layer: a DSSE envelope.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

/// What the manifest says that matters here; nothing is believed because it stands here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    #[serde(default)]
    artifact_type: String,
    layers: Vec<Blob>,
}

impl OciSource {
    /// The promotion that a reference means; without a pin the highest version that is no pre-release. Who signed it is for
    /// the caller to check.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::BadPromotion`] when there is something else, and those of reaching it.
    pub(crate) async fn promotion(&self, what: &CapsuleRef) -> Result<Promotion, RegistryError> {
        let repository = self.address.repository(&what.urn)?;
        let missing = || not_found(self.name(), what);
        let version = match &what.pin {
            Pin::Version(version) => version.clone(),
            Pin::Active => newest(self.tagged(&what.urn, &repository).await?).ok_or_else(missing)?,
            Pin::Digest(_) => return Err(missing()),
        };
        let url = self.client.url(&repository, &["manifests", &tag_of(&version)]);
        let meant = CapsuleRef {
            urn: what.urn.clone(),
            pin: Pin::Version(version),
        };
        let asked = format!("promotion {meant}");
        let response = self.metadata(&repository, url, Some(OCI_MANIFEST), &asked).await?;
        let artifact: Artifact = wire::read(response, self.name(), OCI_MANIFEST_BYTES_MAX).await?;
        let [layer] = artifact.layers.as_slice() else {
            return Err(self.no_promotion(&meant, "it has not exactly one layer".into()));
        };
        if artifact.artifact_type != PROMOTION {
            let why = format!(
                "its artifactType is \"{}\" and not {PROMOTION}",
                tame(&artifact.artifact_type)
            );
            return Err(self.no_promotion(&meant, why));
        }
        let bytes = self.small_blob(&repository, layer, PROMOTION_BYTES_MAX as u64, "the promotion");
        kept(self.name(), &meant, &bytes.await?)
    }

    /// Pushes a promotion. The same again succeeds; another topology under the same name is refused.
    ///
    /// # Errors
    /// [`RegistryError::PromotionTaken`], [`RegistryError::NoOciName`], and those of reaching it.
    pub(crate) async fn publish_promotion(&self, promotion: &Promotion) -> Result<(), RegistryError> {
        match self.has_promotion(promotion).await {
            Err(RegistryError::NotFound { .. }) => {}
            there => return there,
        }
        let repository = self.address.repository(promotion.urn())?;
        let envelope = Bytes::from(promotion.to_json());
        let blob = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len() });
        let artifact = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": PROMOTION,
            "config": blob(EMPTY_CONFIG, EMPTY),
            "layers": [blob(ENVELOPE, &envelope)],
            "annotations": {
                "org.opencontainers.image.title": promotion.urn(),
                "org.opencontainers.image.version": promotion.version(),
            },
        });
        // A value always has a text.
        let artifact = serde_json::to_vec(&Sorted(&artifact)).unwrap_or_default();
        for bytes in [Bytes::from_static(EMPTY), envelope] {
            self.push_blob(&repository, bytes).await?;
        }
        // The tag comes last: where it is, everything is.
        let tag = tag_of(promotion.version());
        self.put_manifest(&repository, &tag, OCI_MANIFEST, &artifact).await?;
        // Tags can be moved: whoever was the earlier one of two at the same moment is told.
        self.has_promotion(promotion).await
    }

    async fn has_promotion(&self, promotion: &Promotion) -> Result<(), RegistryError> {
        match self.promotion(&reference(promotion)).await {
            Ok(there) => agree(self.name(), &there, promotion),
            // The tag is taken by something else.
            Err(RegistryError::BadPromotion { .. }) => Err(taken(self.name(), promotion, "no promotion")),
            Err(error) => Err(error),
        }
    }

    fn no_promotion(&self, what: &CapsuleRef, why: String) -> RegistryError {
        RegistryError::BadPromotion {
            origin: self.name().to_string(),
            what: what.to_string(),
            why,
        }
    }
}
