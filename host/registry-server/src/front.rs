//! What every request passes before and after its route: an id, a place among those worked on, time, and the one place
//! where failures are written.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::timeout;

use crate::ServerError;
use crate::problem::{Problem, written};
use crate::routes::Shared;

/// The header an id comes and goes in.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id taken from a client, in bytes.
const ID_BYTES_MAX: usize = 128;

/// Answers one request, whatever happens.
pub(crate) async fn front(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let id = id_of(request.headers());
    let path = request.uri().path().to_string();
    let text = id.to_str().unwrap_or_default().to_string();
    let response = answered(&app, request, next).await;
    if let Some(Problem(fault)) = response.extensions().get::<Problem>() {
        tracing::debug!(request_id = text, path, code = fault.code, "{}", fault.message);
    }
    let mut response = written(response, &text, &path);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

async fn answered(app: &Shared, request: Request, next: Next) -> Response {
    // Probes tell nothing, and come also when there is much to do.
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let Ok(_place) = app.places.try_acquire() else {
        return Problem::from(ServerError::TooMany {
            what: "requests".into(),
            max: app.limits.requests_max,
        })
        .into_response();
    };
    let running = AssertUnwindSafe(next.run(request)).catch_unwind();
    match timeout(app.limits.request_timeout, running).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::from(ServerError::HandlerPanicked {}).into_response(),
        Err(_) => Problem::from(ServerError::RequestTimeout {
            timeout_ms: u64::try_from(app.limits.request_timeout.as_millis()).unwrap_or(u64::MAX),
        })
        .into_response(),
    }
}

/// The client's id when it is harmless, else a new one.
fn id_of(headers: &HeaderMap) -> HeaderValue {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if let Some(given) = headers.get(REQUEST_ID) {
        let bytes = given.as_bytes();
        if (1..=ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(harmless) {
            return given.clone();
        }
    }
    let mut random = [0; 16];
    // Without randomness ids are all alike, and nothing else is wrong.
    let _ = getrandom::fill(&mut random);
    HeaderValue::from_str(&hex::encode(random)).unwrap_or(HeaderValue::from_static("-"))
}
