//! Signing capsules with the keys of this machine, and making such keys.

use std::path::Path;

use kinetic_identity::{BuildInfo, BuildSubject, Receipt, Role, SigningKey, SourceDigest, TrustRoot};
use kinetic_kernel::Manifest;
use kinetic_model::Digest;
use serde_json::Value;

use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::project::Built;

/// Who builds, in receipts.
const BUILDER: &str = env!("CARGO_PKG_REPOSITORY");

/// Signs a receipt for a component and the manifest that goes with it.
///
/// # Errors
/// When the receipt would be too large.
pub fn sign(
    manifest_text: &str,
    manifest: &Manifest,
    component: &[u8],
    info: &BuildInfo,
    key: &SigningKey,
) -> anyhow::Result<Value> {
    Ok(Receipt::sign(&subject(manifest_text, manifest, component), info, key)?.to_value())
}

/// What a receipt for a component and the manifest that goes with it is about.
pub fn subject(manifest_text: &str, manifest: &Manifest, component: &[u8]) -> BuildSubject {
    BuildSubject {
        urn: manifest.id.clone(),
        version: manifest.version.clone(),
        component: Digest::of(component),
        component_bytes: component.len() as u64,
        manifest: Digest::of(manifest_text.as_bytes()),
    }
}

/// The receipt of something built: the one that others signed, or a new one, with the key's signature if there is a key.
///
/// # Errors
/// [`CliError::NoKey`] when nobody signed and there is no key; signatures of something else; too many signatures.
pub fn receipt_of(built: &Built, manifest: &Manifest, key: Option<&SigningKey>) -> anyhow::Result<Receipt> {
    let subject = subject(&built.manifest, manifest, &built.component);
    match (built.receipt.clone(), key) {
        (Some(mut receipt), key) => {
            // What is signed is what lies here, and not what somebody wrote beside it.
            receipt.check_subject(&subject)?;
            if let Some(key) = key {
                receipt.add_signature(key)?;
            }
            Ok(receipt)
        }
        (None, Some(key)) => Ok(Receipt::sign(&subject, &build_info(&built.info), key)?),
        (None, None) => Err(CliError::NoKey {
            namespace: manifest.id.namespace().to_string(),
            path: built.receipt_file.display().to_string(),
        }
        .into()),
    }
}

