//! `kinetic inspect`: everything about one capability, or about a component file.

use std::path::Path;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use kinetic_engine::{Function, Interface};
use kinetic_kernel::Capsule;
use kinetic_model::{CapsuleRef, Digest, Limits};
use kinetic_registry::{HttpOptions, HttpSource, Source};
use serde_json::{Value, json};

use super::{Context, Place, run};
use crate::error::{self, CliError};
use crate::{boot, render};

/// Show everything about a capability: functions, limits, imports, who signed it
///
/// Asks the running host; with --data and without --host this process looks into that data
/// folder. A file is described as `kinetic run` would load it, with the manifest.json beside it
/// if there is one; nothing of it runs. --output json also has the JSON Schema of every
/// function.
///
///     kinetic inspect urn:kinetic:actionspace:solver:redact:v1
///     kinetic inspect target/capsule/component.wasm --output json
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Inspect {
    /// URN, URN@1.4.2, URN@sha256:... or the path of a component
    #[arg(value_name = "URN|FILE")]
    what: String,
}

impl Inspect {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let document = super::block_on(async {
            if !self.what.starts_with("urn:") {
                return file(context, Path::new(&self.what)).await;
            }
            let what: CapsuleRef = self.what.parse()?;
            match context.place()? {
                Place::Host(client) => {
                    let mut document = client.inspect(&what.to_string()).await?;
                    let options = HttpOptions {
                        token: context.token()?,
                        ..HttpOptions::default()
                    };
                    add_receipt(&mut document, &HttpSource::new(client.url(), &options)?, &what).await;
                    Ok(document)
                }
                Place::Here(config, data) => {
                    let kernel = boot::looking_kernel(&config, &data).await?;
                    let capsule = kernel.inspect(&what).await?;
                    let mut document = of_capsule(&capsule);
                    add_receipt(&mut document, &**kernel.store(), &what).await;
                    Ok(document)
                }
            }
        })?;
        context.print(&document, || text(&document));
        Ok(ExitCode::SUCCESS)
    }
}

async fn file(context: &Context, path: &Path) -> anyhow::Result<Value> {
    if !path.exists() {
        let why = format!("{} is neither a URN nor a file", path.display());
        return Err(CliError::BadArgument { why }.into());
    }
    let config = context.load(None)?.config;
    let bytes = std::fs::read(path).map_err(error::file(path))?;
    let digest = Digest::of(&bytes);
    let asked = run::asked(path, digest, None, &config)?;
    let (capability, _) = boot::author_engine(&config)?.load(&bytes, asked.admit()).await?;
    let describe = |function: &Function| function.docs.clone().unwrap_or_default();
    let mut document = common(capability.interface(), capability.limits(), &describe);
    add(
        &mut document,
        json!({ "file": path, "digest": digest, "size_bytes": bytes.len() }),
    );
    Ok(document)
}

/// What the HTTP route says of a capsule, of one in this process.
fn of_capsule(capsule: &Capsule) -> Value {
    let mut document = common(capsule.capability.interface(), &capsule.limits, &|function| {
        capsule.describe(function)
    });
    let own = json!({
        "urn": capsule.manifest.id,
        "version": capsule.manifest.version,
        "digest": capsule.digest,
        "manifest_digest": capsule.manifest_digest,
        "description": capsule.manifest.description,
        "size_bytes": capsule.size_bytes,
        "signer": capsule.signer,
        "source": capsule.source(),
        "lowered": capsule.lowered,
        "manifest": capsule.manifest,
    });
    add(&mut document, own);
    document
}

fn common(interface: &Interface, limits: &Limits, describe: &dyn Fn(&Function) -> String) -> Value {
    let function = |function: &Function| {
        json!({
            "name": function.name,
            "signature": function.signature(),
            "description": describe(function),
            "inputSchema": function.input_schema(),
            "outputSchema": function.output_schema(),
            "errorSchema": function.error_schema(),
        })
    };
    json!({
        "limits": limits,
        "functions": interface.functions.iter().map(function).collect::<Value>(),
        "imports": interface.imports,
        "exports": interface.exports,
        "unsupported": interface.unsupported.iter().map(|(export, why)| json!({ "export": export, "why": why })).collect::<Value>(),
    })
}

