//! Finding a capsule by words.

use axum::Json;
use axum::extract::{Request, State};
use kinetic_kernel::Found;
use kinetic_kernel::search::Query;
use serde::Deserialize;

use crate::GatewayError;
use crate::app::Shared;
use crate::ask::read;
use crate::problem::Problem;

/// What is looked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    query: String,
    limit: Option<usize>,
}

/// `POST /api/v1/discovery/search` with `{query, limit?}`: the capsules that have the words, and why.
pub(crate) async fn search(State(app): State<Shared>, request: Request) -> Result<Json<Found>, Problem> {
    let Search { query, limit } = read(&app, request).await?;
    let query = Query::parse(&query, limit)?;
    let kernel = app.calls.kernel.clone();
    // It computes for milliseconds where there are thousands of capsules; others are not kept waiting.
    let found = tokio::task::spawn_blocking(move || kernel.search(&query)).await;
    Ok(Json(found.map_err(|_| GatewayError::HandlerPanicked {})?))
}
