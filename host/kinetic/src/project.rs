//! The author's project: what `kinetic new` writes, and where `kinetic build` leaves what `kinetic publish` takes.

use std::path::{Path, PathBuf};

use kinetic_identity::{FolderDigest, Receipt};
use kinetic_model::Urn;
use serde_json::json;
use toml::{Table, Value};

use crate::error::{self, CliError};
use crate::{capsule_folder, lockfile, sbom};

/// The files of a new project; what stands in double braces is filled in.
const TEMPLATE: [(&str, &str); 7] = [
    (".gitignore", include_str!("../../../sdk/rust/template/gitignore")),
    ("Cargo.toml", include_str!("../../../sdk/rust/template/Cargo.toml")),
    ("README.md", include_str!("../../../sdk/rust/template/README.md")),
    ("src/lib.rs", include_str!("../../../sdk/rust/template/src/lib.rs")),
    (
        "tests/runs_in_the_engine.rs",
        include_str!("../../../sdk/rust/template/tests/runs_in_the_engine.rs"),
    ),
    (
        "wit/world.wit",
        include_str!("../../../sdk/rust/template/wit/world.wit"),
    ),
    ("manifest.json", MANIFEST),
];

/// The SDK as this binary was built with it, so that a project needs nothing but crates.io.
const SDK: [(&str, &str); 3] = [
    (
        "vendor/kinetic-sdk/src/lib.rs",
        include_str!("../../../sdk/rust/src/lib.rs"),
    ),
    (
        "vendor/kinetic-sdk/src/error.rs",
        include_str!("../../../sdk/rust/src/error.rs"),
    ),
    (
        "vendor/kinetic-sdk/src/harness.rs",
        include_str!("../../../sdk/rust/src/harness.rs"),
    ),
];
const SDK_MANIFEST: &str = include_str!("../../../sdk/rust/Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../Cargo.toml");
const WORKSPACE_LOCK: &str = include_str!("../../../Cargo.lock");

const MANIFEST: &str = include_str!("../../../sdk/rust/template/manifest.json");

/// Words that cannot be a package: Rust keeps them for itself, or cargo does.
const RESERVED: [&str; 20] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "box",
    "build",
    "core",
    "crate",
    "deps",
    "do",
    "enum",
    "fn",
    "match",
    "proc-macro",
    "self",
    "static",
    "std",
    "test",
    "type",
];

/// A new project's names, each in the form its place wants.
#[derive(Debug)]
pub struct Names {
    name: String,
    namespace: String,
    /// What the capability is called by.
    pub urn: Urn,
}

impl Names {
    /// Checks the names and makes the URN.
    ///
    /// # Errors
    /// [`CliError::BadName`].
    pub fn new(name: &str, namespace: &str, class: &str) -> Result<Self, CliError> {
        for text in [name, namespace] {
            if let Some(why) = unusable(text) {
                return Err(CliError::BadName {
                    name: text.to_string(),
                    why: why.to_string(),
                });
            }
        }
        let (name, namespace) = (name.replace('_', "-"), namespace.replace('-', "_"));
        let urn = format!("urn:{namespace}:actionspace:{class}:{}:v1", name.replace('-', "_"));
        let urn = urn.parse().map_err(|e| CliError::BadName {
            name: name.clone(),
            why: format!("{e}"),
        })?;
        Ok(Self { name, namespace, urn })
    }

    /// Every file of the project with its path inside it.
    ///
    /// # Errors
    /// None in practice: the SDK's manifest is checked by a test.
    pub fn files(&self) -> Result<Vec<(&'static str, String)>, CliError> {
        let filled = TEMPLATE.iter().map(|(path, text)| (*path, self.fill(text)));
        let sdk = SDK.iter().map(|(path, text)| (*path, (*text).to_string()));
        let manifest = (
            "vendor/kinetic-sdk/Cargo.toml",
            standalone(SDK_MANIFEST, WORKSPACE_MANIFEST)?,
        );
        let lock = (
            "Cargo.lock",
            lockfile::of_project(WORKSPACE_LOCK, &self.name, "kinetic-sdk")?,
        );
        Ok(filled.chain(sdk).chain([manifest, lock]).collect())
    }

    fn fill(&self, text: &str) -> String {
        let namespace = self.namespace.replace('_', "-");
        text.replace("{{name}}", &self.name)
            .replace("{{namespace}}", &self.namespace)
            .replace("{{package}}", &format!("{namespace}:{}", self.name))
            // A word that WIT keeps for itself is a name behind a percent sign.
            .replace("{{wit_package}}", &format!("%{namespace}:%{}", self.name))
            .replace("{{urn}}", self.urn.as_str())
    }
}

