//! Where capsules come from: the trait that a folder and a remote registry share.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, stream};
use kinetic_model::{CapsuleRef, Digest, Urn};
use semver::Version;
use serde::Deserialize;
use serde_json::Value;

use crate::{Descriptor, Patience, RegistryError, Summary};

/// Bytes as they arrive, in chunks of any size.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, RegistryError>> + Send>>;

/// What of a component is wanted: the rest of it, when something came before and the connection broke.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// The first byte that is wanted; 0 by default, which is all of them.
    pub from_byte: u64,
    /// How the source named the content that the bytes before were of, if it did: a strong entity tag (RFC 9110, 8.8.3).
    pub tag: Option<String>,
}

/// A download that began.
pub struct Download {
    /// The first byte that comes: the one that was wanted, or 0 where the source begins anew.
    pub from_byte: u64,
    /// How the source names the content, if it does.
    pub tag: Option<String>,
    /// The bytes from there to the end.
    pub bytes: ByteStream,
}

impl Download {
    /// Bytes that are all here.
    pub fn whole(bytes: Bytes) -> Self {
        Self {
            from_byte: 0,
            tag: None,
            bytes: Box::pin(stream::iter([Ok(bytes)])),
        }
    }
}

/// What a place answers that is asked for the index of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexAnswer {
    /// It has none.
    Nothing,
    /// It has the one that whoever asked has already.
    Same,
    /// It has this one.
    Index {
        /// The signed index, as JSON.
        bytes: Bytes,
        /// What to say the next time, so that the same one is not sent again; none where nothing is saved by it.
        tag: Option<String>,
    },
}

/// A version that a place found by words.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FoundThere {
    /// The capability.
    pub urn: Urn,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// How well it fits, by the place's own measure.
    #[serde(default)]
    pub score: u64,
    /// Why it was found, in the place's own words.
    #[serde(default)]
    pub why: Value,
}

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

    /// How long it is waited for; as long as is usual by default.
    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// Whether its bytes lie on this machine and are this process's own, so that keeping them elsewhere saves nothing.
    /// Not so by default.
    fn is_here(&self) -> bool {
        false
    }

    /// The component's bytes, or the rest of them; use [`fetch`](crate::fetch()) to get them whole and checked.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], and those of reaching it.
    async fn download(&self, descriptor: &Descriptor, rest: &Rest) -> Result<Download, RegistryError>;

    /// Every version it holds, sorted by URN, then by version.
    ///
    /// # Errors
    /// Those of reaching it.
    async fn list(&self) -> Result<Vec<Summary>, RegistryError>;

    /// The versions it holds of one URN, oldest first; none where it holds nothing of it.
    ///
    /// # Errors
    /// Those of reaching it.
    async fn versions(&self, urn: &Urn) -> Result<Vec<Version>, RegistryError> {
        let mut versions: Vec<_> = self.list().await?.into_iter().filter(|held| held.urn == *urn).collect();
        versions.sort_by(|a, b| a.version.cmp(&b.version));
        Ok(versions.into_iter().map(|held| held.version).collect())
    }

    /// The signed index of a namespace, unless it is the one of that tag. What has none of its own answers that.
    ///
    /// # Errors
    /// Those of reaching it.
    async fn index(&self, _namespace: &str, _tag: Option<&str>) -> Result<IndexAnswer, RegistryError> {
        Ok(IndexAnswer::Nothing)
    }

    /// What it finds by words, best first; none where it has no search of its own.
    ///
    /// # Errors
    /// Those of reaching it.
    async fn search(&self, _words: &str, _limit: usize) -> Result<Option<Vec<FoundThere>>, RegistryError> {
        Ok(None)
    }

    /// Whether a bill of materials lies beside a version; none where the place keeps no such thing.
    ///
    /// # Errors
    /// Those of reaching it.
    async fn has_sbom(&self, _descriptor: &Descriptor) -> Result<Option<bool>, RegistryError> {
        Ok(None)
    }
}
