//! A registry of a host, and what it is asked by, made at the first question.

use std::sync::{Arc, OnceLock};

use super::entry::Registry;
use super::named::Named;
use crate::{Patience, RegistryError, Source};

/// A registry, and what to ask it by.
pub(super) struct Member {
    pub(super) registry: Registry,
    patience: Patience,
    source: OnceLock<Arc<dyn Source>>,
}

impl Member {
    /// One that nothing was asked of yet.
    pub(super) const fn new(registry: Registry, patience: Patience) -> Self {
        Self {
            registry,
            patience,
            source: OnceLock::new(),
        }
    }

    pub(super) fn source(&self) -> Result<Arc<dyn Source>, RegistryError> {
        if let Some(source) = self.source.get() {
            return Ok(source.clone());
        }
        // Not kept when it fails: a file or a variable that is missing may be there at the next question.
        let named = Named {
            label: self.registry.label(),
            source: self.registry.open()?,
            patience: self.patience,
        };
        Ok(self.source.get_or_init(|| Arc::new(named)).clone())
    }

    pub(super) fn has(&self, namespace: &str) -> bool {
        self.registry.namespaces.iter().any(|name| name == namespace)
    }
}
