//! Signing capsules with the keys of this machine, and making such keys.

use std::path::Path;

use kinetic_identity::{BuildInfo, BuildSubject, Receipt, SigningKey, SourceDigest};
use kinetic_kernel::Manifest;
use kinetic_model::Digest;
use serde_json::Value;

use crate::data_dir::DataDir;
use crate::error::CliError;

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
    let subject = BuildSubject {
        urn: manifest.id.clone(),
        version: manifest.version.clone(),
        component: Digest::of(component),
        component_bytes: component.len() as u64,
        manifest: Digest::of(manifest_text.as_bytes()),
    };
    Ok(Receipt::sign(&subject, info, key)?.to_value())
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
    use kinetic_identity::TrustRoot;

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
    fn a_missing_key_says_how_to_make_one() {
        let (data, _folder) = DataDir::temporary().unwrap();
        let error = existing_key(&data.key_file("acme").unwrap(), "acme").unwrap_err();
        let fault = crate::error::fault(&error);
        assert!(fault.fix.contains("kinetic keys new acme"), "{}", fault.fix);
    }
}
