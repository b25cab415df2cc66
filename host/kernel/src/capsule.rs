//! An active capsule: what callers get to see and to call.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use kinetic_engine::{Capability, Function};
use kinetic_model::{Digest, InstanceMode, Limits};

use crate::admission::Loaded;
use crate::injection::Link;
use crate::intake::Intake;
use crate::life::Named;
use crate::stats::{Counts, Stats};
use crate::swap::Probation;
use crate::{Manifest, unix_ms};

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
    /// The id of the key that signed it; of several, with plus signs between them.
    pub signer: String,
    /// The limits its calls run under.
    pub limits: Limits,
    /// Limits it asked for above its ceiling.
    pub lowered: Vec<&'static str>,
    /// What runs.
    pub capability: Capability,
    /// When it became active, in milliseconds since 1970.
    pub activated_unix_ms: u64,
    /// SHA-256 of the manifest's text.
    pub manifest_digest: Digest,
    /// Its name in records.
    pub(crate) named: Named,
    /// What the receipts of all its calls begin with, written once.
    pub(crate) receipts_begin: OnceLock<Box<[u8]>>,
    /// Who provides what it requires.
    pub(crate) links: Arc<[Arc<Link>]>,
    /// The way in for calls.
    pub(crate) intake: Arc<Intake>,
    /// How its calls went.
    pub(crate) stats: Arc<Stats>,
    /// As long as its predecessor stands by.
    pub(crate) probation: ArcSwapOption<Probation>,
}

impl Capsule {
    /// An admitted component in its place.
    pub(crate) fn new(loaded: Loaded, generation: u64) -> Self {
        let named = Named {
            generation,
            ..loaded.named
        };
        Self {
            generation,
            manifest: loaded.manifest,
            manifest_digest: loaded.manifest_digest,
            digest: loaded.digest,
            size_bytes: loaded.size_bytes,
            signer: loaded.signer,
            limits: loaded.limits,
            lowered: loaded.lowered,
            capability: loaded.capability,
            links: loaded.links,
            activated_unix_ms: unix_ms(),
            named,
            receipts_begin: OnceLock::new(),
            intake: Arc::default(),
            stats: Arc::default(),
            probation: ArcSwapOption::empty(),
        }
    }

    /// The same generation under other limits: its calls are counted on, also those that run under the old ones.
    pub(crate) fn under(&self, limits: Limits) -> Self {
        let again = self.again(self.generation, limits);
        Self {
            activated_unix_ms: self.activated_unix_ms,
            intake: self.intake.clone(),
            stats: self.stats.clone(),
            probation: ArcSwapOption::new(self.probation.load_full()),
            ..again
        }
    }

    /// The same component as another generation.
    pub(crate) fn again(&self, generation: u64, limits: Limits) -> Self {
        let capability = if limits == self.limits {
            self.capability.clone()
        } else {
            self.capability.with_limits(limits)
        };
        let loaded = Loaded {
            digest: self.digest,
            size_bytes: self.size_bytes,
            manifest: self.manifest.clone(),
            manifest_digest: self.manifest_digest,
            signer: self.signer.clone(),
            limits,
            lowered: self.lowered.clone(),
            capability,
            links: self.links.clone(),
            named: self.named.clone(),
        };
        Self::new(loaded, generation)
    }

    /// Where its bytes came from: the local store, a registry by its name, whoever published it.
    pub fn source(&self) -> &str {
        &self.named.source
    }

    /// Whether one instance stays across its calls, and with it what they left.
    pub(crate) fn stays(&self) -> bool {
        self.manifest.instance == InstanceMode::Resident
    }

    /// How its calls went since it became active.
    pub fn counts(&self) -> Counts {
        self.stats.counts()
    }

    /// Calls that run now.
    pub fn calls_running(&self) -> u64 {
        self.intake.calls()
    }

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
