//! The routes: what hosts ask of any registry, and what only one of its own answers: indexes, search, yanking.

mod promotions;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use kinetic_http_server::body::pass_over;
use kinetic_http_server::range::{self, Asked as AskedRange};
use kinetic_identity::strict_json;
use kinetic_model::CapsuleRef;
use kinetic_registry::{Descriptor, Yanked};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::tame;
use crate::problem::Problem;
use crate::publication::{Judged, body_bytes_max};
use crate::quota::Rates;
use crate::registry::Registry;
use crate::tokens::{Caller, Right, caller};
use crate::{ServerError, body, errors_page, front, layout};

/// The largest body but a publication's, in bytes.
const SMALL_BODY_BYTES_MAX: u64 = 4_096;
/// The longest reason for yanking, in bytes.
const REASON_BYTES_MAX: usize = 200;
/// The longest question of a search, in bytes.
const QUESTION_BYTES_MAX: usize = 1_024;
/// Hits of a search, unless it says how many.
const HITS_DEFAULT: usize = 20;
/// The most hits of a search.
const HITS_MAX: usize = 100;

/// What every route shares.
pub(crate) struct App {
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: Limits,
    pub(crate) tokens: Option<PathBuf>,
    pub(crate) private: bool,
    pub(crate) rates: Rates,
    /// Of requests that are worked on.
    pub(crate) places: Semaphore,
    /// Of publications, each of which holds its body.
    pub(crate) publications: Arc<Semaphore>,
}

/// The bounds of [`crate::Settings`] that routes keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) requests_max: usize,
    pub(crate) publications_max: usize,
    pub(crate) body_timeout_ms: u64,
    pub(crate) request_timeout: Duration,
}

pub(crate) type Shared = Arc<App>;
type Reference = Result<Path<String>, PathRejection>;
type Asked = Result<Query<BTreeMap<String, String>>, QueryRejection>;

pub(crate) fn router(app: &Shared) -> Router {
    Router::new()
        .route("/api/v1/registry/capabilities", get(list))
        .route("/api/v1/registry/capabilities/publish", post(publish))
        .route("/api/v1/registry/capabilities/{reference}", get(describe))
        .route("/api/v1/registry/capabilities/{reference}/download", get(download))
        .route("/api/v1/registry/capabilities/{reference}/yank", post(yank))
        .route("/api/v1/registry/capabilities/{reference}/unyank", post(unyank))
        .route("/api/v1/registry/index", get(namespaces))
        .route("/api/v1/registry/index/{namespace}", get(index))
        .route("/api/v1/registry/search", get(search))
        .route("/api/v1/registry/promotions/publish", post(promotions::publish))
        .route("/api/v1/registry/promotions/{reference}", get(promotions::one))
        .route("/healthz", get(healthz))
        .route("/errors", get(errors_page::list))
        .route("/errors/{code}", get(errors_page::one))
        .fallback(no_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), front::front))
        .with_state(app.clone())
}

/// Passes a reader: anybody, unless the registry is private.
fn may_read(app: &App, headers: &HeaderMap) -> Result<(), ServerError> {
    if !app.private {
        return Ok(());
    }
    caller(headers, app.tokens.as_deref(), Right::Read).map(drop)
}

fn may(app: &App, headers: &HeaderMap, right: Right) -> Result<Caller, ServerError> {
    caller(headers, app.tokens.as_deref(), right)
}

fn bad(path: &str, why: impl Into<String>) -> ServerError {
    ServerError::BadRequest {
        path: path.into(),
        why: why.into(),
    }
}

fn capsule(reference: Reference) -> Result<CapsuleRef, ServerError> {
    let Path(text) = reference.map_err(|error| bad("the path", tame(&error.body_text())))?;
    text.parse()
        .map_err(|error: kinetic_model::ModelError| bad("the path", error.to_string().trim_end_matches('.')))
}

