//! Publishing to a registry by its name: whether it may be, what is there already, and the publishing itself.

use async_trait::async_trait;
use bytes::Bytes;
use kinetic_identity::Promotion;
use kinetic_model::CapsuleRef;

use super::Registries;
use crate::{Descriptor, RegistryError};

/// Registries by name as those see them who deliver to them later.
#[async_trait]
pub trait Publish: Send + Sync {
    /// Passes when there is a registry of that name, and it may hold capsules of that namespace. Nothing is sent.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchRegistry`], [`RegistryError::NotForNamespace`], or a file of registries with a mistake in it.
    fn permits(&self, registry: &str, namespace: &str) -> Result<(), RegistryError>;

    /// What the registry has as this version; none when it has nothing. Where an index is asked for it must not say
    /// otherwise; that it does not list the version yet is no objection, as it is made of what is there.
    ///
    /// # Errors
    /// As [`Publish::permits`]'s, and those of asking; [`RegistryError::NotAsIndexed`].
    async fn held(&self, registry: &str, what: &CapsuleRef) -> Result<Option<Descriptor>, RegistryError>;

    /// Publishes a signed capsule. The same again succeeds.
    ///
    /// # Errors
    /// As [`Registry::publish`](crate::Registry::publish)'s.
    async fn publish(&self, registry: &str, descriptor: &Descriptor, component: Bytes) -> Result<(), RegistryError>;

    /// The promotion that the registry has as this version; none when it has nothing.
    ///
    /// # Errors
    /// As [`Publish::permits`]'s, and those of asking.
    async fn held_promotion(&self, registry: &str, what: &CapsuleRef) -> Result<Option<Promotion>, RegistryError>;

    /// Publishes a promotion. The same again succeeds.
    ///
    /// # Errors
    /// As [`Registry::publish_promotion`](crate::Registry::publish_promotion)'s.
    async fn publish_promotion(&self, registry: &str, promotion: &Promotion) -> Result<(), RegistryError>;
}

#[async_trait]
impl Publish for Registries {
    fn permits(&self, registry: &str, namespace: &str) -> Result<(), RegistryError> {
        self.named(registry, namespace).map(drop)
    }

    async fn held(&self, registry: &str, what: &CapsuleRef) -> Result<Option<Descriptor>, RegistryError> {
        match self.held_in(registry, what).await {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn publish(&self, registry: &str, descriptor: &Descriptor, component: Bytes) -> Result<(), RegistryError> {
        let registry = self.named(registry, descriptor.urn.namespace())?;
        registry.publish(descriptor, component, None).await
    }

    async fn held_promotion(&self, registry: &str, what: &CapsuleRef) -> Result<Option<Promotion>, RegistryError> {
        let registry = self.named(registry, what.urn.namespace())?;
        let answer = tokio::time::timeout(self.patience.answer, registry.promotion(what)).await;
        match answer {
            Ok(Ok(promotion)) => Ok(Some(promotion)),
            Ok(Err(RegistryError::NotFound { .. })) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RegistryError::SourceTimeout {
                origin: registry.label(),
            }),
        }
    }

    async fn publish_promotion(&self, registry: &str, promotion: &Promotion) -> Result<(), RegistryError> {
        let registry = self.named(registry, promotion.urn().namespace())?;
        registry.publish_promotion(promotion).await
    }
}
