//! The pages a problem's `type` points to: every code that this server answers with.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::Response;
use http::HeaderMap;
use kinetic_http_server::ErrorPages;
use kinetic_identity::IdentityError;
use kinetic_model::ModelError;
use kinetic_registry::RegistryError;

use crate::ServerError;
use crate::error::{status, tame};
use crate::problem::Problem;

/// They tell nothing about what is kept here, so they are open to all, as the problems are that point to them.
const PAGES: ErrorPages = ErrorPages::new(
    &[
        ("Registry: a server of one's own", ServerError::TABLE),
        ("Registry: storing and fetching", RegistryError::TABLE),
        ("Identity: keys and receipts", IdentityError::TABLE),
        ("Model: names and digests", ModelError::TABLE),
    ],
    status,
);

/// `GET /errors`: every code.
pub(crate) async fn list(headers: HeaderMap) -> Response {
    PAGES.list(&headers)
}

/// `GET /errors/{code}`: one code.
pub(crate) async fn one(headers: HeaderMap, code: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let code = code.map(|Path(code)| code).unwrap_or_default();
    let page = PAGES.one(&code, &headers);
    page.ok_or_else(|| ServerError::UnknownCode { code: tame(&code) }.into())
}
