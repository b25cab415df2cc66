//! Promotions of a registry, wherever it is.

use kinetic_identity::Promotion;
use kinetic_model::CapsuleRef;

use super::Registry;
use crate::credentials::Credentials;
use crate::oci::OciSource;
use crate::registries::Place;
use crate::store::blocking;
use crate::{FolderSource, FolderStore, HttpSource, RegistryError};

impl Registry {
    /// The promotion that a reference means; without a pin the highest version that is no pre-release. Who signed it is for
    /// the caller to check.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::BadPromotion`], and those of reaching it.
    pub async fn promotion(&self, what: &CapsuleRef) -> Result<Promotion, RegistryError> {
        match &self.place {
            Place::Oci(address) => {
                let credentials = Credentials::of(self.token_env.as_deref());
                let source = OciSource::new(address, credentials, &self.options()?)?;
                source.promotion(what).await
            }
            Place::Http(url) => HttpSource::new(url, &self.with_token(url)?)?.promotion(what).await,
            Place::Folder(path) => FolderSource::new(path).promotion(what).await,
        }
    }

    /// Publishes a promotion. What is there already stays as it is: the same topology again succeeds.
    ///
    /// # Errors
    /// [`RegistryError::PromotionTaken`] or [`RegistryError::SourceConflict`] when its name has another topology, and those
    /// of reaching it.
    pub async fn publish_promotion(&self, promotion: &Promotion) -> Result<(), RegistryError> {
        match &self.place {
            Place::Oci(address) => {
                let credentials = Credentials::of(self.token_env.as_deref());
                let source = OciSource::new(address, credentials, &self.options()?)?;
                source.publish_promotion(promotion).await
            }
            Place::Http(url) => {
                let source = HttpSource::new(url, &self.with_token(url)?)?;
                source.publish_promotion(promotion).await
            }
            Place::Folder(path) => {
                let path = path.clone();
                let store = blocking(move || FolderStore::open(&path, u64::MAX)).await?;
                store.put_promotion(promotion.clone()).await
            }
        }
    }
}
