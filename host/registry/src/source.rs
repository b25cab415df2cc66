//! Where capsules come from: the trait that a folder and a remote registry share.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use kinetic_model::CapsuleRef;

use crate::{Descriptor, RegistryError, Summary};

/// Bytes as they arrive, in chunks of any size.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, RegistryError>> + Send>>;

/// A place that holds capsules. Whatever it answers is checked by the caller.
#[async_trait]
pub trait Source: Send + Sync {
    /// What people call it: a folder or a base URL.
    fn name(&self) -> &str;

    /// What it knows about one version; without a pin, the highest of that major that is no pre-release.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], and those of reaching it.
    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError>;

    /// The component's bytes; use [`fetch`](crate::fetch()) to get them checked.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], and those of reaching it.
    async fn download(&self, descriptor: &Descriptor) -> Result<ByteStream, RegistryError>;

    /// Every version it holds, sorted by URN, then by version.
    ///
    /// # Errors
    /// Those of reaching it.
    async fn list(&self) -> Result<Vec<Summary>, RegistryError>;
}
