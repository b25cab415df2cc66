//! What resolution knows of a capsule: its manifest's words and its standing on this host.

use std::fmt;

use kinetic_model::{Digest, Urn};
use semver::Version;

use super::{Exact, Interface};
use crate::{Governance, KernelError, Manifest};

/// How a capsule stands on this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It is the version its URN means now.
    pub(crate) active: bool,
    /// The operator named it as the provider.
    pub(crate) bound: bool,
}

/// A capsule that may be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) urn: Urn,
    pub(crate) version: Version,
    pub(crate) digest: Digest,
    pub(crate) provides: Vec<Interface>,
    /// Sorted, each once: the order in which requirements are met decides between equals.
    pub(crate) requires: Vec<Interface>,
    pub(crate) governance: Governance,
    pub(crate) standing: Standing,
}

impl Known {
    /// What the manifest says, and how the capsule stands.
    ///
    /// # Errors
    /// `ManifestRule` for an interface without a version: left out, it would go unmet and unnoticed.
    pub(crate) fn new(manifest: &Manifest, digest: Digest, standing: Standing) -> Result<Self, KernelError> {
        let mut requires = interfaces("capabilities.requires", &manifest.capabilities.requires)?;
        requires.sort();
        requires.dedup();
        Ok(Self {
            urn: manifest.id.clone(),
            version: manifest.version.clone(),
            digest,
            provides: interfaces("capabilities.provides", &manifest.capabilities.provides)?,
            requires,
            governance: manifest.governance.clone(),
            standing,
        })
    }

    pub(crate) fn exact(&self) -> Exact {
        Exact {
            urn: self.urn.clone(),
            version: self.version.clone(),
            digest: self.digest,
        }
    }

    /// The newest interface of it that meets the requirement.
    pub(super) fn meeting(&self, required: &Interface) -> Option<&Interface> {
        let meeting = self.provides.iter().filter(|provided| provided.meets(required));
        meeting.max_by(|a, b| a.version.cmp(&b.version))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.urn, &self.version, self.digest) == (&other.urn, &other.version, other.digest)
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.urn, self.version)
    }
}

fn interfaces(path: &str, names: &[String]) -> Result<Vec<Interface>, KernelError> {
    let parsed = names.iter().map(|name| {
        Interface::parse(name).ok_or_else(|| KernelError::ManifestRule {
            path: path.into(),
            why: format!("\"{name}\" has no version"),
        })
    });
    parsed.collect()
}