/// The query parameters, of which no other are known.
fn query(asked: Asked, known: &[&str]) -> Result<BTreeMap<String, String>, ServerError> {
    let Query(asked) = asked.map_err(|error| bad("the query", tame(&error.body_text())))?;
    if let Some(unknown) = asked.keys().find(|name| !known.contains(&name.as_str())) {
        let why = format!("no such query parameter; there are {}", known.join(", "));
        return Err(bad(&tame(unknown), why));
    }
    Ok(asked)
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn list(State(app): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    may_read(&app, &headers)?;
    let capsules = app.registry.catalogue.read().capsules();
    let capabilities = capsules.list();
    Ok(Json(json!({ "capabilities": capabilities })))
}

async fn describe(
    State(app): State<Shared>,
    headers: HeaderMap,
    reference: Reference,
) -> Result<Json<Descriptor>, Problem> {
    may_read(&app, &headers)?;
    Ok(Json(app.registry.describe(&capsule(reference)?).await?))
}

/// One version's component, streamed: all of it, or from where a download broke off.
async fn download(State(app): State<Shared>, headers: HeaderMap, reference: Reference) -> Result<Response, Problem> {
    may_read(&app, &headers)?;
    let entry = app.registry.resolve(&capsule(reference)?)?.entry;
    let (size_bytes, tag) = (entry.size_bytes, format!("\"{}\"", entry.component));
    let mut response = Response::new(Body::empty());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    if is_known(&headers, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let part = match range::asked(&headers, size_bytes, &tag) {
        AskedRange::Whole => None,
        AskedRange::Part(part) => Some(part),
        AskedRange::Beyond => {
            let mut refused = Problem::from(ServerError::NoSuchRange { size_bytes }).into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size_bytes}")) {
                refused.headers_mut().insert(CONTENT_RANGE, value);
            }
            return Ok(refused);
        }
    };
    let path = layout::blob(&entry.component);
    // Looked at before anything is promised: a stream that fails is only a broken connection to whoever reads it.
    if app.registry.store.size(&path).await? != Some(size_bytes) {
        let why = "it is not there in its size".into();
        return Err(ServerError::StoreDamaged { path, why }.into());
    }
    let (from, sent_bytes) = part.map_or((0, size_bytes), |part| (part.first, part.bytes()));
    let stream = app.registry.store.stream(&path, from, from + sent_bytes).await?;
    *response.body_mut() = Body::from_stream(stream);
    if let Some(part) = part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        if let Some(value) = part.content_range(size_bytes) {
            response.headers_mut().insert(CONTENT_RANGE, value);
        }
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/wasm"));
    headers.insert(CONTENT_LENGTH, sent_bytes.into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

/// What somebody publishes who may: his name, his place among those who publish, and the body.
async fn taken(
    app: &App,
    request: Request,
    bytes_max: u64,
) -> Result<(Caller, OwnedSemaphorePermit, Bytes), ServerError> {
    let admitted = may(app, request.headers(), Right::Publish).and_then(|caller| {
        app.rates.count(&caller, Instant::now())?;
        let place = app.publications.clone().try_acquire_owned();
        let place = place.map_err(|_| ServerError::TooMany {
            what: "publications".into(),
            max: app.limits.publications_max,
        })?;
        Ok((caller, place))
    });
    match admitted {
        Ok((caller, place)) => {
            let body = body::json(request, bytes_max, app.limits.body_timeout_ms).await?;
            Ok((caller, place, body))
        }
        Err(error) => {
            pass_over(request, bytes_max).await;
            Err(error)
        }
    }
}

/// Hosts are told by `activate` whether what is published becomes active; here nothing is, so both mean the same.
async fn publish(State(app): State<Shared>, asked: Asked, request: Request) -> Result<Response, Problem> {
    let asked = query(asked, &["activate"])?;
    if asked
        .get("activate")
        .is_some_and(|activate| !matches!(activate.as_str(), "true" | "false"))
    {
        return Err(bad("activate", "it must be true or false").into());
    }
    let component_bytes_max = app.registry.component_bytes_max;
    let (caller, place, body) = taken(&app, request, body_bytes_max(component_bytes_max)).await?;
    let trust = app.registry.trust.clone();
    let judging = tokio::task::spawn_blocking(move || Judged::of(body, component_bytes_max, &trust));
    let judged = judging.await.map_err(|_| ServerError::HandlerPanicked {})??;
    caller.may_in(judged.namespace())?;
    let (published, is_new) = app.registry.clone().publish(caller, judged, place).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(published)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Yanking {
    reason: String,
}

async fn yank(State(app): State<Shared>, reference: Reference, request: Request) -> Result<Json<Yanked>, Problem> {
    let caller = may(&app, request.headers(), Right::Yank)?;
    let what = capsule(reference)?;
    caller.may_in(what.urn.namespace())?;
    let bytes = body::json(request, SMALL_BODY_BYTES_MAX, app.limits.body_timeout_ms).await?;
    let value = strict_json::parse(&bytes, 1)?;
    let Yanking { reason } =
        serde_json::from_value(value).map_err(|error| bad("the body", tame(&error.to_string())))?;
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        let why = format!("it must be 1 to {REASON_BYTES_MAX} bytes without control characters");
        return Err(bad("reason", why).into());
    }
    Ok(Json(app.registry.yank(&what, Some(reason)).await?))
}

async fn unyank(State(app): State<Shared>, headers: HeaderMap, reference: Reference) -> Result<Json<Yanked>, Problem> {
    let caller = may(&app, &headers, Right::Yank)?;
    let what = capsule(reference)?;
    caller.may_in(what.urn.namespace())?;
    Ok(Json(app.registry.yank(&what, None).await?))
}

async fn namespaces(State(app): State<Shared>, headers: HeaderMap) -> Result<Json<Value>, Problem> {
    may_read(&app, &headers)?;
    Ok(Json(json!({ "namespaces": app.registry.indexed() })))
}

/// The signed index of a namespace, as it is in the store.
async fn index(
    State(app): State<Shared>,
    headers: HeaderMap,
    namespace: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    may_read(&app, &headers)?;
    let Path(namespace) = namespace.map_err(|error| bad("the path", tame(&error.body_text())))?;
    let signed = app.registry.index(&namespace).await?;
    let tag = format!("\"{}\"", signed.digest);
    let mut response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, "application/json")], Body::from(signed.bytes)).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    Ok(response)
}

