//! What was refused or failed too often, and the signed word that lets it be tried again.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use kinetic_kernel::{KernelError, Quarantined};
use kinetic_model::{Digest, ModelError};
use serde_json::{Map, Value, json};

use crate::GatewayError;
use crate::app::Shared;
use crate::ask::{bad, read};
use crate::error::tame;
use crate::problem::Problem;

/// `GET /api/v1/quarantine`: everything in it, with why and what to do.
pub(crate) async fn list(State(app): State<Shared>) -> Json<Value> {
    Json(json!({ "quarantined": app.calls.kernel.quarantined() }))
}

/// `GET /api/v1/quarantine/{digest}`: one entry.
pub(crate) async fn one(
    State(app): State<Shared>,
    digest: Result<Path<String>, PathRejection>,
) -> Result<Json<Quarantined>, Problem> {
    let digest = path_digest(digest)?;
    let mut all = app.calls.kernel.quarantined().into_iter();
    let entry = all.find(|entry| entry.digest == digest);
    Ok(Json(entry.ok_or_else(|| KernelError::NotQuarantined {
        digest: digest.to_string(),
    })?))
}

/// `POST /api/v1/quarantine/{digest}/release` with a signed override: the bytes may be tried again. Gives the entry that was.
pub(crate) async fn release(
    State(app): State<Shared>,
    digest: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<Quarantined>, Problem> {
    let digest = path_digest(digest)?;
    let envelope: Map<String, Value> = read(&app, request).await?;
    let released = app.calls.kernel.release(&digest, &Value::Object(envelope)).await?;
    Ok(Json(released))
}

fn path_digest(digest: Result<Path<String>, PathRejection>) -> Result<Digest, GatewayError> {
    let Path(digest) = digest.map_err(|e| bad("the path", tame(&e.body_text())))?;
    digest.parse().map_err(|e: ModelError| {
        let why = e.to_string();
        bad("the path", why.trim_end_matches('.'))
    })
}
