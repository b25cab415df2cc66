//! The two routes of promotions, with the answers that hosts give.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Asked, Reference, Shared, capsule, may_read, query, taken};
use crate::ServerError;
use crate::problem::Problem;
use crate::promotions::{KEPT_BYTES_MAX, judged};

/// `POST /promotions/publish` with `{promotion}`, a DSSE envelope: verified, and kept once.
pub(super) async fn publish(State(app): State<Shared>, asked: Asked, request: Request) -> Result<Response, Problem> {
    query(asked, &[])?;
    let (caller, place, body) = taken(&app, request, KEPT_BYTES_MAX).await?;
    let trust = app.registry.trust.clone();
    let judging = tokio::task::spawn_blocking(move || judged(&body, &trust));
    let accepted = judging.await.map_err(|_| ServerError::HandlerPanicked {})??;
    caller.may_in(accepted.promotion.urn().namespace())?;
    let promoted = app.registry.clone().promote(caller, accepted, place).await?;
    Ok((StatusCode::CREATED, Json(promoted)).into_response())
}

/// `GET /promotions/{reference}`: the signed envelope of one version.
pub(super) async fn one(
    State(app): State<Shared>,
    headers: HeaderMap,
    reference: Reference,
) -> Result<Json<Value>, Problem> {
    may_read(&app, &headers)?;
    Ok(Json(app.registry.promotion(&capsule(reference)?).await?.to_value()))
}
