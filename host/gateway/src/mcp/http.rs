//! MCP over streamable HTTP, at /mcp: the official SDK's transport behind our bounds and our problems.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Collected, Limited};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tokio::time::timeout;

use super::handler::{Common, Handler};
use crate::calls::Calls;
use crate::error::tame;
use crate::problem::Problem;
use crate::{GatewayConfig, GatewayError, body, json_guard};

/// How long an answered request can be taken up again after its connection broke. Answers are kept for so long.
const RESUME: Duration = Duration::from_secs(10);
/// A new session must be initialised within this time.
const INITIALIZE: Duration = Duration::from_secs(10);
/// The longest refusal of the transport that is read to be passed on, in bytes.
const REFUSAL_BYTES_MAX: usize = 4_096;
/// How long reading it may take.
const REFUSAL: Duration = Duration::from_secs(1);

/// The MCP endpoint. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service(Arc<Inner>);

struct Inner {
    service: StreamableHttpService<Handler, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    common: Arc<Common>,
    config: GatewayConfig,
}

impl Service {
    pub(crate) fn new(calls: Calls, config: &GatewayConfig) -> Self {
        let common = Common::new(calls, config.requests_max);
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(Duration::from_millis(config.mcp_session_idle_ms));
        sessions.session_config.completed_cache_ttl = RESUME;
        sessions.session_config.init_timeout = Some(INITIALIZE);
        let sessions = Arc::new(sessions);
        let bytes_max = usize::try_from(config.body_bytes_max).unwrap_or(usize::MAX);
        // Host, Origin and token are checked for every route before it gets here.
        let settings = StreamableHttpServerConfig::default()
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(bytes_max)
            .with_cancellation_token(common.closing.clone());
        let handlers = common.clone();
        let service =
            StreamableHttpService::new(move || Ok(Handler::new(handlers.clone())), sessions.clone(), settings);
        Self(Arc::new(Inner {
            service,
            sessions,
            common,
            config: config.clone(),
        }))
    }

    /// Ends every session and stream.
    pub(crate) fn close(&self) {
        self.0.common.closing.cancel();
    }
}

/// `GET`, `POST` and `DELETE /mcp`.
pub(crate) async fn serve(State(Service(mcp)): State<Service>, request: Request) -> Result<Response, Problem> {
    let method = request.method().clone();
    let request = if method == Method::POST {
        checked(&mcp, request).await?
    } else {
        request
    };
    let response = mcp.service.handle(request).await.map(Body::new);
    if response.status().is_client_error() || response.status().is_server_error() {
        return Ok(refusal(response, &method).await);
    }
    if method == Method::DELETE {
        // The session is gone when the transport answers; 202 would say that it is still to be done, and clients wonder.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(response)
}

/// Bounds what the transport reads, and the number of sessions.
async fn checked(mcp: &Inner, request: Request) -> Result<Request, GatewayError> {
    let head = request.method().clone();
    let (parts, body) = request.into_parts();
    let mut whole = Request::new(body);
    (*whole.method_mut(), *whole.headers_mut()) = (head, parts.headers.clone());
    let bytes = body::read(whole, &mcp.config, mcp.config.body_bytes_max).await?;
    let message = json_guard::parse(&bytes, mcp.config.json_depth_max)?;
    if message.get("method").and_then(Value::as_str) == Some("initialize") {
        let sessions_max = mcp.config.mcp_sessions_max;
        if mcp.sessions.sessions.read().await.len() >= sessions_max {
            return Err(GatewayError::TooManySessions { sessions_max });
        }
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// The transport refuses in plain text, which becomes a problem with the same status and headers; JSON-RPC errors are for
/// MCP clients and stay as they are.
async fn refusal(response: Response, method: &Method) -> Response {
    let is_json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    if response.headers().get(CONTENT_TYPE).is_some_and(is_json) {
        return response;
    }
    let (head, body) = response.into_parts();
    let error = if head.status == StatusCode::METHOD_NOT_ALLOWED {
        GatewayError::MethodNotAllowed {
            method: tame(method.as_str()),
            path: "/mcp".into(),
        }
    } else {
        let text = timeout(REFUSAL, Limited::new(body, REFUSAL_BYTES_MAX).collect()).await;
        let text = text
            .ok()
            .and_then(Result::ok)
            .map(Collected::to_bytes)
            .unwrap_or_default();
        let why = tame(String::from_utf8_lossy(&text).trim_end_matches('.'));
        GatewayError::McpRefused {
            why: if why.is_empty() { head.status.to_string() } else { why },
        }
    };
    let mut refused = Problem::with_status(error.into(), head.status).into_response();
    refused.headers_mut().extend(head.headers);
    refused
}
