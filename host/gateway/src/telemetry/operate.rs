//! Looks after the pipeline: how it is, finishing files, gold, making tables anew, putting components in place.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};

use super::of;
use crate::app::Shared;
use crate::ask::Ask;
use crate::body;
use crate::execute::media_type;
use crate::problem::Problem;

/// What a component is sent as.
const WASM: &str = "application/wasm";

/// `GET /api/v1/telemetry`: what arrived, how full the buffer is, how far the tables are.
pub(crate) async fn status(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    let status = of(&app)?.pipeline.status().await?;
    Ok(Json(serde_json::to_value(status).unwrap_or_default()))
}

/// `POST /api/v1/telemetry/flush`: finishes the files that are being written, and brings gold up to them.
pub(crate) async fn flush(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    let telemetry = of(&app)?;
    telemetry.pipeline.flush().await?;
    status(State(app.clone())).await
}

/// `POST /api/v1/telemetry/rebuild`: makes silver and gold anew from bronze.
pub(crate) async fn rebuild(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    let telemetry = of(&app)?;
    telemetry.pipeline.rebuild().await?;
    status(State(app.clone())).await
}

/// `GET /api/v1/telemetry/gold`: the tables of gold, brought up to now.
pub(crate) async fn gold(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    let telemetry = of(&app)?;
    telemetry.pipeline.flush().await?;
    let operator = telemetry.operator.clone();
    let tables = tokio::task::spawn_blocking(move || operator.gold()).await;
    let tables = tables.map_err(|_| crate::GatewayError::HandlerPanicked {})?;
    Ok(Json(tables?))
}

/// `PUT /api/v1/subsystems/{name}`: puts this component in the subsystem's place.
pub(crate) async fn swap(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    media_type(request.headers(), WASM)?;
    let name = Ask::of(request.uri(), &[])?.segment_text(0)?.to_string();
    let bytes_max = app.calls.kernel.engine().config().component_bytes_max;
    let bytes = body::read(request, &app.config, bytes_max).await?;
    let telemetry = of(&app)?;
    let digest = telemetry.operator.swap(&telemetry.pipeline, &name, Some(bytes)).await?;
    Ok(Json(json!({ "subsystem": name, "digest": digest })))
}

/// `DELETE /api/v1/subsystems/{name}`: puts the host's own component back in its place.
pub(crate) async fn reset(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    let name = Ask::of(request.uri(), &[])?.segment_text(0)?.to_string();
    let telemetry = of(&app)?;
    let digest = telemetry.operator.swap(&telemetry.pipeline, &name, None).await?;
    Ok(Json(json!({ "subsystem": name, "digest": digest })))
}
