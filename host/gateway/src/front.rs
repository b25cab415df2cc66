//! What every request passes before and after its route: id, guards, a place among those worked on, time, and the one
//! place where failures are written.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use kinetic_model::Digest;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::Service as _;

use crate::app::Shared;
use crate::browser::{self, Guard};
use crate::capsules::swap::is_swap;
use crate::problem::{Problem, written};
use crate::request_id::{self, RequestId, RequestIds};
use crate::telemetry::PUSH;
use crate::{GatewayError, auth};

/// Stands before the router. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front(Arc<Inner>);

struct Inner {
    app: Shared,
    router: Router,
    guard: Guard,
    token_sha256: Option<Digest>,
    places: Semaphore,
    ids: RequestIds,
}

impl Front {
    pub(crate) fn new(app: Shared, router: Router, guard: Guard) -> Self {
        let (token_sha256, requests_max) = (app.config.token_sha256, app.config.requests_max);
        let places = Semaphore::new(requests_max.min(Semaphore::MAX_PERMITS));
        Self(Arc::new(Inner {
            app,
            router,
            guard,
            token_sha256,
            places,
            ids: RequestIds::new(),
        }))
    }

    /// Answers one request, whatever happens.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Response {
        let inner = &*self.0;
        let metrics = &inner.app.calls.metrics;
        let _in_flight = metrics.request_in_flight();
        let id = inner.ids.of(request.headers());
        // Shares its text with the request; a problem will name the path.
        let uri = request.uri().clone();
        let mut response = inner.guarded(request, &id).await;
        if let Some(problem) = response.extensions().get::<Problem>() {
            let fault = problem.fault();
            metrics.failed(fault.code);
            tracing::debug!(
                request_id = id.as_str(),
                path = uri.path(),
                code = fault.code,
                "{}",
                fault.message
            );
            response = written(response, id.as_str(), uri.path());
        }
        metrics.responded(response.status().as_u16());
        response.headers_mut().insert(request_id::HEADER, id.header());
        response
    }
}

impl Inner {
    async fn guarded(&self, mut request: Request<Incoming>, id: &RequestId) -> Response {
        // Probes come from orchestrators, under any name and without a token; they tell nothing.
        if matches!(request.uri().path(), "/healthz" | "/readyz") {
            return self.routed(request).await;
        }
        let origin = match self.guard.check(request.uri(), request.headers()) {
            Ok(origin) => origin,
            Err(error) => return Problem::from(error).into_response(),
        };
        if let (Some(origin), &Method::OPTIONS) = (&origin, request.method()) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            browser::let_read(response.headers_mut(), origin.clone());
            browser::let_send(response.headers_mut());
            return response;
        }
        request.extensions_mut().insert(id.clone());
        let mut response = match self.admitted(request).await {
            Ok(response) => response,
            Err(error) => Problem::from(error).into_response(),
        };
        if let Some(origin) = origin {
            browser::let_read(response.headers_mut(), origin);
        }
        response
    }

    async fn admitted(&self, request: Request<Incoming>) -> Result<Response, GatewayError> {
        auth::check(request.headers(), self.token_sha256.as_ref())?;
        let Ok(_place) = self.places.try_acquire() else {
            return Err(GatewayError::TooManyRequests {
                requests_max: self.app.config.requests_max,
            });
        };
        // A push reads for as long as something comes; a swap goes on to its end, and whoever waits is told how it went.
        if request.uri().path() == PUSH || is_swap(request.uri()) {
            return Ok(self.routed(request).await);
        }
        let limit = self.app.config.request_timeout();
        timeout(limit, self.routed(request))
            .await
            .map_err(|_| GatewayError::RequestTimeout {
                timeout_ms: self.app.config.request_timeout_ms,
            })
    }

    async fn routed(&self, request: Request<Incoming>) -> Response {
        // A router is always ready, and every request gets a clone of its own.
        caught(self.router.clone().call(request)).await
    }
}

/// A handler's response, or a problem when it panicked. What it held is dropped; nothing else of the host is touched.
async fn caught(handler: impl Future<Output = Result<Response, Infallible>>) -> Response {
    match AssertUnwindSafe(handler).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(_) => Problem::from(GatewayError::HandlerPanicked {}).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_with_a_problem() {
        let response = caught(async { panic!("a bug") }).await;
        let problem = response.extensions().get::<Problem>().unwrap();
        assert_eq!(
            (response.status().as_u16(), problem.fault().code),
            (500, "KIN-GWY-0021")
        );
    }
}
