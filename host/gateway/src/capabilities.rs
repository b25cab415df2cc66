//! What can be called: the active capsules, and one of them in full.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use kinetic_engine::Function;
use kinetic_kernel::Capsule;
use serde_json::{Value, json};

use crate::app::Shared;
use crate::execute::path_capsule;
use crate::problem::Problem;

/// `GET /api/v1/capabilities`: every active capsule in brief, sorted by URN.
pub(crate) async fn list(State(app): State<Shared>) -> Json<Value> {
    let capsules: Vec<_> = app
        .calls
        .kernel
        .list()
        .iter()
        .map(|capsule| brief(capsule, summary))
        .collect();
    Json(json!({ "capabilities": capsules }))
}

/// `GET /api/v1/capabilities/{urn}`: one capsule with its manifest and the schemas of its functions. One that is not
/// active yet is fetched and admitted, as a call would do. A part of the host is shown too, though only the host calls it.
pub(crate) async fn one(
    State(app): State<Shared>,
    urn: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let capsule = app.calls.kernel.inspect(&path_capsule(urn)?).await?;
    let interface = capsule.capability.interface();
    let unsupported: Vec<_> = interface
        .unsupported
        .iter()
        .map(|(export, why)| json!({ "export": export, "why": why }))
        .collect();
    let mut document = brief(&capsule, in_full);
    if let Some(members) = document.as_object_mut() {
        members.insert("manifest".into(), json!(capsule.manifest));
        members.insert("imports".into(), json!(interface.imports));
        members.insert("exports".into(), json!(interface.exports));
        members.insert("unsupported".into(), unsupported.into());
    }
    Ok(Json(document))
}

fn brief(capsule: &Arc<Capsule>, describe: fn(&Capsule, &Function) -> Value) -> Value {
    let functions: Vec<_> = capsule
        .capability
        .interface()
        .functions
        .iter()
        .map(|function| describe(capsule, function))
        .collect();
    json!({
        "urn": capsule.manifest.id,
        "version": capsule.manifest.version,
        "digest": capsule.digest,
        "manifest_digest": capsule.manifest_digest,
        "generation": capsule.generation,
        "title": capsule.manifest.title,
        "description": capsule.manifest.description,
        "size_bytes": capsule.size_bytes,
        "signer": capsule.signer,
        "source": capsule.source(),
        "activated_unix_ms": capsule.activated_unix_ms,
        "limits": capsule.limits,
        "lowered": capsule.lowered,
        "functions": functions,
    })
}

fn summary(capsule: &Capsule, function: &Function) -> Value {
    json!({
        "name": function.name,
        "title": capsule.title(function),
        "description": capsule.describe(function),
        "signature": function.signature(),
    })
}

fn in_full(capsule: &Capsule, function: &Function) -> Value {
    let mut document = summary(capsule, function);
    if let Some(members) = document.as_object_mut() {
        members.insert("inputSchema".into(), function.input_schema());
        members.insert("outputSchema".into(), function.output_schema());
        if let Some(schema) = function.error_schema() {
            members.insert("errorSchema".into(), schema);
        }
    }
    document
}
