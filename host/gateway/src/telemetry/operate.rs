//! Looks after the pipeline: how it is, finishing files, gold, making tables anew.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::of;
use crate::app::Shared;
use crate::problem::Problem;

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