async fn search(State(app): State<Shared>, headers: HeaderMap, asked: Asked) -> Result<Json<Value>, Problem> {
    may_read(&app, &headers)?;
    let asked = query(asked, &["q", "limit"])?;
    let question = asked.get("q").cloned().unwrap_or_default();
    if question.is_empty() || question.len() > QUESTION_BYTES_MAX {
        return Err(bad("q", format!("it must be 1 to {QUESTION_BYTES_MAX} bytes")).into());
    }
    let limit = match asked.get("limit") {
        None => HITS_DEFAULT,
        Some(limit) => {
            let limit = limit.parse().ok().filter(|limit| (1..=HITS_MAX).contains(limit));
            limit.ok_or_else(|| bad("limit", format!("it must be 1 to {HITS_MAX}")))?
        }
    };
    let capsules = app.registry.catalogue.read().capsules();
    let searching = tokio::task::spawn_blocking(move || {
        let hits = capsules.search(&question, limit);
        json!({ "query": question, "hits": hits })
    });
    Ok(Json(searching.await.map_err(|_| ServerError::HandlerPanicked {})?))
}

/// Whether the client has what that tag names.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    known
        .flat_map(|value| value.split(','))
        .any(|known| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag)
}

async fn no_route(request: Request) -> Problem {
    let path = tame(request.uri().path());
    ServerError::NoRoute { path }.into()
}

async fn method_not_allowed(request: Request) -> Problem {
    let (method, path) = (tame(request.method().as_str()), tame(request.uri().path()));
    ServerError::MethodNotAllowed { method, path }.into()
}

#[cfg(test)]
mod tests;
