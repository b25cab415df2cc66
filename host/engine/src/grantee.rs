//! Who a load is for: the capsule as providers see it, and all that decides how its component is admitted.

use std::sync::Arc;

use kinetic_model::{Determinism, Digest, ImportGrant, InstanceMode, Limits, ModelError, TrustZone, Urn};
use semver::Version;

use crate::Peer;

/// A capsule as engine and providers see it. Everything here was verified before; nothing is the guest's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grantee {
    /// Its name.
    pub urn: Urn,
    /// Its version.
    pub version: Version,
    /// The digest of its component's bytes.
    pub digest: Digest,
    /// The determinism it promises; decides its engine profile.
    pub determinism: Determinism,
    /// How far it is trusted.
    pub trust_zone: TrustZone,
    /// What its calls run in.
    pub instance: InstanceMode,
}

impl Grantee {
    /// A component that came without a manifest: no name anybody else has, no promise, the least trust.
    ///
    /// # Errors
    /// Never in practice: the built-in name is a valid one.
    pub fn unnamed(digest: Digest) -> Result<Self, ModelError> {
        Ok(Self {
            urn: "urn:unnamed:actionspace:node:component:v0".parse()?,
            version: Version::new(0, 0, 0),
            digest,
            determinism: Determinism::NxExperimental,
            trust_zone: TrustZone::Ephemeral,
            instance: InstanceMode::Fresh,
        })
    }
}

/// What [`crate::Engine::load`] admits a component with.
#[derive(Clone, Copy, Debug)]
pub struct Admit<'a> {
    /// Who it is for; its digest must be that of the bytes, and the caller has verified it.
    pub capsule: &'a Grantee,
    /// What it may import beyond inert WASI.
    pub grants: &'a [ImportGrant],
    /// Other capsules that answer for imports.
    pub peers: &'a [Arc<dyn Peer>],
    /// The limits its calls run under; the engine's ceiling holds above them.
    pub limits: &'a Limits,
}
