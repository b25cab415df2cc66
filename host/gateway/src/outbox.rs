//! The outbox over HTTP: what waits for registries, putting something in, trying again, dropping.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, Uri};
use kinetic_kernel::OutboxView;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::GatewayError;
use crate::app::Shared;
use crate::ask::{Ask, bad, read_or_default};
use crate::error::tame;
use crate::execute::media_type;
use crate::json_guard::missing;
use crate::problem::Problem;
use crate::registry_routes::{Publication, publication};

/// The longest reason, in bytes: it is recorded.
const REASON_BYTES_MAX: usize = 1_024;

/// What a new try is asked with: nothing.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `GET /api/v1/outbox`: every entry, in the order they came, and how much there is.
pub(crate) async fn list(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    let kernel = &app.calls.kernel;
    let entries = kernel.outbox()?;
    let counts = kernel.outbox_counts();
    Ok(Json(json!({
        "entries": entries,
        "waiting": counts.waiting,
        "dead": counts.dead,
        "bytes": counts.bytes,
    })))
}

/// `GET /api/v1/outbox/{id}`: one entry.
pub(crate) async fn one(
    State(app): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<OutboxView>, Problem> {
    Ok(Json(app.calls.kernel.outbox_entry(&path_id(id)?)?))
}

/// `POST /api/v1/outbox` with `{manifest, receipt, component, registry}`: verifies it and has it delivered. It is in the
/// ledger and on the disk when 202 is answered. The same again is the entry that is there; one that is dead is tried anew.
pub(crate) async fn post(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    media_type(request.headers(), "application/json")?;
    Ask::of(request.uri(), &[])?;
    let (publication, mut members) = publication(&app, request).await?;
    let registry = members.text("registry")?.ok_or_else(|| missing("registry"))?;
    members.end("manifest, receipt, component and registry")?;
    let Publication {
        manifest,
        receipt,
        component,
    } = publication;
    let entry = app.calls.kernel.post(registry, manifest, receipt, component).await?;
    Ok((StatusCode::ACCEPTED, Json(entry)).into_response())
}

/// `POST /api/v1/outbox/{id}/retry`: tries it at once; a dead one is tried again from now on.
pub(crate) async fn retry(
    State(app): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<OutboxView>, Problem> {
    let id = path_id(id)?;
    let Nothing {} = read_or_default(&app, request).await?;
    Ok(Json(app.calls.kernel.retry_outbox(&id).await?))
}

/// `DELETE /api/v1/outbox/{id}?reason=...`: takes it out. Gives what it was.
pub(crate) async fn discard(
    State(app): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<OutboxView>, Problem> {
    let id = path_id(id)?;
    let ask = Ask::of(&uri, &["reason"])?;
    let reason = ask.text("reason")?.unwrap_or_default().trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(bad("reason", format!("it must have 1 to {REASON_BYTES_MAX} bytes")).into());
    }
    Ok(Json(app.calls.kernel.drop_outbox(&id, reason).await?))
}

fn path_id(id: Result<Path<String>, PathRejection>) -> Result<String, GatewayError> {
    let Path(id) = id.map_err(|e| bad("the path", tame(&e.body_text())))?;
    Ok(id)
}
