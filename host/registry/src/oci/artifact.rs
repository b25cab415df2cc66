//! A capsule as an OCI artifact: which blob is what, and how a version is written as a tag.

use std::collections::BTreeMap;

use kinetic_model::{Digest, Sorted};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::Descriptor;
use crate::error::tame;

/// What an artifact is that is a capsule.
const CAPSULE: &str = "application/vnd.kinetic.capsule.v1+json";
/// manifest.json, the artifact's config.
const CAPSULE_MANIFEST: &str = "application/vnd.kinetic.manifest.v1+json";
/// The first layer.
const COMPONENT: &str = "application/wasm";
/// The second layer: the receipt, a DSSE envelope.
const RECEIPT: &str = "application/vnd.in-toto+json";
/// What an artifact is that is the signed index of a namespace, and its one layer.
const INDEX: &str = "application/vnd.kinetic.index.v1+json";
/// The config of an artifact that needs none.
pub(super) const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";
pub(super) const EMPTY_CONFIG_TEXT: &[u8] = b"{}";
/// The artifact's own form.
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";

/// What an OCI manifest says that matters here. Other members are passed over: other tools may add theirs, and nothing
/// is believed because it stands here.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Artifact {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: Blob,
    layers: Vec<Blob>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// One blob of an artifact.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob {
    media_type: String,
    pub(super) digest: Digest,
    /// In bytes.
    pub(super) size: u64,
}

/// The blobs of a capsule.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) manifest: Blob,
    pub(super) component: Blob,
    pub(super) receipt: Blob,
}

impl Artifact {
    /// The artifact of a version; `receipt` is the receipt's text.
    pub(super) fn of(descriptor: &Descriptor, receipt: &[u8]) -> Self {
        let blob = |media_type: &str, digest: Digest, size: u64| Blob {
            media_type: media_type.into(),
            digest,
            size,
        };
        let text = descriptor.manifest.as_bytes();
        let annotations = [
            (TITLE, descriptor.urn.to_string()),
            (VERSION, descriptor.version.to_string()),
        ];
        Self {
            schema_version: 2,
            media_type: OCI_MANIFEST.into(),
            artifact_type: CAPSULE.into(),
            config: blob(CAPSULE_MANIFEST, Digest::of(text), text.len() as u64),
            layers: vec![
                blob(COMPONENT, descriptor.digest, descriptor.size_bytes),
                blob(RECEIPT, Digest::of(receipt), receipt.len() as u64),
            ],
            annotations: annotations
                .into_iter()
                .map(|(name, text)| (name.to_string(), text))
                .collect(),
        }
    }

    /// The artifact of a signed index, given by its bytes.
    pub(super) fn of_index(bytes: &[u8]) -> Self {
        let blob = |media_type: &str, bytes: &[u8]| Blob {
            media_type: media_type.into(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        Self {
            schema_version: 2,
            media_type: OCI_MANIFEST.into(),
            artifact_type: INDEX.into(),
            config: blob(EMPTY_CONFIG, EMPTY_CONFIG_TEXT),
            layers: vec![blob(INDEX, bytes)],
            annotations: BTreeMap::new(),
        }
    }

    /// The blob of a signed index.
    ///
    /// # Errors
    /// In words, what keeps it from being one.
    pub(super) fn index(&self) -> Result<Blob, String> {
        match self.layers.as_slice() {
            [only] if self.artifact_type == INDEX && only.media_type == INDEX => Ok(only.clone()),
            _ => Err(format!(
                "its artifactType is \"{}\" and not {INDEX} with one layer of that type",
                tame(&self.artifact_type)
            )),
        }
    }

    /// Its text: the same for everybody who pushes the same.
    pub(super) fn text(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Sorted(&serde_json::to_value(self)?))
    }

    /// Which of its blobs is what.
    ///
    /// # Errors
    /// In words, what keeps it from being a capsule.
    pub(super) fn parts(&self) -> Result<Parts, String> {
        if self.schema_version != 2 || self.artifact_type != CAPSULE {
            return Err(format!(
                "its artifactType is \"{}\" and not {CAPSULE}",
                tame(&self.artifact_type)
            ));
        }
        if self.config.media_type != CAPSULE_MANIFEST {
            return Err(format!(
                "its config is \"{}\" and not {CAPSULE_MANIFEST}",
                tame(&self.config.media_type)
            ));
        }
        let only = |media_type: &str| {
            let mut of_type = self.layers.iter().filter(|layer| layer.media_type == media_type);
            match (of_type.next(), of_type.next()) {
                (Some(only), None) => Ok(only.clone()),
                _ => Err(format!("it has not exactly one layer {media_type}")),
            }
        };
        Ok(Parts {
            manifest: self.config.clone(),
            component: only(COMPONENT)?,
            receipt: only(RECEIPT)?,
        })
    }
}

/// The tag of a version: tags have no `+`, and versions no `_`.
pub(super) fn tag_of(version: &Version) -> String {
    version.to_string().replace('+', "_")
}

/// The version a tag stands for; none for any other tag.
pub(super) fn version_of(tag: &str) -> Option<Version> {
    let version = Version::parse(&tag.replace('_', "+")).ok()?;
    (tag_of(&version) == tag).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::descriptor;

    fn read(text: &[u8]) -> Result<Parts, String> {
        serde_json::from_slice::<Artifact>(text).unwrap().parts()
    }

    #[test]
    fn an_artifact_reads_back_what_was_written() {
        let written = descriptor("1.2.3", b"component");
        let text = Artifact::of(&written, b"{}").text().unwrap();
        let parts = read(&text).unwrap();
        assert_eq!((parts.component.digest, parts.component.size), (written.digest, 9));
        assert_eq!(parts.manifest.digest, Digest::of(written.manifest.as_bytes()));
        assert_eq!((parts.receipt.digest, parts.receipt.size), (Digest::of(b"{}"), 2));
        let again = Artifact::of(&written, b"{}").text().unwrap();
        assert_eq!(text, again);
    }

    #[test]
    fn what_is_no_capsule_says_why() {
        let text = String::from_utf8(Artifact::of(&descriptor("1.2.3", b"c"), b"{}").text().unwrap()).unwrap();
        for (from, to, why) in [
            ("vnd.kinetic.capsule.v1", "vnd.other", "artifactType"),
            ("vnd.kinetic.manifest.v1", "vnd.oci.image.config.v1", "config"),
            ("application/wasm", "application/x-tar", "application/wasm"),
            ("application/vnd.in-toto+json", "application/wasm", "exactly one"),
        ] {
            let refused = read(text.replace(from, to).as_bytes()).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn versions_and_tags_stand_for_each_other() {
        for (version, tag) in [("1.2.3", "1.2.3"), ("1.2.3-rc.1+build.5", "1.2.3-rc.1_build.5")] {
            let version: Version = version.parse().unwrap();
            assert_eq!(tag_of(&version), tag);
            assert_eq!(version_of(tag), Some(version));
        }
        for other in ["latest", "v1.2.3", "1.2", "1.2.3+x", "1.2.3_a_b", ""] {
            assert_eq!(version_of(other), None, "{other}");
        }
    }
}
