//! `kinetic build`: a Rust package becomes a capsule, ready to run and to publish.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bytes::Bytes;
use clap::Args;
use kinetic_engine::{Admit, Function, Interface};
use kinetic_identity::{now_unix_ms, utc_text};
use kinetic_kernel::Manifest;
use kinetic_model::{Digest, Fault};
use serde_json::{Value, json};

use super::Context;
use crate::data_dir::DataDir;
use crate::error::{self, CliError};
use crate::project::{Project, RECEIPT_FILE, SBOM};
use crate::{authoring, boot, capsule_folder, checkout, render, sbom, signing};

/// Build a capability project into a component
///
/// Runs cargo for wasm32-wasip2 in release mode, adds the comments of wit/ to the component,
/// and leaves target/capsule/component.wasm and manifest.json, and in sbom.cdx.json what the
/// component was made from (CycloneDX, out of Cargo.lock). Then takes the component through all
/// of a host's admission, under this configuration and a key made for the purpose: what a host
/// would refuse fails the build, by name and with its fix.
///
///     kinetic build
///     kinetic build word-count
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Build {
    /// The project's folder
    #[arg(default_value = ".")]
    path: PathBuf,
}

impl Build {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let project = Project::open(&self.path)?;
        let started_on = utc_text(now_unix_ms());
        let compiled = compile(&project, &self.path)?;
        let wit = project.path("wit");
        let component = if wit.is_dir() {
            let path = wit.display().to_string();
            authoring::with_docs(&compiled, &wit).map_err(|why| CliError::BadWit { path, why: flat(&why) })?
        } else {
            compiled
        };
        let manifest_path = project.path("manifest.json");
        let text = std::fs::read_to_string(&manifest_path).map_err(error::file(&manifest_path))?;
        let manifest = Manifest::parse(&text)?;
        let info = record(&project, &text, &component, started_on)?;
        let written = write(&project, &text, &component, &info)?;
        let size = component.len() as u64;
        let digest = Digest::of(&component);
        let (interface, refusal) = super::block_on(check(context, component, &text, &manifest, &info))?;
        let document = json!({
            "component": written,
            "manifest": project.capsule().join("manifest.json"),
            "urn": manifest.id,
            "version": manifest.version,
            "digest": digest,
            "size_bytes": size,
            "functions": interface.functions.iter().map(Function::signature).collect::<Value>(),
            "imports": interface.imports,
        });
        let text = || report(&written, size, &interface);
        if let Some(fault) = &refusal {
            return Ok(context.print_refused(document, fault, text));
        }
        context.print(&document, text);
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs cargo and reads the component it made.
fn compile(project: &Project, shown: &Path) -> Result<Vec<u8>, CliError> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = authoring::cargo(&cargo)
        .args(["--release", "--message-format", "json-render-diagnostics"])
        .current_dir(project.path(""))
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| CliError::NoCargo { why: e.to_string() })?;
    let path = shown.display().to_string();
    if !output.status.success() {
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
        return Err(if authoring::target_is_installed(&rustc) {
            CliError::BuildFailed { path }
        } else {
            CliError::TargetMissing {
                target: authoring::TARGET.into(),
            }
        });
    }
    let manifest = project.path("Cargo.toml");
    let messages = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok());
    let made: Vec<PathBuf> = messages
        .flat_map(|message: Value| components(&message, &manifest))
        .collect();
    match made.as_slice() {
        [one] => std::fs::read(one).map_err(error::file(one)),
        [] => Err(CliError::NoComponent {
            path,
            why: "cargo made no .wasm file".into(),
        }),
        several => Err(CliError::NoComponent {
            path,
            why: format!("cargo made {} .wasm files", several.len()),
        }),
    }
}

/// The components that one of cargo's messages reports for the package itself.
fn components(message: &Value, manifest: &Path) -> Vec<PathBuf> {
    let text = |name: &str| message.get(name).and_then(Value::as_str);
    if text("reason") != Some("compiler-artifact") || text("manifest_path").map(Path::new) != Some(manifest) {
        return Vec::new();
    }
    let files = message.get("filenames").and_then(Value::as_array).into_iter().flatten();
    let wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    files
        .filter_map(Value::as_str)
        .map(PathBuf::from)
        .filter(wasm)
        .collect()
}

/// What is known of the build, and will be signed: never a path of this machine.
fn record(project: &Project, manifest: &str, component: &[u8], started_on: String) -> anyhow::Result<Value> {
    let root = project.path("");
    let folder = capsule_folder::digest(Some(&root), manifest.as_bytes(), component)?;
    let mut info = json!({
        "toolchain": toolchain(),
        "sources": sources(project)?,
        "started_on": started_on,
        "finished_on": utc_text(now_unix_ms()),
        "folder": { "digest": folder.digest, "files": folder.files },
    });
    if let (Some(checkout), Some(members)) = (checkout::of(&root), info.as_object_mut()) {
        members.insert("commit".into(), checkout.commit.into());
        members.insert("dirty".into(), checkout.dirty.into());
        members.extend(checkout.uri.map(|uri| ("repository".into(), uri.into())));
    }
    Ok(info)
}

