//! A source under the name its registry has here, which answers in time or not at all.

use std::sync::Arc;

use async_trait::async_trait;
use kinetic_model::{CapsuleRef, Urn};
use semver::Version;

use crate::{Descriptor, Download, FoundThere, IndexAnswer, Patience, RegistryError, Rest, Source, Summary};

/// A source under the name its registry has here.
pub(super) struct Named {
    pub(super) label: String,
    pub(super) source: Arc<dyn Source>,
    pub(super) patience: Patience,
}

impl Named {
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, RegistryError>> + Send,
    ) -> Result<T, RegistryError> {
        let answer = tokio::time::timeout(self.patience.answer, answer).await;
        answer.unwrap_or_else(|_| {
            Err(RegistryError::SourceTimeout {
                origin: self.label.clone(),
            })
        })
    }
}

#[async_trait]
impl Source for Named {
    fn name(&self) -> &str {
        &self.label
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        self.in_time(self.source.describe(what)).await
    }

    async fn download(&self, descriptor: &Descriptor, rest: &Rest) -> Result<Download, RegistryError> {
        self.source.download(descriptor, rest).await
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        self.source.list().await
    }

    async fn versions(&self, urn: &Urn) -> Result<Vec<Version>, RegistryError> {
        self.in_time(self.source.versions(urn)).await
    }

    async fn index(&self, namespace: &str, tag: Option<&str>) -> Result<IndexAnswer, RegistryError> {
        self.in_time(self.source.index(namespace, tag)).await
    }

    async fn search(&self, words: &str, limit: usize) -> Result<Option<Vec<FoundThere>>, RegistryError> {
        self.in_time(self.source.search(words, limit)).await
    }

    async fn has_sbom(&self, descriptor: &Descriptor) -> Result<Option<bool>, RegistryError> {
        self.in_time(self.source.has_sbom(descriptor)).await
    }
}