/// What a receipt says about a build of this program.
pub fn build_info(recorded: &Value) -> BuildInfo {
    let text = |name: &str| {
        recorded
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_string()
    };
    let source = |source: &Value| {
        let part = |name: &str| source.get(name).and_then(Value::as_str);
        Some(SourceDigest {
            uri: part("uri")?.to_string(),
            digest: part("digest")?.parse().ok()?,
        })
    };
    let sources = recorded
        .get("sources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(source)
        .collect();
    BuildInfo {
        builder_id: BUILDER.to_string(),
        builder_version: env!("CARGO_PKG_VERSION").to_string(),
        toolchain: text("toolchain"),
        sources,
        ..BuildInfo::default()
    }
}

/// The key of a namespace on this machine, made and trusted on the way if the namespace has none yet.
///
/// # Errors
/// [`CliError::NamespaceTaken`] when the trust root names somebody else's key: nobody may put theirs beside it unasked.
pub fn own_key(data: &DataDir, namespace: &str, comment: &str) -> anyhow::Result<SigningKey> {
    let path = data.key_file(namespace)?;
    data.change_trust(|root| {
        let key = if path.exists() {
            SigningKey::load(&path)?
        } else {
            SigningKey::generate()?
        };
        if root.has_root(namespace) {
            return if signs_alone(root, namespace, &key) {
                Ok(key)
            } else {
                Err(CliError::NamespaceTaken {
                    namespace: namespace.to_string(),
                }
                .into())
            };
        }
        let trusted = root.trusted(namespace);
        if trusted.iter().any(|trusted| trusted.key == key.public()) {
            return Ok(key);
        }
        if !trusted.is_empty() {
            return Err(CliError::NamespaceTaken {
                namespace: namespace.to_string(),
            }
            .into());
        }
        // Checked before anything is written: a namespace may not be one at all.
        root.add(namespace, key.public(), comment)?;
        // The trust root is saved after this: a key that cannot be used again must not be in it.
        if !path.exists() {
            key.save(&path)?;
        }
        Ok(key)
    })
}

/// Whether a namespace's root document takes this key's signature for enough.
fn signs_alone(root: &TrustRoot, namespace: &str, key: &SigningKey) -> bool {
    root.document(namespace).is_some_and(|document| {
        document.thresholds.release == 1 && document.keys_of(Role::Release).any(|listed| *listed == key.public())
    })
}

/// The key of a namespace on this machine, which must exist.
///
/// # Errors
/// [`CliError::NoKey`], or a file that cannot be read.
pub fn existing_key(path: &Path, namespace: &str) -> anyhow::Result<SigningKey> {
    if !path.exists() {
        let path = path.display().to_string();
        return Err(CliError::NoKey {
            namespace: namespace.to_string(),
            path,
        }
        .into());
    }
    Ok(SigningKey::load(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinetic_identity::{RootDocument, RootFolder, RootKey, SignedRoot, Thresholds};

    #[test]
    fn a_namespace_without_a_key_gets_one_that_is_trusted_and_used_again() {
        let (data, _folder) = DataDir::temporary().unwrap();
        let first = own_key(&data, "acme", "mine").unwrap().public();
        assert_eq!(own_key(&data, "acme", "mine").unwrap().public(), first);
        assert_eq!(
            TrustRoot::load(&data.trust_file()).unwrap().trusted("acme")[0].key,
            first
        );
    }

    #[test]
    fn a_namespace_that_trusts_somebody_else_does_not_get_a_second_key() {
        let (data, _folder) = DataDir::temporary().unwrap();
        let mut root = TrustRoot::default();
        root.add("acme", SigningKey::generate().unwrap().public(), "theirs")
            .unwrap();
        root.save(&data.trust_file()).unwrap();
        let error = own_key(&data, "acme", "mine").unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(CliError::NamespaceTaken { .. })),
            "{error}"
        );
        assert_eq!(TrustRoot::load(&data.trust_file()).unwrap(), root);
        assert!(!data.key_file("acme").unwrap().exists());
    }

    #[test]
    fn a_namespace_with_a_root_document_gets_no_key_beside_it() {
        let (data, _folder) = DataDir::temporary().unwrap();
        let mine = own_key(&data, "acme", "mine").unwrap();
        let pin = |key: &SigningKey| {
            let document = RootDocument {
                expires_unix_ms: u64::MAX,
                keys: vec![RootKey {
                    key_id: key.public().id(),
                    public_key: key.public(),
                    roles: Role::ALL.to_vec(),
                }],
                namespace: "acme".into(),
                revoked_digests: Vec::new(),
                thresholds: Thresholds {
                    index: 1,
                    release: 1,
                    root: 1,
                },
                version: 1,
            };
            let roots = RootFolder::beside(&data.trust_file());
            roots.pin(&SignedRoot::sign(document, key).unwrap(), 0).unwrap();
            roots
        };
        let roots = pin(&SigningKey::generate().unwrap());
        let error = own_key(&data, "acme", "mine").unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(CliError::NamespaceTaken { .. })),
            "{error}"
        );
        roots.remove("acme").unwrap();
        pin(&mine);
        assert_eq!(own_key(&data, "acme", "mine").unwrap().public(), mine.public());
    }

    #[test]
    fn a_missing_key_says_how_to_make_one() {
        let (data, _folder) = DataDir::temporary().unwrap();
        let error = existing_key(&data.key_file("acme").unwrap(), "acme").unwrap_err();
        let fault = crate::error::fault(&error);
        assert!(fault.fix.contains("kinetic keys new acme"), "{}", fault.fix);
    }
}
