//! Signing capsules with the keys of this machine, and making such keys.

use std::path::Path;

use kinetic_identity::{
    BuildInfo, BuildSubject, Checkout, FolderDigest, PublicKey, Receipt, Role, SigningKey, SourceDigest, TrustRoot,
};
use kinetic_kernel::Manifest;
use kinetic_model::Digest;
use serde_json::Value;

use crate::data_dir::DataDir;
use crate::error::{self, CliError};
use crate::project::Built;

/// Who builds, in receipts.
const BUILDER: &str = env!("CARGO_PKG_REPOSITORY");

/// Signs a receipt for a component and the manifest that goes with it; where nothing else is known of the capsule folder,
/// the two are all there is in it.
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
    let two = FolderDigest::of_two(manifest_text.as_bytes(), component);
    let info = BuildInfo {
        folder: info.folder.or(Some(two)),
        ..info.clone()
    };
    Ok(Receipt::sign(&subject(manifest_text, manifest, component), &info, key)?.to_value())
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
            check(&receipt, built, &subject)?;
            if let Some(key) = key {
                receipt.add_signature(key)?;
            }
            Ok(receipt)
        }
        (None, Some(key)) => Ok(Receipt::sign(&subject, &info_of(built)?, key)?),
        (None, None) => Err(CliError::NoKey {
            namespace: manifest.id.namespace().to_string(),
            path: built.receipt_file.display().to_string(),
        }
        .into()),
    }
}

/// Checks that a receipt is about what lies here: its subjects, and the capsule folder as far as that is here.
///
/// # Errors
/// Another subject; [`CliError::FolderChanged`].
pub fn check(receipt: &Receipt, built: &Built, subject: &BuildSubject) -> anyhow::Result<()> {
    receipt.check_subject(subject)?;
    unchanged(receipt.folder()?, built)
}

/// The statement that whoever signs something built has to sign, the same bytes for each of them.
///
/// # Errors
/// [`CliError::FolderChanged`].
pub fn statement_of(built: &Built, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    let subject = subject(&built.manifest, manifest, &built.component);
    Ok(Receipt::statement(&subject, &info_of(built)?)?)
}

/// What is known of the build of something built, with the digest over its capsule folder.
fn info_of(built: &Built) -> anyhow::Result<BuildInfo> {
    let info = build_info(&built.info);
    unchanged(info.folder, built)?;
    Ok(BuildInfo {
        folder: info.folder.or(Some(built.folder)),
        ..info
    })
}

/// Compares the digest over the folder with that of what lies here; with the two files alone only where there are no others.
fn unchanged(attested: Option<FolderDigest>, built: &Built) -> anyhow::Result<()> {
    let Some(attested) = attested else { return Ok(()) };
    let all_here = built.whole || attested.files == FolderDigest::ALWAYS;
    if all_here && attested != built.folder {
        let changed = CliError::FolderChanged {
            attested: attested.to_string(),
            found: built.folder.to_string(),
        };
        return Err(changed.into());
    }
    Ok(())
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
    let some = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
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
        invocation_id: None,
        started_on: some("started_on"),
        finished_on: some("finished_on"),
        checkout: some("commit").map(|commit| Checkout {
            uri: some("repository"),
            commit,
            dirty: recorded.get("dirty").and_then(Value::as_bool).unwrap_or(true),
        }),
        folder: folder(recorded),
    }
}

