//! Capsules that the program itself carries: they came with its own bytes, so nobody has to vouch for them.

use async_trait::async_trait;
use bytes::Bytes;
use kinetic_model::{CapsuleRef, Digest, Pin, Urn};

use crate::{Descriptor, Download, RegistryError, Rest, Source, Summary};

/// What it is called where a list of places is shown.
const NAME: &str = "this program";

/// One version each of a few URNs.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    capsules: Vec<Capsule>,
}

#[derive(Clone, Debug)]
struct Capsule {
    descriptor: Descriptor,
    /// SHA-256 of the manifest's text.
    manifest: Digest,
    component: Bytes,
}

impl Carried {
    /// These, each described by what it is. Digest and size are taken from the bytes, whatever the description says.
    pub fn new(capsules: impl IntoIterator<Item = (Descriptor, Bytes)>) -> Self {
        let capsule = |(descriptor, component): (Descriptor, Bytes)| Capsule {
            manifest: Digest::of(descriptor.manifest.as_bytes()),
            descriptor: Descriptor {
                digest: Digest::of(&component),
                size_bytes: component.len() as u64,
                ..descriptor
            },
            component,
        };
        Self {
            capsules: capsules.into_iter().map(capsule).collect(),
        }
    }

    /// The version of this URN that is carried, if one is.
    pub fn of(&self, urn: &Urn) -> Option<&Descriptor> {
        let mut descriptors = self.capsules.iter().map(|capsule| &capsule.descriptor);
        descriptors.find(|descriptor| descriptor.urn == *urn)
    }

    /// How many capsules are carried.
    pub fn count(&self) -> usize {
        self.capsules.len()
    }

    /// Whether just these bytes, under just this manifest, are carried.
    pub fn holds(&self, component: &Digest, manifest: &Digest) -> bool {
        let mut capsules = self.capsules.iter();
        capsules.any(|capsule| capsule.descriptor.digest == *component && capsule.manifest == *manifest)
    }

    fn not_found(what: String) -> RegistryError {
        RegistryError::NotFound {
            what,
            origin: NAME.into(),
        }
    }
}

#[async_trait]
impl Source for Carried {
    fn name(&self) -> &str {
        NAME
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let meant = self.of(&what.urn).filter(|descriptor| match &what.pin {
            Pin::Active => true,
            Pin::Version(version) => descriptor.version == *version,
            Pin::Digest(digest) => descriptor.digest == *digest,
        });
        meant.cloned().ok_or_else(|| Self::not_found(what.to_string()))
    }

    fn is_here(&self) -> bool {
        true
    }

    async fn download(&self, descriptor: &Descriptor, _: &Rest) -> Result<Download, RegistryError> {
        let mut capsules = self.capsules.iter();
        let found = capsules.find(|capsule| capsule.descriptor.digest == descriptor.digest);
        let capsule = found.ok_or_else(|| Self::not_found(format!("component {}", descriptor.digest)))?;
        Ok(Download::whole(capsule.component.clone()))
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        let mut all: Vec<_> = self
            .capsules
            .iter()
            .map(|capsule| capsule.descriptor.summary())
            .collect();
        all.sort_by(|a, b| (&a.urn, &a.version).cmp(&(&b.urn, &b.version)));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch;

    const URN: &str = "urn:kinetic:actionspace:substrate:part:v1";

    fn carried() -> Carried {
        let descriptor = Descriptor {
            urn: URN.parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
            manifest: "{}".into(),
            receipt: serde_json::Value::Null,
            digest: Digest::of(b"something else"),
            size_bytes: 0,
        };
        Carried::new([(descriptor, Bytes::from_static(b"component"))])
    }

    #[tokio::test]
    async fn what_is_carried_is_found_by_urn_version_and_digest_and_comes_whole() {
        let carried = carried();
        let digest = Digest::of(b"component");
        let of = |pin| CapsuleRef {
            urn: URN.parse().unwrap(),
            pin,
        };
        for pin in [
            Pin::Active,
            Pin::Version(semver::Version::new(1, 0, 0)),
            Pin::Digest(digest),
        ] {
            let descriptor = carried.describe(&of(pin)).await.unwrap();
            assert_eq!((descriptor.digest, descriptor.size_bytes), (digest, 9));
            assert_eq!(fetch(&carried, &descriptor, 100).await.unwrap(), b"component"[..]);
        }
        let other = carried.describe(&of(Pin::Version(semver::Version::new(1, 0, 1)))).await;
        assert!(matches!(other, Err(RegistryError::NotFound { .. })));
    }

    #[test]
    fn it_holds_bytes_only_together_with_their_manifest() {
        let carried = carried();
        let (component, manifest) = (Digest::of(b"component"), Digest::of(b"{}"));
        assert!(carried.holds(&component, &manifest));
        assert!(!carried.holds(&component, &Digest::of(b"{ }")));
        assert!(!carried.holds(&Digest::of(b"something else"), &manifest));
    }
}
