//! The schemas of events: registered once, named by their digest.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use kinetic_model::Digest;
use serde_json::{Value, json};

use crate::app::Shared;
use crate::ask::{Ask, bad};
use crate::execute::media_type;
use crate::ledger::ledger_of;
use crate::problem::Problem;
use crate::{body, json_guard};

const SCHEMA: &str = "application/schema+json";

/// `GET /api/v1/schemas`: the digests of all.
pub(crate) async fn list(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    Ask::of(request.uri(), &[])?;
    let mut schemas = ledger_of(&app)?.bus().schemas();
    schemas.sort_unstable();
    Ok(Json(json!({ "schemas": schemas })))
}

/// `POST /api/v1/schemas`: registers one; its digest is that of the very bytes that were sent.
pub(crate) async fn register(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    Ask::of(request.uri(), &[])?;
    if media_type(request.headers(), SCHEMA).is_err() {
        media_type(request.headers(), "application/json")?;
    }
    let text = body::read(request, &app.config, app.config.body_bytes_max).await?;
    json_guard::parse(&text, app.config.json_depth_max)?;
    let digest = ledger_of(&app)?.bus().register_schema(text).await?;
    Ok((StatusCode::CREATED, Json(json!({ "digest": digest }))).into_response())
}

/// `GET /api/v1/schemas/{digest}`: the schema as it was sent.
pub(crate) async fn one(State(app): State<Shared>, request: Request) -> Result<Response, Problem> {
    let ask = Ask::of(request.uri(), &[])?;
    let digest: Result<Digest, _> = ask.segment_text(0)?.parse();
    let digest = digest.map_err(|_| bad("the path", "a schema's name is sha256: and 64 hexadecimal digits"))?;
    let text = ledger_of(&app)?.bus().schema(&digest)?;
    let mut response = Response::new(text.into());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(SCHEMA));
    Ok(response)
}
