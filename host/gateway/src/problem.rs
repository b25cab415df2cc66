//! The one shape of every failure: an RFC 9457 problem with a stable code, a fix, and what a call used if it ran.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use kinetic_engine::Logs;
use kinetic_http_server::problem;
use kinetic_kernel::Capsule;
use kinetic_model::{ErrorKind, Fault, Usage};
use serde::Serialize;

use crate::answer::{CapsuleView, LogsView, Telemetry};
use crate::error::fault_status;

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
    #[serde(flatten)]
    problem: problem::Document<'a>,
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
            problem: problem::Document::of(fault, *status, request),
            ran: ran.as_ref().map(|ran| RanView {
                telemetry: Telemetry(&ran.usage),
                logs: LogsView(&ran.logs),
                capsule: CapsuleView(&ran.capsule),
                function: &ran.function,
                receipt_id: ran.receipt_id.as_deref(),
            }),
        }
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
        let status = self.0.status;
        problem::carried(self, status)
    }
}

/// Writes the problem a response carries, if it carries one, with the id and path of the request it answers; headers that
/// were set beside it (`Allow`, CORS) stay.
pub(crate) fn written(mut response: Response, request_id: &str, instance: &str) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let Inner { fault, status, .. } = &*problem.0;
    let retry_after_s = (fault.kind == ErrorKind::Busy).then_some("1");
    let document = problem.document(Some((request_id, instance)));
    problem::write(&mut response, fault, *status, retry_after_s, &document);
    response
}