fn folder(recorded: &Value) -> Option<FolderDigest> {
    let digest = recorded.pointer("/folder/digest").and_then(Value::as_str)?;
    Some(FolderDigest {
        digest: digest.parse().ok()?,
        files: recorded.pointer("/folder/files").and_then(Value::as_u64)?,
    })
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

/// The public key in a file that `cosign generate-key-pair` wrote.
///
/// # Errors
/// A file that cannot be read, or holds another kind of key.
pub fn cosign_key(path: &Path) -> anyhow::Result<PublicKey> {
    let pem = std::fs::read_to_string(path).map_err(error::file(path))?;
    Ok(PublicKey::from_cosign_pem(&pem)?)
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

    const MANIFEST: &str = r#"{ "id": "urn:acme:actionspace:solver:app:v1", "version": "1.0.0", "type": "logic",
        "description": "A whole.", "capabilities": { "provides": ["acme:app/api@1.0.0"] },
        "governance": { "tier": "local", "trust_zone": "tenant", "determinism": "D0_bit_exact" } }"#;

    /// A project with a test and something built of it, as `kinetic build` leaves it.
    fn project(info: &Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("Cargo.toml", ""),
            ("tests/it.rs", "test"),
            ("target/capsule/component.wasm", "component"),
            ("target/capsule/manifest.json", MANIFEST),
            ("target/capsule/build.json", &info.to_string()),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    fn changed(error: &anyhow::Error) -> bool {
        matches!(error.downcast_ref(), Some(CliError::FolderChanged { .. }))
    }

    #[test]
    fn a_receipt_speaks_for_the_whole_folder_and_whoever_has_it_sees_what_changed() {
        let folder = project(&serde_json::json!({}));
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let (first, second) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let mut built = Built::at(folder.path()).unwrap();
        let receipt = receipt_of(&built, &manifest, Some(&first)).unwrap();
        let attested = receipt.folder().unwrap().unwrap();
        assert_eq!((attested, attested.files), (built.folder, 3));
        built.receipt = Some(receipt.clone());
        receipt_of(&built, &manifest, Some(&second)).unwrap();

        std::fs::write(folder.path().join("tests/it.rs"), "another").unwrap();
        let mut later = Built::at(folder.path()).unwrap();
        later.receipt = Some(receipt.clone());
        assert!(changed(&receipt_of(&later, &manifest, Some(&second)).unwrap_err()));
        // Who has component and manifest alone cannot tell.
        let mut alone = Built::at(&folder.path().join("target/capsule")).unwrap();
        alone.receipt = Some(receipt);
        receipt_of(&alone, &manifest, Some(&second)).unwrap();
    }

    #[test]
    fn what_changed_since_the_build_is_not_signed() {
        let folder = project(&serde_json::json!({}));
        let found = Built::at(folder.path()).unwrap().folder;
        let info = |digest: Digest| serde_json::json!({ "folder": { "digest": digest, "files": 3 } });
        let (manifest, key) = (Manifest::parse(MANIFEST).unwrap(), SigningKey::generate().unwrap());
        for (digest, good) in [(found.digest, true), (Digest::of(b"another"), false)] {
            let path = folder.path().join("target/capsule/build.json");
            std::fs::write(path, info(digest).to_string()).unwrap();
            let built = Built::at(folder.path()).unwrap();
            match receipt_of(&built, &manifest, Some(&key)) {
                Ok(_) => assert!(good),
                Err(error) => assert!(!good && changed(&error), "{error}"),
            }
            assert_eq!(statement_of(&built, &manifest).is_ok(), good);
        }
    }

    #[test]
    fn what_was_recorded_of_a_build_is_said_and_nothing_else() {
        let recorded = serde_json::json!({
            "toolchain": "rustc", "started_on": "2026-01-01T00:00:00Z", "finished_on": "2026-01-01T00:00:09Z",
            "commit": "ab", "dirty": false, "repository": "git+https://example.com/echo",
        });
        let info = build_info(&recorded);
        assert_eq!(info.started_on.as_deref(), Some("2026-01-01T00:00:00Z"));
        let checkout = info.checkout.unwrap();
        assert_eq!((checkout.commit.as_str(), checkout.dirty), ("ab", false));
        let nothing = build_info(&Value::Null);
        assert_eq!(
            (nothing.started_on, nothing.checkout, nothing.folder),
            (None, None, None)
        );
    }

    #[test]
    fn a_missing_key_says_how_to_make_one() {
        let (data, _folder) = DataDir::temporary().unwrap();
        let error = existing_key(&data.key_file("acme").unwrap(), "acme").unwrap_err();
        let fault = crate::error::fault(&error);
        assert!(fault.fix.contains("kinetic keys new acme"), "{}", fault.fix);
    }
}
