//! Connections: how many, how slow they may be, and how they end when the registry stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::body::Incoming;
use kinetic_http_server::{Connection, Limits, accept_until};
use kinetic_model::Fault;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use crate::quota::Rates;
use crate::registry::Registry;
use crate::routes::{self, App, router};
use crate::{ServerError, Settings, tls};

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
    limits: Limits,
    drain_timeout: Duration,
    tend_every: Duration,
    tls: Option<TlsAcceptor>,
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
    let limits = Limits {
        connections_max: settings.connections_max,
        header_timeout: Duration::from_millis(settings.header_timeout_ms),
        headers_max: HEADERS_MAX,
        header_bytes_max: HEADER_BYTES_MAX,
        write_stall: Duration::from_millis(settings.write_stall_ms),
    };
    let drain_timeout = Duration::from_millis(settings.drain_timeout_ms);
    let tend_every = Duration::from_millis(settings.tend_ms.max(1));
    let (app, registry) = open(settings).await?;
    for (namespace, why) in registry.doubtful()? {
        tracing::warn!("readers who think as this trust root will not believe the index of {namespace}: {why}");
    }
    Ok(Bound {
        listener,
        local_addr,
        registry,
        router: router(&app),
        limits,
        drain_timeout,
        tend_every,
        tls,
    })
}

/// The registry and what its routes share.
pub(crate) async fn open(settings: Settings) -> Result<(Arc<App>, Arc<Registry>), Fault> {
    let limits = routes::Limits {
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
            limits,
            drain_timeout,
            tend_every,
            tls,
            ..
        } = self;
        let tending = tokio::spawn(tend(registry, tend_every));
        let accepting = accept_until(listener, limits, shutdown, move |connection| {
            connected(connection, tls.clone(), router.clone())
        });
        let mut open = accepting.await;
        tending.abort();
        open.drain(drain_timeout, std::future::ready(())).await;
        open.cut().await;
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

async fn connected(connection: Connection, tls: Option<TlsAcceptor>, router: Router) {
    let answer = move |request| answered(router.clone(), request);
    let Some(tls) = tls else {
        return connection.serve(answer).await;
    };
    if let Some(connection) = connection.over(|stream| tls.accept(stream)).await {
        connection.serve(answer).await;
    }
}

async fn answered(mut router: Router, request: http::Request<Incoming>) -> Response {
    // A router is always ready, and every request gets a clone of its own.
    let Ok(response) = router.call(request).await;
    response
}
