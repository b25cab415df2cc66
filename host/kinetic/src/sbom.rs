//! The bill of materials of a component: what its lock file names, in CycloneDX's JSON, the same at every build.

use kinetic_model::{Digest, Sorted, Urn};
use semver::Version;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::CliError;

/// What cargo writes of where a package of its own registry comes from.
const CRATES_IO: &str = "registry+";

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

/// The bill of materials of a component that was built with this Cargo.lock.
///
/// # Errors
/// A text that is no Cargo.lock.
pub fn of_lock(lock: &str, urn: &Urn, version: &Version, component: &[u8]) -> Result<String, CliError> {
    let bad = |why: String| CliError::File {
        path: "Cargo.lock".into(),
        why,
    };
    let lock: Lock = toml::from_str(lock).map_err(|error| bad(error.message().to_string()))?;
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": format!("{urn}@{version}"),
                "name": urn,
                "version": version,
                "hashes": [{ "alg": "SHA-256", "content": Digest::of(component).hex() }],
            },
            "tools": {
                "components": [{ "type": "application", "name": "kinetic", "version": env!("CARGO_PKG_VERSION") }],
            },
        },
        "components": lock.package.iter().map(described).collect::<Value>(),
    });
    let mut text = serde_json::to_string_pretty(&Sorted(&document)).map_err(|error| bad(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// Whether a bill of materials is of that component.
pub fn is_of(sbom: &[u8], component: &[u8]) -> bool {
    let document: Value = serde_json::from_slice(sbom).unwrap_or_default();
    let hash = document.pointer("/metadata/component/hashes/0/content");
    hash.and_then(Value::as_str) == Some(Digest::of(component).hex().as_str())
}

fn described(package: &Package) -> Value {
    let (name, version) = (&package.name, &package.version);
    let reference = format!("{name}@{version}");
    let mut component = json!({ "type": "library", "bom-ref": reference, "name": name, "version": version });
    if let Some(members) = component.as_object_mut() {
        // What has no registry is part of the project.
        if package
            .source
            .as_ref()
            .is_some_and(|source| source.starts_with(CRATES_IO))
        {
            members.insert("purl".into(), format!("pkg:cargo/{name}@{version}").into());
        }
        if let Some(checksum) = &package.checksum {
            members.insert("hashes".into(), json!([{ "alg": "SHA-256", "content": checksum }]));
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
version = 4

[[package]]
name = "serde"
version = "1.0.229"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "00ff"

[[package]]
name = "word-count"
version = "1.0.0"
dependencies = ["serde"]
"#;

    fn written(component: &[u8]) -> String {
        let urn = "urn:acme:actionspace:solver:word_count:v1".parse().unwrap();
        of_lock(LOCK, &urn, &Version::new(1, 2, 3), component).unwrap()
    }

    #[test]
    fn it_names_every_package_of_the_lock_and_the_component_it_is_of() {
        let sbom: Value = serde_json::from_str(&written(b"component")).unwrap();
        assert_eq!(
            sbom["components"],
            json!([
                {
                    "type": "library", "bom-ref": "serde@1.0.229", "name": "serde", "version": "1.0.229",
                    "purl": "pkg:cargo/serde@1.0.229", "hashes": [{ "alg": "SHA-256", "content": "00ff" }],
                },
                { "type": "library", "bom-ref": "word-count@1.0.0", "name": "word-count", "version": "1.0.0" },
            ])
        );
        assert_eq!(sbom["metadata"]["component"]["version"], json!("1.2.3"));
        assert!(is_of(written(b"component").as_bytes(), b"component"));
        assert!(!is_of(written(b"component").as_bytes(), b"another one"));
        assert!(!is_of(b"{", b"component"));
    }

    #[test]
    fn the_same_build_writes_the_same_text() {
        assert_eq!(written(b"component"), written(b"component"));
    }

    #[test]
    fn a_text_that_is_no_lock_is_an_error() {
        let urn = "urn:acme:actionspace:solver:word_count:v1".parse().unwrap();
        assert!(of_lock("package = 3", &urn, &Version::new(1, 0, 0), b"").is_err());
    }
}
