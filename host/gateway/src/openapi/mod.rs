//! The description of the API for programs: OpenAPI 3.1, complete, and the same for every host of a version.

mod capsules;
mod discovery;
mod ledger;
mod outbox;
mod paths;
mod promotions;
mod schemas;
mod telemetry;
mod topics;
mod zones;

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

/// The description as JSON: OpenAPI 3.1.
pub fn openapi() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kinetic",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Verified WebAssembly capabilities, each call in a fresh sandbox within enforced limits.",
            "description": "Every failure is a problem document (RFC 9457) with a stable code; GET /errors explains all codes. \
                            JSON may not name a member twice nor nest deeper than the host allows. MCP clients connect to /mcp.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }, {}],
        "paths": paths::paths(),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Demanded by hosts that have host.token_sha256 configured, on every route but /healthz and /readyz.",
                },
            },
            "schemas": schemas::schemas(),
            "responses": {
                "Problem": {
                    "description": "What went wrong, its stable code, and what to do.",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
        },
    })
}

static WRITTEN: LazyLock<Bytes> = LazyLock::new(|| openapi().to_string().into());

/// `GET /openapi.json`.
pub(crate) async fn serve() -> Response {
    let mut response = Response::new(WRITTEN.clone().into());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
