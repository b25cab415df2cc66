//! The one shape of every failure: an RFC 9457 problem with a stable code and a fix, as hosts answer it.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use kinetic_model::{ErrorKind, Fault};
use serde::Serialize;

use crate::error::{retry_after_s, status};

/// The media type of a problem.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A failure on its way out. Handlers return it; it is written where the request's id is known.
#[derive(Clone, Debug)]
pub(crate) struct Problem(pub(crate) Fault);

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'static str,
    fix: &'a str,
    request_id: &'a str,
}

impl<E: Into<Fault>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Problem {
    /// An empty response that carries the problem to the place where it is written.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status(&self.0)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem a response carries, if it carries one; headers that were set beside it (`Allow`) stay.
pub(crate) fn written(mut response: Response, request_id: &str, instance: &str) -> Response {
    let Some(Problem(fault)) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let document = Document {
        r#type: format!("/errors/{}", fault.code),
        title: fault.kind.title(),
        status: response.status().as_u16(),
        detail: &fault.message,
        instance,
        code: fault.code,
        fix: &fault.fix,
        request_id,
    };
    // Text and numbers always serialise.
    let text = serde_json::to_vec(&document).unwrap_or_default();
    let status = response.status();
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, MEDIA_TYPE);
    // The rest of such a body is still under way: the connection ends here, and the client must know.
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if fault.kind == ErrorKind::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = retry_after_s(&fault) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    *response.body_mut() = Body::from(text);
    response
}
