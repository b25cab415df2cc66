//! Connections: how many, how slow they may be, and how they end when the host shuts down.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kinetic_kernel::Kernel;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::app::{Activating, App, ErrorTables, Readiness, Shared, router};
use crate::browser::Guard;
use crate::calls::Calls;
use crate::front::Front;
use crate::stall::Stall;
use crate::telemetry::{self, Telemetry};
use crate::waiting::Readers;
use crate::{GatewayConfig, GatewayError, mcp};

/// How long to wait after an error of accept that is not the connection's fault, as when there are no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
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
        errors,
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
        let places = Arc::new(Semaphore::new(app.config.connections_max.min(Semaphore::MAX_PERMITS)));
        let closing = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                // Those that ended are taken out as they end, so that the set holds only what is open.
                Some(_) = connections.join_next() => {}
                (stream, place) = accept(&listener, &places) => {
                    connections.spawn(serve_connection(stream, place, app.clone(), front.clone(), closing.clone()));
                }
            }
        }
        drop(listener);
        app.readiness.drain();
        closing.cancel();
        drain(connections, &app, &mcp).await;
        Ok(())
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Closing the semaphore is the only way it fails, and nothing closes it.
    let place = places.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::debug!("a connection could not be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    _place: Option<OwnedSemaphorePermit>,
    app: Shared,
    front: Front,
    closing: CancellationToken,
) {
    let _counted = app.calls.metrics.connection();
    // Answers are written whole; waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let config = &app.config;
    let io = TokioIo::new(Stall::new(stream, Duration::from_millis(config.write_stall_ms)));
    let service = service_fn(move |request| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.header_timeout_ms))
        .max_headers(config.headers_max)
        .max_header_size(config.header_bytes_max)
        .half_close(false)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// Lets what is in flight finish, then closes the rest.
async fn drain(mut connections: JoinSet<()>, app: &Shared, mcp: &mcp::Service) {
    let deadline = Instant::now() + Duration::from_millis(app.config.drain_timeout_ms);
    let finish = async {
        // A session's stream stays open for as long as the session does, so sessions end once their calls have.
        while app.calls.metrics.calls_running() > 0 {
            sleep(DRAIN_STEP).await;
        }
        sleep(LAST_WORDS).await;
        mcp.close();
        while connections.join_next().await.is_some() {}
    };
    if timeout_at(deadline, finish).await.is_err() {
        tracing::warn!(
            "{} connections were still open after draining and are closed",
            connections.len()
        );
        mcp.close();
    }
    connections.shutdown().await;
}
