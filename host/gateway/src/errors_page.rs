//! The pages a problem's `type` points to: what a code means and what to do, as JSON or for a person.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;

use crate::GatewayError;
use crate::app::Shared;
use crate::error::tame;
use crate::problem::Problem;

/// `GET /errors`: every code.
pub(crate) async fn list(State(app): State<Shared>, headers: HeaderMap) -> Response {
    app.errors.list(&headers)
}

/// `GET /errors/{code}`: one code.
pub(crate) async fn one(
    State(app): State<Shared>,
    headers: HeaderMap,
    code: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let code = code.map(|Path(code)| code).unwrap_or_default();
    let page = app.errors.one(&code, &headers);
    page.ok_or_else(|| GatewayError::UnknownCode { code: tame(&code) }.into())
}
