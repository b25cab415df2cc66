//! What a registry says about one version of a capability.

use kinetic_identity::{RECEIPT_BYTES_MAX, strict_json};
use kinetic_model::{CapsuleRef, Digest, Pin, Urn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::RegistryError;
use crate::error::tame;

/// The largest manifest.json, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 262_144;
/// The largest descriptor as JSON, in bytes: each byte of the manifest may take six as `\u00xx`.
pub const DESCRIPTOR_BYTES_MAX: u64 = MANIFEST_BYTES_MAX * 6 + RECEIPT_BYTES_MAX as u64 + 4096;
/// A receipt may nest 32 deep, and sits one level down.
const DEPTH_MAX: usize = 33;
/// The longest version text, in bytes: it is a file name.
const VERSION_BYTES_MAX: usize = 128;

/// One version of a capability: everything needed to fetch and verify it, and nothing that is believed before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// The capability.
    pub urn: Urn,
    /// Its version; the major is the URN's.
    pub version: semver::Version,
    /// The exact text of manifest.json; its digest is over these bytes.
    pub manifest: String,
    /// The signed receipt (a DSSE envelope).
    pub receipt: serde_json::Value,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Size of the component, in bytes.
    pub size_bytes: u64,
}

/// A descriptor without manifest and receipt, as lists carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The capability.
    pub urn: Urn,
    /// Its version.
    pub version: semver::Version,
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Size of the component, in bytes.
    pub size_bytes: u64,
}

impl Descriptor {
    /// The descriptor without manifest and receipt.
    pub fn summary(&self) -> Summary {
        Summary {
            urn: self.urn.clone(),
            version: self.version.clone(),
            digest: self.digest,
            size_bytes: self.size_bytes,
        }
    }

    /// Reads a descriptor's JSON strictly and checks its bounds.
    ///
    /// # Errors
    /// [`RegistryError::BadDescriptor`], [`RegistryError::TooLarge`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, RegistryError> {
        let descriptor: Self = read_json(bytes).map_err(|why| RegistryError::BadDescriptor { why })?;
        descriptor.check()?;
        Ok(descriptor)
    }

    /// Checks what can be checked without the component: bounds, and that the parts fit each other.
    ///
    /// # Errors
    /// [`RegistryError::BadDescriptor`], [`RegistryError::TooLarge`].
    pub fn check(&self) -> Result<(), RegistryError> {
        let bad = |why: &str| Err(RegistryError::BadDescriptor { why: why.to_string() });
        if self.version.major != self.urn.major() {
            return bad("the version's major is not the one the URN ends in");
        }
        if self.version.to_string().len() > VERSION_BYTES_MAX {
            return bad("the version is longer than 128 bytes");
        }
        at_most("the manifest", self.manifest.len() as u64, MANIFEST_BYTES_MAX)?;
        at_most(
            "the receipt",
            self.receipt.to_string().len() as u64,
            RECEIPT_BYTES_MAX as u64,
        )
    }
}

impl Summary {
    /// Whether this is what a reference means; any version is an answer to one without a pin.
    pub(crate) fn answers(&self, asked: &CapsuleRef) -> bool {
        self.urn == asked.urn
            && match &asked.pin {
                Pin::Active => true,
                Pin::Version(version) => self.version == *version,
                Pin::Digest(digest) => self.digest == *digest,
            }
    }
}

/// Reads JSON with duplicate members and deep nesting refused; the caller bounds the size.
pub(crate) fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let value = strict_json::parse(bytes, DEPTH_MAX).map_err(|e| e.to_string())?;
    serde_json::from_value(value).map_err(|e| tame(&e.to_string()))
}

/// Refuses what is larger than its bound.
pub(crate) fn at_most(what: &str, size_bytes: u64, bytes_max: u64) -> Result<(), RegistryError> {
    if size_bytes > bytes_max {
        return Err(RegistryError::TooLarge {
            what: what.to_string(),
            size_bytes,
            bytes_max,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::descriptor;

    #[test]
    fn a_descriptor_reads_back_what_it_writes() {
        let written = descriptor("1.2.3", b"bytes");
        assert_eq!(
            Descriptor::from_json(&serde_json::to_vec(&written).unwrap()).unwrap(),
            written
        );
    }

    #[test]
    fn a_version_of_another_major_is_refused() {
        let mut other = descriptor("1.2.3", b"bytes");
        other.version = "2.0.0".parse().unwrap();
        assert!(matches!(other.check(), Err(RegistryError::BadDescriptor { .. })));
    }

    #[test]
    fn manifests_receipts_and_versions_are_bounded() {
        let mut large = descriptor("1.2.3", b"bytes");
        large.manifest = "x".repeat(262_145);
        assert!(matches!(large.check(), Err(RegistryError::TooLarge { .. })));
        let mut large = descriptor("1.2.3", b"bytes");
        large.receipt = serde_json::json!({ "payload": "x".repeat(65_536) });
        assert!(matches!(large.check(), Err(RegistryError::TooLarge { .. })));
        let mut long = descriptor("1.2.3", b"bytes");
        long.version = format!("1.0.0-{}", "a".repeat(200)).parse().unwrap();
        assert!(matches!(long.check(), Err(RegistryError::BadDescriptor { .. })));
    }

    #[test]
    fn the_largest_manifest_fits_the_bound_on_descriptors_however_it_is_escaped() {
        let mut large = descriptor("1.2.3", b"bytes");
        large.manifest = "\u{1}".repeat(262_144);
        let text = serde_json::to_vec(&large).unwrap();
        assert!(text.len() as u64 <= DESCRIPTOR_BYTES_MAX);
        assert_eq!(Descriptor::from_json(&text).unwrap(), large);
    }

    #[test]
    fn unknown_and_doubled_members_are_refused() {
        let text = serde_json::to_string(&descriptor("1.2.3", b"bytes")).unwrap();
        for extra in [r#"{"trusted":true,"#, r#"{"size_bytes":1,"#] {
            let text = text.replacen('{', extra, 1);
            assert!(matches!(
                Descriptor::from_json(text.as_bytes()),
                Err(RegistryError::BadDescriptor { .. })
            ));
        }
    }
}
