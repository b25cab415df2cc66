//! `kinetic compose`: capsules put together into one, ready to publish.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kinetic_kernel::Manifest;
use kinetic_model::Digest;
use serde_json::{Value, json};

use super::Context;
use crate::compose::{self, Composition, Part};
use crate::error::{self, CliError};
use crate::project::Built;
use crate::render;

/// The most capsules that are plugged in.
const WITH_MAX: usize = 32;

/// Put capsules together into one
///
/// What the capsules behind --with export goes where the first one imports it, and where they
/// import each other. The whole exports what the first one exports, under its name, version and
/// limits; it is as repeatable and as trusted as the least of them. Change the version in its
/// manifest.json to publish it beside the first one.
///
///     kinetic build app && kinetic build db
///     kinetic compose app --with db -o composed && kinetic publish composed
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Compose {
    /// The capsule that uses the others: its project's folder, built before, or a folder with component.wasm
    #[arg(value_name = "FOLDER")]
    path: PathBuf,
    /// The capsules it uses
    #[arg(long, value_name = "FOLDER", required = true, num_args = 1..)]
    with: Vec<PathBuf>,
    /// A new folder for component.wasm, manifest.json and build.json
    #[arg(short, long = "out", value_name = "FOLDER")]
    out: PathBuf,
}

impl Compose {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        if self.with.len() > WITH_MAX {
            let why = format!(
                "{} capsules stand behind --with, and {WITH_MAX} is the most",
                self.with.len()
            );
            return Err(CliError::BadArgument { why }.into());
        }
        // Nothing is written over: the folder may be one of those that are read.
        if self.out.exists() {
            let path = self.out.display().to_string();
            return Err(CliError::Exists { path }.into());
        }
        let dependent = read(&self.path)?;
        let parts = self
            .with
            .iter()
            .map(|path| read(path))
            .collect::<anyhow::Result<Vec<Part>>>()?;
        let composition = compose::compose(&dependent, &parts)?;
        let manifests: Vec<&Manifest> = parts.iter().map(|part| &part.manifest).collect();
        let manifest = kinetic_kernel::composed(&dependent.manifest, &manifests, &composition.inside())?;
        let all: Vec<&Part> = std::iter::once(&dependent).chain(&parts).collect();
        write(&self.out, &manifest, &composition.component, &all)?;
        let document = json!({
            "component": self.out.join("component.wasm"),
            "manifest": self.out.join("manifest.json"),
            "urn": manifest.id,
            "version": manifest.version,
            "digest": Digest::of(&composition.component),
            "size_bytes": composition.component.len(),
            "plugged": plugged(&composition, &all),
            "requires": manifest.capabilities.requires,
        });
        context.print(&document, || report(&self.out, &manifest, &composition, &all));
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &Path) -> anyhow::Result<Part> {
    let built = Built::at(path)?;
    Ok(Part {
        manifest: Manifest::parse(&built.manifest)?,
        component: built.component,
    })
}

/// Leaves component, manifest and a record of what went into it for `kinetic publish`.
fn write(folder: &Path, manifest: &Manifest, component: &[u8], parts: &[&Part]) -> anyhow::Result<()> {
    let source = |part: &&Part| {
        let uri = format!("{}@{}", part.manifest.id, part.manifest.version);
        json!({ "uri": uri, "digest": Digest::of(&part.component) })
    };
    let info = json!({ "toolchain": "kinetic compose", "sources": parts.iter().map(source).collect::<Value>() });
    std::fs::create_dir_all(folder).map_err(error::file(folder))?;
    let manifest = render::pretty(&serde_json::to_value(manifest)?);
    let info = render::pretty(&info);
    let files = [
        ("component.wasm", component),
        ("manifest.json", manifest.as_bytes()),
        ("build.json", info.as_bytes()),
    ];
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::write(&path, bytes).map_err(error::file(&path))?;
    }
    Ok(())
}

/// Each import that is met inside: who asks, for what, and who has it.
fn plugged(composition: &Composition, parts: &[&Part]) -> Vec<Value> {
    let urn = |place: usize| parts.get(place).map(|part| &part.manifest.id);
    let plugs = composition.plugs.iter();
    plugs
        .map(|plug| json!({ "into": urn(plug.into), "import": plug.import, "from": urn(plug.from) }))
        .collect()
}

fn report(folder: &Path, manifest: &Manifest, composition: &Composition, parts: &[&Part]) -> String {
    let size = render::bytes(composition.component.len() as u64);
    let mut lines = vec![format!("{} ({size})", folder.join("component.wasm").display())];
    let name = |place: usize| parts.get(place).map_or("", |part| part.manifest.id.as_str());
    for plug in &composition.plugs {
        lines.push(format!(
            "  {} has {} from {}",
            name(plug.into),
            plug.import,
            name(plug.from)
        ));
    }
    lines.extend(
        manifest
            .capabilities
            .requires
            .iter()
            .map(|open| format!("  still requires {open}")),
    );
    lines.push(format!("Publish it: kinetic publish {}", folder.display()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_as_a_built_capsule() {
        let text = r#"{ "id": "urn:acme:actionspace:solver:app:v1", "version": "1.0.0", "type": "logic",
            "description": "A whole.", "capabilities": { "provides": ["acme:app/api@1.0.0"] },
            "governance": { "tier": "local", "trust_zone": "tenant", "determinism": "D0_bit_exact" } }"#;
        let part = Part {
            manifest: Manifest::parse(text).unwrap(),
            component: b"part".to_vec(),
        };
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("composed");
        write(&out, &part.manifest, b"whole", &[&part]).unwrap();
        let built = Built::at(&out).unwrap();
        assert_eq!(built.component, b"whole");
        assert_eq!(Manifest::parse(&built.manifest).unwrap(), part.manifest);
        let source = &built.info["sources"][0];
        assert_eq!(source["uri"], "urn:acme:actionspace:solver:app:v1@1.0.0");
        assert_eq!(source["digest"], Digest::of(b"part").to_string());
    }
}
