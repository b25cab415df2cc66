//! Zones and tenants over HTTP and for Prometheus: who runs and waits, and within which bounds.

pub(crate) mod metrics;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::app::Shared;

/// `GET /api/v1/zones`: every zone, and the tenants that had calls in it.
pub(crate) async fn list(State(app): State<Shared>) -> Json<Value> {
    Json(json!({ "zones": app.calls.kernel.zones().status() }))
}
