//! Whether the host lives, whether it takes calls, and its metrics.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::app::Shared;
use crate::problem::Problem;
use crate::telemetry::metrics::Reading;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// `GET /readyz`: calls are taken; 503 while capsules are being activated and once the shutdown began.
pub(crate) async fn readyz(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    app.readiness.check()?;
    Ok(Json(
        json!({ "status": "ready", "capsules": app.calls.kernel.list().len() }),
    ))
}

/// `GET /metrics`: everything Prometheus reads.
pub(crate) async fn metrics(State(app): State<Shared>) -> Response {
    let telemetry = Reading::of(&app).await;
    let text = app.calls.metrics.text(&app.calls.kernel, telemetry.as_ref());
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, OPEN_METRICS);
    response
}