/// Leaves component, manifest and a record of the build for `kinetic publish`.
fn write(project: &Project, manifest: &str, component: &[u8], info: &Value) -> anyhow::Result<PathBuf> {
    let folder = project.capsule();
    std::fs::create_dir_all(&folder).map_err(error::file(&folder))?;
    let info = render::pretty(info);
    let written = folder.join("component.wasm");
    let files = [
        (written.clone(), component),
        (folder.join("manifest.json"), manifest.as_bytes()),
        (folder.join("build.json"), info.as_bytes()),
    ];
    for (path, bytes) in files {
        std::fs::write(&path, bytes).map_err(error::file(&path))?;
    }
    write_sbom(project, &folder.join(SBOM), manifest, component)?;
    // What was signed is what was built before.
    let signed = folder.join(RECEIPT_FILE);
    match std::fs::remove_file(&signed) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(error::file(&signed)(e).into()),
        _ => {}
    }
    Ok(written)
}

/// Leaves a list of what the component was made from. A member of a workspace has no lock of its own, and so no list.
fn write_sbom(project: &Project, path: &Path, manifest: &str, component: &[u8]) -> anyhow::Result<()> {
    let lock = project.path("Cargo.lock");
    if !lock.is_file() {
        // One of an earlier build would be about another component.
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error::file(path)(error).into()),
            _ => Ok(()),
        };
    }
    let lock = std::fs::read_to_string(&lock).map_err(error::file(&lock))?;
    let Manifest { id, version, .. } = Manifest::parse(manifest)?;
    let text = sbom::of_lock(&lock, &id, &version, component)?;
    Ok(std::fs::write(path, text).map_err(error::file(path))?)
}

fn toolchain() -> String {
    let asked = Command::new("rustc").arg("--version").output();
    asked
        .map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_string())
        .unwrap_or_default()
}

/// Path and digest of what went into the build, sorted by path.
fn sources(project: &Project) -> Result<Vec<Value>, CliError> {
    let mut pending: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock", "src", "wit"]
        .map(|name| project.path(name))
        .into();
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(error::file(&path))? {
                pending.push(entry.map_err(error::file(&path))?.path());
            }
        } else if path.is_file() {
            let bytes = std::fs::read(&path).map_err(error::file(&path))?;
            let inside = path
                .strip_prefix(project.path(""))
                .unwrap_or(&path)
                .display()
                .to_string();
            found.push((inside, Digest::of(&bytes)));
        }
    }
    found.sort();
    Ok(found
        .into_iter()
        .map(|(uri, digest)| json!({ "uri": uri, "digest": digest }))
        .collect())
}

/// What the component offers, and what a host with these settings would hold against it: the whole of admission, in a
/// data folder that is gone afterwards, under a key made for the purpose.
async fn check(
    context: &Context,
    component: Vec<u8>,
    text: &str,
    manifest: &Manifest,
    info: &Value,
) -> anyhow::Result<(Interface, Option<Fault>)> {
    let (data, _folder) = DataDir::temporary()?;
    let kernel = boot::trial_kernel(&context.load(None)?.config, &data)?;
    let key = signing::own_key(&data, manifest.id.namespace(), "trial")?;
    let receipt = signing::sign(text, manifest, &component, &signing::build_info(info), &key)?;
    let component = Bytes::from(component);
    let fault = match kernel.publish(text.to_string(), receipt, component.clone()).await {
        Ok(capsule) => return Ok((capsule.capability.interface().clone(), None)),
        Err(fault) => fault,
    };
    // What it exports helps to see what is wrong, as far as it loads at all.
    let (limits, _) = kernel.policy().limits(manifest);
    let admit = Admit {
        capsule: &manifest.grantee(Digest::of(&component)),
        grants: &manifest.imports,
        peers: &[],
        limits: &limits,
    };
    let loaded = kernel.engine().load(&component, admit).await;
    let interface = loaded
        .map(|(capability, _)| capability.interface().clone())
        .unwrap_or_default();
    Ok((interface, Some(fault)))
}

fn report(written: &Path, size: u64, interface: &Interface) -> String {
    let mut lines = vec![format!("{} ({})", written.display(), render::bytes(size))];
    lines.extend(
        interface
            .functions
            .iter()
            .map(|function| format!("  exports {}", function.signature())),
    );
    lines.extend(
        interface
            .unsupported
            .iter()
            .map(|(export, why)| format!("  leaves out {export}: {why}")),
    );
    let imports = render::packages(interface.imports.iter().map(String::as_str));
    lines.extend((!interface.imports.is_empty()).then(|| format!("  imports {imports}")));
    lines.join("\n")
}

fn flat(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .trim_end_matches('.')
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packages_own_component_is_taken_from_cargos_messages() {
        let message = |manifest: &str, file: &str| json!({ "reason": "compiler-artifact", "manifest_path": manifest, "filenames": [file, "/t/x.d"] });
        let own = Path::new("/p/Cargo.toml");
        assert_eq!(
            components(&message("/p/Cargo.toml", "/t/p.wasm"), own),
            [PathBuf::from("/t/p.wasm")]
        );
        assert!(components(&message("/other/Cargo.toml", "/t/o.wasm"), own).is_empty());
        assert!(components(&message("/p/Cargo.toml", "/t/libp.rlib"), own).is_empty());
        assert!(components(&json!({ "reason": "build-finished" }), own).is_empty());
    }
}
