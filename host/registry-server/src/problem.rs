//! The one shape of every failure: an RFC 9457 problem with a stable code and a fix, as hosts answer it.

use axum::response::{IntoResponse, Response};
use kinetic_http_server::problem::{self, Document};
use kinetic_model::Fault;

use crate::error::{fault_status, retry_after_s};

/// A failure on its way out. Handlers return it; it is written where the request's id is known.
#[derive(Clone, Debug)]
pub(crate) struct Problem(pub(crate) Fault);

impl<E: Into<Fault>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Problem {
    /// An empty response that carries the problem to the place where it is written.
    fn into_response(self) -> Response {
        let status = fault_status(&self.0);
        problem::carried(self, status)
    }
}

/// Writes the problem a response carries, if it carries one; headers that were set beside it (`Allow`) stay.
pub(crate) fn written(mut response: Response, request_id: &str, instance: &str) -> Response {
    let Some(Problem(fault)) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let status = fault_status(&fault);
    let document = Document::of(&fault, status, Some((request_id, instance)));
    problem::write(&mut response, &fault, status, retry_after_s(&fault), &document);
    response
}
