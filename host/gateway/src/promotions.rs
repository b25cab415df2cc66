//! Promotions over HTTP: the registry's two routes for them, and having a topology crystallized.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use kinetic_identity::{PROMOTION_BYTES_MAX, TOPOLOGY_BYTES_MAX};
use kinetic_kernel::Crystallization;
use kinetic_model::{Pin, Urn};
use semver::Version;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::app::Shared;
use crate::ask::{Ask, bad};
use crate::error::tame;
use crate::execute::{media_type, path_capsule};
use crate::problem::Problem;
use crate::{GatewayError, body, json_guard};

/// What a request has around the document or envelope at most, in bytes: the names of the most events.
const AROUND_BYTES_MAX: u64 = 262_144;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    promotion: Map<String, Value>,
}

/// What is to be crystallized.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    urn: Urn,
    version: Version,
    topology: Map<String, Value>,
    events: Vec<String>,
    #[serde(default)]
    workflow_id: Option<String>,
    registry: String,
}

/// `POST /api/v1/registry/promotions/publish` with `{promotion}`, a DSSE envelope: verified, and kept once.
pub(crate) async fn publish(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    let Publication { promotion } = read(&app, request, PROMOTION_BYTES_MAX as u64).await?;
    let promoted = app.calls.kernel.take_promotion(&Value::Object(promotion)).await?;
    Ok((StatusCode::CREATED, Json(promoted)).into_response())
}

/// `GET /api/v1/registry/promotions/{ref}`: the signed envelope of one version.
pub(crate) async fn one(
    State(app): State<Shared>,
    reference: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let what = path_capsule(reference)?;
    if matches!(what.pin, Pin::Digest(_)) {
        return Err(bad("the path", "a promotion is asked for by URN or URN@VERSION").into());
    }
    Ok(Json(app.calls.kernel.store().promotion(&what).await?.to_value()))
}

/// `POST /api/v1/crystallizations`: measures, signs and has it delivered. It is in the ledger and on the disk when 202 is
/// answered.
pub(crate) async fn crystallize(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    let asked: Asked = read(&app, request, TOPOLOGY_BYTES_MAX as u64).await?;
    let what = Crystallization {
        registry: asked.registry,
        urn: asked.urn,
        version: asked.version,
        topology: asked.topology,
        events: asked.events,
        workflow_id: asked.workflow_id,
    };
    let entry = app.calls.kernel.crystallize(what).await?;
    Ok((StatusCode::ACCEPTED, Json(entry)).into_response())
}

/// A body of a closed schema with something in it of so many bytes at most, however low the bound of other bodies is.
async fn read<T: DeserializeOwned>(app: &Shared, request: Request, bytes_max: u64) -> Result<T, GatewayError> {
    media_type(request.headers(), "application/json")?;
    Ask::of(request.uri(), &[])?;
    let bytes_max = app.config.body_bytes_max.max(bytes_max + AROUND_BYTES_MAX);
    let bytes = body::read(request, &app.config, bytes_max).await?;
    let value = json_guard::parse(&bytes, app.config.json_depth_max)?;
    serde_json::from_value(value).map_err(|e| bad("the body", tame(&e.to_string())))
}
