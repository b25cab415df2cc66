//! An active capsule: what callers get to see and to call.

use std::sync::OnceLock;

use kinetic_engine::{Capability, Function};
use kinetic_model::{Digest, Limits};

use crate::Manifest;

/// A capsule that was admitted. Immutable: a new version is a new capsule with a higher generation.
#[derive(Debug)]
pub struct Capsule {
    /// Its manifest, as signed.
    pub manifest: Manifest,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Size of the component, in bytes.
    pub size_bytes: u64,
    /// Counts the activations of this URN on this host, from 1.
    pub generation: u64,
    /// The id of the key that signed it.
    pub signer: String,
    /// The limits its calls run under.
    pub limits: Limits,
    /// Limits it asked for above its ceiling.
    pub lowered: Vec<&'static str>,
    /// What runs.
    pub capability: Capability,
    /// When it became active, in milliseconds since 1970.
    pub activated_unix_ms: u64,
    /// What the receipts of all its calls begin with, written once.
    pub(crate) receipts_begin: OnceLock<Box<[u8]>>,
}

impl Capsule {
    /// What a function does: the manifest's words, else the component's doc comment, else what the capsule does.
    pub fn describe(&self, function: &Function) -> String {
        let text = self
            .manifest
            .functions
            .get(&function.name)
            .and_then(|text| text.description.clone());
        text.or_else(|| function.docs.clone())
            .unwrap_or_else(|| self.manifest.description.clone())
    }

    /// A short name of a function for people.
    pub fn title(&self, function: &Function) -> String {
        let text = self
            .manifest
            .functions
            .get(&function.name)
            .and_then(|text| text.title.clone());
        let capsule = || {
            self.manifest
                .title
                .clone()
                .unwrap_or_else(|| self.manifest.id.name().to_string())
        };
        text.unwrap_or_else(|| format!("{}: {}", capsule(), function.name))
    }
}