/// Why a word can be neither a package, a WIT identifier nor a part of a URN.
fn unusable(text: &str) -> Option<&'static str> {
    let mut words = text.split(['-', '_']);
    let good = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if text.len() > 64 {
        Some("it is longer than 64 characters")
    } else if !words.all(good) {
        Some("it is not lower-case words that start with a letter")
    } else if RESERVED.contains(&text) {
        Some("it is a word that Rust or cargo keeps for itself")
    } else {
        None
    }
}

/// A workspace member's Cargo.toml with everything it inherits written out, so that it stands alone.
fn standalone(member: &str, workspace: &str) -> Result<String, CliError> {
    let unexpected = |why: String| CliError::Unexpected {
        why: format!("the SDK's Cargo.toml: {why}"),
    };
    let mut member: Table = member.parse().map_err(|e: toml::de::Error| unexpected(e.to_string()))?;
    let workspace: Table = workspace
        .parse()
        .map_err(|e: toml::de::Error| unexpected(e.to_string()))?;
    let inherited = |section: &str, name: &str| {
        let value = workspace
            .get("workspace")
            .and_then(|w| w.get(section))
            .and_then(|s| s.get(name));
        value
            .cloned()
            .ok_or_else(|| unexpected(format!("the workspace has no {section}.{name}")))
    };
    let fill = |table: &mut Value, section: &str| -> Result<(), CliError> {
        let Value::Table(entries) = table else { return Ok(()) };
        for (name, value) in entries.iter_mut().filter(|(_, value)| value.get("workspace").is_some()) {
            *value = inherited(section, name)?;
        }
        Ok(())
    };
    member.remove("lints");
    for (key, value) in &mut member {
        match (key.as_str(), value) {
            ("package", package) => fill(package, "package")?,
            ("dependencies", dependencies) => fill(dependencies, "dependencies")?,
            ("target", Value::Table(targets)) => {
                for dependencies in targets
                    .iter_mut()
                    .filter_map(|(_, target)| target.get_mut("dependencies"))
                {
                    fill(dependencies, "dependencies")?;
                }
            }
            _ => {}
        }
    }
    toml::to_string(&member).map_err(|e| unexpected(e.to_string()))
}

/// A project folder as `kinetic build` and `kinetic publish` use it.
#[derive(Clone, Debug)]
pub struct Project {
    root: PathBuf,
}

/// What `kinetic build` made.
pub struct Built {
    /// The text of manifest.json.
    pub manifest: String,
    /// The component with its documentation.
    pub component: Vec<u8>,
    /// What the receipt says about the build.
    pub info: serde_json::Value,
    /// Where the receipt lies that `kinetic sign` leaves.
    pub receipt_file: PathBuf,
    /// That receipt, if somebody signed already.
    pub receipt: Option<Receipt>,
    /// What it was made from, in CycloneDX's JSON, if that was written down.
    pub sbom: Option<Vec<u8>>,
    /// The digest over the capsule folder, as far as it lies here: of a project the whole, else component and manifest.
    pub folder: FolderDigest,
    /// Whether that is of the whole.
    pub whole: bool,
}

/// The name of the receipt that several people sign.
pub const RECEIPT_FILE: &str = "receipt.json";

/// The file of the bill of materials, beside the component.
pub const SBOM: &str = "sbom.cdx.json";

impl Built {
    /// What was built of the project in that folder, or what lies in it; of a component's file, what lies beside it.
    ///
    /// # Errors
    /// [`CliError::NotBuilt`], or a file that cannot be read.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        if path.is_file() {
            return Self::read(path, None);
        }
        // A folder that is a capsule, as `kinetic compose` leaves it.
        let component = path.join("component.wasm");
        if component.is_file() {
            return Self::read(&component, None);
        }
        let project = Project::open(path)?;
        let component = project.capsule().join("component.wasm");
        if component.is_file() {
            return Self::read(&component, Some(&project.root));
        }
        Err(CliError::NotBuilt {
            path: project.root.display().to_string(),
        }
        .into())
    }

    fn read(component: &Path, project: Option<&Path>) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let path = component.with_file_name(name);
            std::fs::read_to_string(&path).map_err(error::file(&path))
        };
        let receipt_file = component.with_file_name(RECEIPT_FILE);
        let receipt = match std::fs::read(&receipt_file) {
            Ok(bytes) => Some(Receipt::from_json(&bytes)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(error::file(&receipt_file)(e).into()),
        };
        let bytes = std::fs::read(component).map_err(error::file(component))?;
        let path = component.with_file_name(SBOM);
        let sbom = match std::fs::read(&path) {
            Ok(sbom) if sbom::is_of(&sbom, &bytes) => Some(sbom),
            Ok(_) => {
                let path = path.display().to_string();
                let why = "it is about another component; build again, or remove it".into();
                return Err(CliError::File { path, why }.into());
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error::file(&path)(error).into()),
        };
        let manifest = text("manifest.json")?;
        Ok(Self {
            receipt_file,
            receipt,
            info: serde_json::from_str(&text("build.json")?).unwrap_or_else(|_| json!({})),
            folder: capsule_folder::digest(project, manifest.as_bytes(), &bytes)?,
            whole: project.is_some(),
            manifest,
            component: bytes,
            sbom,
        })
    }
}

