//! Connections: how many, how slow they may be, and how they end when the host shuts down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kinetic_http_server::{ErrorPages, ErrorTables, Limits, Open, accept_until};
use kinetic_kernel::Kernel;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::app::{Activating, App, Readiness, Shared, router};
use crate::browser::Guard;
use crate::calls::Calls;
use crate::error::status;
use crate::front::Front;
use crate::telemetry::{self, Telemetry};
use crate::waiting::Readers;
use crate::{GatewayConfig, GatewayError, mcp};

/// How often draining looks whether MCP calls are done.
const DRAIN_STEP: Duration = Duration::from_millis(10);
/// How long the answer of the last MCP call may take from the call to its stream.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A gateway that has its address and serves as soon as it is told to.
pub struct Bound {
    listener: TcpListener,
    local_addr: SocketAddr,
    app: Shared,
    front: Front,
    mcp: mcp::Service,
}

/// Checks the settings and takes the address. `errors` are the tables behind /errors.
///
/// # Errors
/// [`GatewayError::TokenNeeded`], [`GatewayError::BadSetting`], [`GatewayError::ListenFailed`].
pub async fn bind(config: GatewayConfig, kernel: Kernel, errors: ErrorTables) -> Result<Bound, GatewayError> {
    config.check()?;
    let failed = |e: std::io::Error| GatewayError::ListenFailed {
        listen: config.listen.to_string(),
        why: e.to_string(),
    };
    let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let guard = Guard::new(&config, local_addr);
    let calls = Calls::new(kernel);
    let mcp = mcp::Service::new(calls.clone(), &config);
    let app = Arc::new(App {
        config,
        calls,
        errors: ErrorPages::new(errors, status),
        readiness: Readiness::default(),
        readers: Readers::default(),
        telemetry: telemetry::Ready::default(),
    });
    let front = Front::new(app.clone(), router(&app, mcp.clone()), guard);
    Ok(Bound {
        listener,
        local_addr,
        app,
        front,
        mcp,
    })
}

impl Bound {
    /// The address, with the port that was found when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Makes /readyz say 503 until the result is dropped.
    #[must_use]
    pub fn activating(&self) -> Activating {
        Activating::new(&self.app)
    }

    /// Takes and shows telemetry from now on; until then its routes answer that it is not ready. Only the first time counts.
    pub fn with_telemetry(&self) -> impl FnOnce(Telemetry) + Send + 'static {
        let ready = self.app.telemetry.clone();
        move |telemetry| drop(ready.set(telemetry))
    }

    /// Serves until `shutdown` ends; then accepts nothing more, lets requests in flight finish for at most
    /// `drain_timeout_ms`, and closes what is left.
    ///
    /// # Errors
    /// None at present: a connection that fails concerns nobody else.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), GatewayError> {
        let Self {
            listener,
            app,
            front,
            mcp,
            ..
        } = self;
        let limits = Limits {
            connections_max: app.config.connections_max,
            header_timeout: Duration::from_millis(app.config.header_timeout_ms),
            headers_max: app.config.headers_max,
            header_bytes_max: app.config.header_bytes_max,
            write_stall: Duration::from_millis(app.config.write_stall_ms),
        };
        let serving = app.clone();
        let accepting = accept_until(listener, limits, shutdown, move |connection| {
            let (app, front) = (serving.clone(), front.clone());
            async move {
                let _counted = app.calls.metrics.connection();
                connection.serve(move |request| front.clone().answer(request)).await;
            }
        });
        let open = accepting.await;
        app.readiness.drain();
        drain(open, &app, &mcp).await;
        Ok(())
    }
}

/// Lets what is in flight finish, then closes the rest.
async fn drain(mut open: Open, app: &Shared, mcp: &mcp::Service) {
    let sessions = async {
        // A session's stream stays open for as long as the session does, so sessions end once their calls have.
        while app.calls.metrics.calls_running() > 0 {
            sleep(DRAIN_STEP).await;
        }
        sleep(LAST_WORDS).await;
        mcp.close();
    };
    let patience = Duration::from_millis(app.config.drain_timeout_ms);
    if !open.drain(patience, sessions).await {
        mcp.close();
    }
    open.cut().await;
}
