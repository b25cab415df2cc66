//! What every route shares, and the table of routes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get, post, put};
use kinetic_http_server::ErrorPages;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::calls::Calls;
use crate::error::tame;
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::waiting::Readers;
use crate::{
    GatewayConfig, GatewayError, capabilities, capsules, discovery, errors_page, execute, health, ledger, mcp, openapi,
    outbox, promotions, registry_routes, state, telemetry, topics, zones,
};

/// What every route shares.
pub(crate) struct App {
    pub(crate) config: GatewayConfig,
    pub(crate) calls: Calls,
    pub(crate) errors: ErrorPages,
    pub(crate) readiness: Readiness,
    pub(crate) readers: Readers,
    pub(crate) telemetry: telemetry::Ready,
}

pub(crate) type Shared = Arc<App>;

/// Whether the host takes calls.
#[derive(Default)]
pub(crate) struct Readiness {
    draining: CancellationToken,
    activating: AtomicUsize,
}

/// Held while capsules are being activated; /readyz says so until it is dropped.
pub struct Activating(Shared);

impl Activating {
    pub(crate) fn new(app: &Shared) -> Self {
        app.readiness.activating.fetch_add(1, Ordering::Relaxed);
        Self(app.clone())
    }
}

impl Drop for Activating {
    fn drop(&mut self) {
        self.0.readiness.activating.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Readiness {
    pub(crate) fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends when the shutdown begins: what would go on for ever ends with it.
    pub(crate) fn draining(&self) -> WaitForCancellationFuture<'_> {
        self.draining.cancelled()
    }

    /// Passes when calls are taken.
    pub(crate) fn check(&self) -> Result<(), GatewayError> {
        let not_ready = |why: &str| Err(GatewayError::NotReady { why: why.into() });
        if self.draining.is_cancelled() {
            not_ready("it is shutting down")
        } else if self.activating.load(Ordering::Relaxed) > 0 {
            not_ready("capsules are being activated")
        } else {
            Ok(())
        }
    }
}

/// Every route.
pub(crate) fn router(app: &Shared, mcp: mcp::Service) -> Router {
    Router::new()
        .route("/api/v1/capabilities/execute", post(execute::json))
        .route("/api/v1/capabilities", get(capabilities::list))
        .route("/api/v1/capabilities/{urn}", get(capabilities::one))
        .route("/api/v1/capabilities/{urn}/execute", post(execute::bytes))
        .route("/api/v1/capsules", get(capsules::list))
        .route("/api/v1/capsules/{urn}", get(capsules::one))
        .route("/api/v1/capsules/{urn}/swap", post(capsules::swap::swap))
        .route("/api/v1/capsules/{urn}/rollback", post(capsules::swap::rollback))
        .route("/api/v1/capsules/{urn}/suspend", post(capsules::operate::suspend))
        .route("/api/v1/capsules/{urn}/resume", post(capsules::operate::resume))
        .route("/api/v1/capsules/{urn}/limits", put(capsules::operate::limits))
        .route("/api/v1/capsules/{urn}/bind", put(capsules::operate::bind))
        .route("/api/v1/discovery/search", post(discovery::search))
        .route("/api/v1/zones", get(zones::list))
        .route("/api/v1/quarantine", get(capsules::quarantine::list))
        .route("/api/v1/quarantine/{digest}", get(capsules::quarantine::one))
        .route(
            "/api/v1/quarantine/{digest}/release",
            post(capsules::quarantine::release),
        )
        .route("/api/v1/receipts/{id}", get(ledger::receipt))
        .route("/api/v1/ledger", get(ledger::status))
        .route("/api/v1/ledger/consistency", get(ledger::consistency))
        .route("/api/v1/ledger/records/{seq}", get(state::record))
        .route("/api/v1/state", get(state::everything))
        .route("/api/v1/state/{owner}", get(state::list))
        .route(
            "/api/v1/state/{owner}/{key}",
            get(state::get).put(state::put).delete(state::delete),
        )
        .route("/api/v1/state/{owner}/{key}/history", get(state::history))
        // Beside the owners, not among them, as branches are.
        .route("/api/v1/state-changes", get(state::changes::changes))
        .route(
            "/api/v1/state-branches",
            get(state::branches::list).post(state::branches::create),
        )
        .route(
            "/api/v1/state-branches/{owner}/{name}",
            delete(state::branches::discard),
        )
        .route("/api/v1/state-branches/{owner}/{name}/diff", get(state::branches::diff))
        .route(
            "/api/v1/state-branches/{owner}/{name}/merge",
            post(state::branches::merge),
        )
        .route("/api/v1/topics", get(topics::list).post(topics::create))
        .route("/api/v1/topics/{name}", get(topics::one).put(topics::change))
        .route(
            "/api/v1/topics/{name}/events",
            get(topics::events).post(topics::publish),
        )
        .route("/api/v1/topics/{name}/groups/{group}", delete(topics::forget))
        .route(
            "/api/v1/schemas",
            get(topics::schemas::list).post(topics::schemas::register),
        )
        .route("/api/v1/schemas/{digest}", get(topics::schemas::one))
        .route("/api/v1/registry/capabilities", get(registry_routes::list))
        .route("/api/v1/registry/capabilities/publish", post(registry_routes::publish))
        .route(
            "/api/v1/registry/capabilities/{reference}",
            get(registry_routes::describe),
        )
        .route(
            "/api/v1/registry/capabilities/{reference}/download",
            get(registry_routes::download),
        )
        .route("/api/v1/registry/promotions/publish", post(promotions::publish))
        .route("/api/v1/registry/promotions/{reference}", get(promotions::one))
        .route("/api/v1/crystallizations", post(promotions::crystallize))
        .route("/api/v1/outbox", get(outbox::list).post(outbox::post))
        .route("/api/v1/outbox/{id}", get(outbox::one).delete(outbox::discard))
        .route("/api/v1/outbox/{id}/retry", post(outbox::retry))
        .route(telemetry::PUSH, post(telemetry::push::push))
        .route("/api/v1/telemetry", get(telemetry::operate::status))
        .route("/api/v1/telemetry/stream", get(telemetry::stream::everything))
        .route("/api/v1/telemetry/stream/throttled", get(telemetry::stream::throttled))
        .route("/api/v1/telemetry/flush", post(telemetry::operate::flush))
        .route("/api/v1/telemetry/gold", get(telemetry::operate::gold))
        .route("/api/v1/telemetry/rebuild", post(telemetry::operate::rebuild))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(openapi::serve))
        .route("/errors", get(errors_page::list))
        .route("/errors/{code}", get(errors_page::one))
        .with_state(app.clone())
        .route("/mcp", any(mcp::serve).with_state(mcp))
        .fallback(no_route)
        .method_not_allowed_fallback(method_not_allowed)
}

async fn no_route(request: Request) -> Response {
    Problem::from(GatewayError::NoRoute {
        path: tame(request.uri().path()),
    })
    .into_response()
}

async fn method_not_allowed(request: Request) -> Response {
    let (method, path) = (tame(request.method().as_str()), tame(request.uri().path()));
    Problem::from(GatewayError::MethodNotAllowed { method, path }).into_response()
}

/// The id of the request, put there before it was routed.
pub(crate) fn request_id(request: &Request) -> Option<RequestId> {
    request.extensions().get::<RequestId>().cloned()
}