fn add(document: &mut Value, more: Value) {
    if let (Some(members), Value::Object(more)) = (document.as_object_mut(), more) {
        members.extend(more);
    }
}

/// Puts the signed receipt in, where the store has one, and what it says about the build. A capsule can be active without
/// being in the host's own store; then there is none to show.
async fn add_receipt(document: &mut Value, source: &dyn Source, what: &CapsuleRef) {
    let Ok(descriptor) = source.describe(what).await else {
        return;
    };
    let payload = descriptor
        .receipt
        .get("payload")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let statement: Value = BASE64
        .decode(payload)
        .ok()
        .and_then(|b| serde_json::from_slice(&b).ok())
        .unwrap_or_default();
    add(
        document,
        json!({ "receipt": { "envelope": descriptor.receipt, "statement": statement } }),
    );
}

/// The document for people.
fn text(document: &Value) -> String {
    let word = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let list = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    let mut lines = Vec::new();
    let name = [word("urn"), word("file")].concat();
    lines.push(format!("{name} {}", word("version")).trim_end().to_string());
    lines.extend((!word("description").is_empty()).then(|| word("description").to_string()));
    let size = document.get("size_bytes").and_then(Value::as_u64).unwrap_or_default();
    let mut rows = vec![
        vec!["digest".to_string(), word("digest").to_string()],
        vec!["size".into(), render::bytes(size)],
    ];
    rows.extend((!word("signer").is_empty()).then(|| vec!["signed by key".to_string(), word("signer").to_string()]));
    rows.extend((!word("source").is_empty()).then(|| vec!["from".to_string(), word("source").to_string()]));
    rows.extend(build(document));
    let imports = render::packages(list("imports").iter().filter_map(Value::as_str));
    rows.push(vec!["imports".into(), imports]);
    lines.push(render::table(&rows));
    lines.push("functions".to_string());
    for function in list("functions") {
        let part = |name: &str| function.get(name).and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("  {}", part("signature")));
        lines.extend(part("description").lines().map(|line| format!("      {line}")));
    }
    for export in list("unsupported") {
        let part = |name: &str| export.get(name).and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("  {} cannot be called: {}", part("export"), part("why")));
    }
    let limits = serde_json::from_value::<Limits>(document.get("limits").cloned().unwrap_or_default());
    lines.extend(
        limits
            .ok()
            .map(|limits| format!("\nlimits of a call\n{}", render::limits(&limits))),
    );
    lines.join("\n")
}

/// What the receipt says about the build.
fn build(document: &Value) -> Option<Vec<String>> {
    let predicate = document.pointer("/receipt/statement/predicate")?;
    let id = predicate.pointer("/runDetails/builder/id").and_then(Value::as_str)?;
    let sources = predicate
        .pointer("/buildDefinition/resolvedDependencies")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let from = if sources == 0 {
        String::new()
    } else {
        format!(", from {sources} recorded sources")
    };
    Some(vec!["built by".into(), format!("{id}{from}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_is_shown_with_its_functions_docs_and_limits() {
        let document = json!({
            "urn": "urn:a:actionspace:solver:b:v1", "version": "1.0.0", "description": "Does b.", "digest": "sha256:00",
            "size_bytes": 2048, "signer": "0123456789abcdef", "imports": [], "limits": Limits::default(),
            "functions": [{ "signature": "b: func()", "description": "It does." }],
        });
        let text = text(&document);
        for part in [
            "solver:b:v1 1.0.0",
            "Does b.",
            "2.0 KiB",
            "0123456789abcdef",
            "  b: func()\n      It does.",
            "67,108,864",
        ] {
            assert!(text.contains(part), "{part} is missing from\n{text}");
        }
    }
}
