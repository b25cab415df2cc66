//! Sigstore bundles, as `cosign attest-blob --key` writes them: a second form in which a receipt may come.
//!
//! Follows Sigstore's protobuf specification in JSON, version 0.3. Only the DSSE envelope in it is believed, and that as far
//! as a listed key signed it. A key's hint says which one to try first. Entries of transparency logs and timestamps are
//! neither checked nor believed: that a key is trusted, and until when, the trust root says.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::dsse::{self, Envelope};
use crate::error::{sentence, shorten};
use crate::{IdentityError, KeyId};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// A bundle has one signature, says its specification.
const SIGNATURES_MAX: usize = 1;

/// The members of a bundle; one that nobody knows could change what it means.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    #[serde(rename = "mediaType")]
    _media_type: String,
    verification_material: Material,
    dsse_envelope: Value,
}

/// Whose signature it is, in one of three ways, of which a certificate is refused before.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Hint,
    #[serde(default, rename = "tlogEntries")]
    _log_entries: Vec<Value>,
    #[serde(default, rename = "timestampVerificationData")]
    _timestamps: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    #[serde(default)]
    hint: String,
}

/// Whether a document of a receipt's is meant as a bundle; an envelope has no media type.
pub(crate) fn is_bundle(document: &Value) -> bool {
    document.get("mediaType").is_some()
}

/// The envelope in a bundle that was read strictly.
///
/// # Errors
/// [`IdentityError::BundleUnknown`], [`IdentityError::BundleOfBytes`], [`IdentityError::BundleKeyless`],
/// [`IdentityError::BundleMalformed`], and those of an envelope.
pub(crate) fn open(document: Value) -> Result<Envelope, IdentityError> {
    let media_type = document.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    if media_type != MEDIA_TYPE {
        return Err(IdentityError::BundleUnknown {
            found: shorten(media_type),
        });
    }
    if document.get("messageSignature").is_some() {
        return Err(IdentityError::BundleOfBytes {});
    }
    let material = document.get("verificationMaterial").and_then(Value::as_object);
    if material.is_some_and(keyless) {
        return Err(IdentityError::BundleKeyless {});
    }
    let wire: Wire = serde_json::from_value(document).map_err(|error| IdentityError::BundleMalformed {
        why: shorten(&error.to_string()),
    })?;
    let mut envelope = Envelope::from_value(wire.dsse_envelope, SIGNATURES_MAX).map_err(|error| match error {
        IdentityError::EnvelopeMalformed { .. } | IdentityError::TooManySignatures { .. } => {
            IdentityError::BundleMalformed { why: sentence(&error) }
        }
        other => other,
    })?;
    if let Some(id) = named_by(&wire.verification_material.public_key.hint) {
        for signature in &mut envelope.signatures {
            signature.key_id = id.to_string();
        }
    }
    Ok(envelope)
}

fn keyless(material: &Map<String, Value>) -> bool {
    ["certificate", "x509CertificateChain"]
        .iter()
        .any(|member| material.contains_key(*member))
}

/// The key that a hint names as cosign writes it: the base64 of a SHA-256. Others may write what they like.
fn named_by(hint: &str) -> Option<KeyId> {
    let fingerprint: [u8; 32] = dsse::decode(hint)?.try_into().ok()?;
    Some(KeyId::of(&fingerprint))
}

#[cfg(test)]
mod tests;
