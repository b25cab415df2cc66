//! The one shape of every failure: an RFC 9457 problem with a stable code, a fix, and what a call used if it ran.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use kinetic_engine::Logs;
use kinetic_kernel::Capsule;
use kinetic_model::{ErrorKind, Fault, Usage};
use serde::Serialize;

use crate::answer::{CapsuleView, LogsView, Telemetry};
use crate::error::fault_status;

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A failure on its way out. Handlers return it; it is written where the request's id is known.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fault: Fault,
    status: u16,
    ran: Option<Ran>,
}

/// What a call that ran, and was stopped, leaves behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) capsule: Arc<Capsule>,
    pub(crate) function: String,
    pub(crate) usage: Usage,
    pub(crate) logs: Logs,
    pub(crate) receipt_id: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'static str,
    fix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    ran: Option<RanView<'a>>,
}

#[derive(Serialize)]
struct RanView<'a> {
    telemetry: Telemetry<'a>,
    logs: LogsView<'a>,
    capsule: CapsuleView<'a>,
    function: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt_id: Option<&'a str>,
}

impl Problem {
    pub(crate) fn new(fault: Fault) -> Self {
        let status = fault_status(&fault);
        Self(Arc::new(Inner {
            fault,
            status,
            ran: None,
        }))
    }

    /// A failure that somebody else has already given a status, which its readers rely on.
    pub(crate) fn with_status(fault: Fault, status: StatusCode) -> Self {
        Self(Arc::new(Inner {
            fault,
            status: status.as_u16(),
            ran: None,
        }))
    }

    /// The failure of a call that ran.
    pub(crate) fn of_call(fault: Fault, ran: Ran) -> Self {
        let status = fault_status(&fault);
        Self(Arc::new(Inner {
            fault,
            status,
            ran: Some(ran),
        }))
    }

    pub(crate) fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// The document, for where there is no HTTP response to write.
    pub(crate) fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self.document(None)).unwrap_or_default()
    }

    fn document<'a>(&'a self, request: Option<(&'a str, &'a str)>) -> Document<'a> {
        let Inner { fault, status, ran } = &*self.0;
        Document {
            r#type: format!("/errors/{}", fault.code),
            title: fault.kind.title(),
            status: *status,
            detail: &fault.message,
            instance: request.map(|(_, path)| path),
            code: fault.code,
            fix: &fault.fix,
            request_id: request.map(|(id, _)| id),
            ran: ran.as_ref().map(|ran| RanView {
                telemetry: Telemetry(&ran.usage),
                logs: LogsView(&ran.logs),
                capsule: CapsuleView(&ran.capsule),
                function: &ran.function,
                receipt_id: ran.receipt_id.as_deref(),
            }),
        }
    }

    /// The response, with the id and path of the request it answers.
    pub(crate) fn write(&self, request_id: &str, instance: &str) -> Response {
        let Inner { fault, status, .. } = &*self.0;
        // Text and numbers always serialise.
        let body = serde_json::to_vec(&self.document(Some((request_id, instance)))).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let response_status = response.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, MEDIA_TYPE);
        // The rest of such a body is still under way: the connection ends here, and the client must know.
        if matches!(
            response_status,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
        ) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        match fault.kind {
            ErrorKind::Unauthenticated => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            ErrorKind::Busy => headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
            _ => None,
        };
        response
    }
}

impl<E: Into<Fault>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::new(error.into())
    }
}

impl IntoResponse for Problem {
    /// An empty response that carries the problem to the place where it is written.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem a response carries, if it carries one; headers that were set beside it (`Allow`, CORS) stay.
pub(crate) fn written(mut response: Response, request_id: &str, instance: &str) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let written = problem.write(request_id, instance);
    let (mut head, _) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    let (written_head, body) = written.into_parts();
    head.headers.extend(written_head.headers);
    head.status = written_head.status;
    Response::from_parts(head, body)
}