impl Project {
    /// The package in that folder.
    ///
    /// # Errors
    /// When there is no Cargo.toml.
    pub fn open(root: &Path) -> Result<Self, CliError> {
        let root = root.canonicalize().map_err(error::file(root))?;
        let cargo = root.join("Cargo.toml");
        if cargo.is_file() {
            Ok(Self { root })
        } else {
            Err(CliError::File {
                path: cargo.display().to_string(),
                why: "there is no such file".into(),
            })
        }
    }

    /// A file or folder of it.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// Where the built capsule lies.
    pub fn capsule(&self) -> PathBuf {
        self.root.join("target/capsule")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_the_form_of_their_place() {
        let names = Names::new("word_count", "my-org", "solver").unwrap();
        assert_eq!(names.urn.as_str(), "urn:my_org:actionspace:solver:word_count:v1");
        let files = names.files().unwrap();
        let text = |path: &str| &files.iter().find(|(p, _)| *p == path).unwrap().1;
        assert!(text("Cargo.toml").contains("name = \"word-count\""));
        assert!(text("wit/world.wit").starts_with("package %my-org:%word-count@1.0.0;"));
        assert!(
            files.iter().all(|(_, text)| !text.contains("{{")),
            "nothing is left to fill in"
        );
    }

    #[test]
    fn names_that_break_cargo_wit_or_urns_are_refused() {
        for bad in [
            "",
            "Word",
            "2d",
            "a-2",
            "a--b",
            "-a",
            "a b",
            "ünder",
            "match",
            "test",
            "a/b",
            "..",
            &"a".repeat(65),
        ] {
            assert!(
                matches!(Names::new(bad, "acme", "solver"), Err(CliError::BadName { .. })),
                "{bad}"
            );
        }
        assert!(Names::new("ok", "Not Ok", "solver").is_err());
        assert!(Names::new("ok", "acme", "magic").is_err());
    }

    #[test]
    fn the_vendored_sdk_inherits_nothing() {
        let manifest = standalone(SDK_MANIFEST, WORKSPACE_MANIFEST).unwrap();
        assert!(!manifest.contains("workspace"), "{manifest}");
        let table: Table = manifest.parse().unwrap();
        assert_eq!(table["package"]["edition"].as_str(), Some("2024"));
        assert!(table["dependencies"]["wit-bindgen"].is_str());
    }

    #[test]
    fn every_source_of_the_sdk_is_vendored() {
        let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust/src")).unwrap();
        for source in sources {
            let path = format!("vendor/kinetic-sdk/src/{}", source.unwrap().file_name().display());
            assert!(SDK.iter().any(|(vendored, _)| *vendored == path), "{path} is missing");
        }
    }

    #[test]
    fn the_template_is_a_manifest_the_kernel_takes_and_wit_the_parser_takes() {
        for name in ["word-count", "list", "string"] {
            let names = Names::new(name, "acme", "solver").unwrap();
            let files = names.files().unwrap();
            let text = |path: &str| &files.iter().find(|(p, _)| *p == path).unwrap().1;
            let manifest = kinetic_kernel::Manifest::parse(text("manifest.json")).unwrap();
            assert_eq!(manifest.id, names.urn);
            wit_parser::UnresolvedPackageGroup::parse("world.wit", text("wit/world.wit")).unwrap();
        }
    }

    #[test]
    fn the_template_stays_short_enough_to_read() {
        let source = TEMPLATE.iter().find(|(path, _)| *path == "src/lib.rs").unwrap().1;
        assert!(source.lines().count() <= 36, "{} lines", source.lines().count());
    }
}
