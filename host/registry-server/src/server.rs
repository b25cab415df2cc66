//! Connections: how many, how slow they may be, and how they end when the registry stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use kinetic_model::Fault;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::quota::Rates;
use crate::registry::Registry;
use crate::routes::{App, Limits, router};
use crate::stall::Stall;
use crate::{ServerError, Settings, tls};

/// How long to wait after an error of accept that is not the connection's fault, as when there are no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Headers of a request, at most.
const HEADERS_MAX: usize = 64;
/// Of a request's headers, in bytes.
const HEADER_BYTES_MAX: usize = 32_768;

/// A registry that has its address and has read its store, and serves as soon as it is told to.
pub struct Bound {
    listener: TcpListener,
    local_addr: SocketAddr,
    registry: Arc<Registry>,
    router: Router,
    bounds: Bounds,
    tls: Option<TlsAcceptor>,
}

/// What holds for each connection.
#[derive(Clone, Copy)]
struct Bounds {
    connections_max: usize,
    header_timeout: Duration,
    write_stall: Duration,
    drain_timeout: Duration,
    tend: Duration,
}

/// Checks the settings, takes the address, and reads the store.
///
/// # Errors
/// [`ServerError::TlsNeeded`], [`ServerError::BadSetting`], [`ServerError::BadTls`], [`ServerError::ListenFailed`]; those of
/// the store, and of a trust root that cannot be read.
pub async fn bind(settings: Settings) -> Result<Bound, Fault> {
    settings.check()?;
    let tls = match &settings.tls {
        Some((certificates, key)) => Some(tls::acceptor(certificates, key)?),
        None => None,
    };
    let failed = |error: std::io::Error| ServerError::ListenFailed {
        listen: settings.listen.to_string(),
        why: error.to_string(),
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
    let local_addr = listener.local_addr().map_err(failed)?;
    let bounds = Bounds {
        connections_max: settings.connections_max,
        header_timeout: Duration::from_millis(settings.header_timeout_ms),
        write_stall: Duration::from_millis(settings.write_stall_ms),
        drain_timeout: Duration::from_millis(settings.drain_timeout_ms),
        tend: Duration::from_millis(settings.tend_ms.max(1)),
    };
    let (app, registry) = open(settings).await?;
    for (namespace, why) in registry.doubtful()? {
        tracing::warn!("readers who think as this trust root will not believe the index of {namespace}: {why}");
    }
    Ok(Bound {
        listener,
        local_addr,
        registry,
        router: router(&app),
        bounds,
        tls,
    })
}

/// The registry and what its routes share.
pub(crate) async fn open(settings: Settings) -> Result<(Arc<App>, Arc<Registry>), Fault> {
    let limits = Limits {
        requests_max: settings.requests_max,
        publications_max: settings.publications_max,
        body_timeout_ms: settings.body_timeout_ms,
        request_timeout: settings.request_timeout(),
    };
    let (tokens, private) = (settings.tokens.clone(), settings.private);
    let registry = Registry::open(settings).await?;
    let app = App {
        registry: registry.clone(),
        tokens,
        private,
        rates: Rates::default(),
        places: Semaphore::new(limits.requests_max.min(Semaphore::MAX_PERMITS)),
        publications: Arc::new(Semaphore::new(limits.publications_max.min(Semaphore::MAX_PERMITS))),
        limits,
    };
    Ok((Arc::new(app), registry))
}

impl Bound {
    /// The address, with the port that was found when 0 was asked for.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Whether it speaks TLS.
    pub const fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Serves until `shutdown` ends; then accepts nothing more, lets requests in flight finish for a while, and closes what
    /// is left.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let Self {
            listener,
            registry,
            router,
            bounds,
            tls,
            ..
        } = self;
        let tending = tokio::spawn(tend(registry, bounds.tend));
        let places = Arc::new(Semaphore::new(bounds.connections_max.min(Semaphore::MAX_PERMITS)));
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
                    connections.spawn(connected(stream, place, tls.clone(), router.clone(), bounds, closing.clone()));
                }
            }
        }
        drop(listener);
        tending.abort();
        closing.cancel();
        let finish = async { while connections.join_next().await.is_some() {} };
        if timeout_at(Instant::now() + bounds.drain_timeout, finish).await.is_err() {
            tracing::warn!("{} connections were still open and are closed", connections.len());
        }
        connections.shutdown().await;
    }
}

/// Keeps indexes from expiring, and takes in what other servers on the same store do.
async fn tend(registry: Arc<Registry>, every: Duration) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(fault) = registry.tend().await {
            tracing::warn!("indexes could not be looked after: {fault}");
        }
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

async fn connected(
    stream: TcpStream,
    _place: Option<OwnedSemaphorePermit>,
    tls: Option<TlsAcceptor>,
    router: Router,
    bounds: Bounds,
    closing: CancellationToken,
) {
    // Answers are written whole; waiting for more to send with them only delays them.
    let _ = stream.set_nodelay(true);
    let stream = Stall::new(stream, bounds.write_stall);
    let Some(tls) = tls else {
        return spoken(stream, router, bounds, closing).await;
    };
    match timeout(bounds.header_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => spoken(stream, router, bounds, closing).await,
        Ok(Err(error)) => tracing::debug!("a connection did not come to TLS: {error}"),
        Err(_) => tracing::debug!("a connection did not come to TLS in time"),
    }
}

async fn spoken(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    bounds: Bounds,
    closing: CancellationToken,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_timeout)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
