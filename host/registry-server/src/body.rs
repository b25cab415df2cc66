//! Reads a request's body if it is JSON, within a size and a time; what fails has the registry's codes.

use std::time::Duration;

use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use kinetic_http_server::{BodyFailure, body};

use crate::ServerError;
use crate::error::tame;

/// The body of a request that is JSON, of at most `bytes_max` bytes, if it comes within `timeout_ms`.
pub(crate) async fn json(request: Request, bytes_max: u64, timeout_ms: u64) -> Result<Bytes, ServerError> {
    media_type(request.headers())?;
    let read = body::read(request, bytes_max, Duration::from_millis(timeout_ms)).await;
    read.map_err(|failure| match failure {
        BodyFailure::TooLarge => ServerError::BodyTooLarge { bytes_max },
        BodyFailure::TimedOut => ServerError::BodyTimeout { timeout_ms },
        BodyFailure::Broken(why) => ServerError::BodyBroken { why: tame(&why) },
    })
}

fn media_type(headers: &HeaderMap) -> Result<(), ServerError> {
    let found = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = if found.is_empty() {
        "of no named type".into()
    } else {
        tame(found)
    };
    Err(ServerError::UnsupportedMedia { found })
}
