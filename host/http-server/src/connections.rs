//! Connections: how many, how slow they may be, and how they end when the server stops.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Stall;

/// How long to wait after an error of accept that is not the connection's fault, as when there are no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What holds for all connections of a server, and for each.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait to be accepted.
    pub connections_max: usize,
    /// The longest that a request's headers may take to arrive, that a connection may idle, and that a layer such as TLS may
    /// take to come about.
    pub header_timeout: Duration,
    /// Headers of a request.
    pub headers_max: usize,
    /// Bytes of a request's headers.
    pub header_bytes_max: usize,
    /// The longest that a client may leave an answer unread.
    pub write_stall: Duration,
}

/// One connection, which holds its place among those there may be until it ends.
pub struct Connection<S = Stall<TcpStream>> {
    stream: S,
    limits: Limits,
    closing: CancellationToken,
    place: Option<OwnedSemaphorePermit>,
}

/// The connections that are open after a server stopped accepting.
pub struct Open {
    connections: JoinSet<()>,
    closing: CancellationToken,
}

/// Accepts until `shutdown` ends, and runs `connected` with each connection in a task of its own. Then it accepts nothing
/// more, and gives those that are still open, which know nothing of it yet.
pub async fn accept_until<F>(
    listener: TcpListener,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
    connected: impl Fn(Connection) -> F + Send,
) -> Open
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections_max.min(Semaphore::MAX_PERMITS)));
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
                // Answers are written whole; waiting for more to send with them only delays them.
                let _ = stream.set_nodelay(true);
                connections.spawn(connected(Connection {
                    stream: Stall::new(stream, limits.write_stall),
                    limits,
                    closing: closing.clone(),
                    place,
                }));
            }
        }
    }
    Open { connections, closing }
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

impl<S> Connection<S> {
    /// The same connection with a layer such as TLS over its stream; none when that did not come about in time.
    pub async fn over<T, F>(self, layer: impl FnOnce(S) -> F) -> Option<Connection<T>>
    where
        F: Future<Output = io::Result<T>>,
    {
        let Self {
            stream,
            limits,
            closing,
            place,
        } = self;
        match timeout(limits.header_timeout, layer(stream)).await {
            Ok(Ok(stream)) => {
                return Some(Connection {
                    stream,
                    limits,
                    closing,
                    place,
                });
            }
            Ok(Err(error)) => tracing::debug!("a connection came to no layer over it: {error}"),
            Err(_) => tracing::debug!("a connection came to no layer over it in time"),
        }
        None
    }

    /// Answers one request after another, until either side ends the connection or the server stops.
    pub async fn serve<A, F>(self, answer: A)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        A: Fn(Request<Incoming>) -> F,
        F: Future<Output = Response<Body>>,
    {
        let Self {
            stream,
            limits,
            closing,
            place: _place,
        } = self;
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_headers(limits.headers_max)
            .max_header_size(limits.header_bytes_max)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service);
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
}

impl Open {
    /// Lets every connection end with the answer it is giving, waits for `first` and then for all of them, for at most
    /// `patience` together; says whether that was enough.
    pub async fn drain(&mut self, patience: Duration, first: impl Future<Output = ()>) -> bool {
        self.closing.cancel();
        let finish = async {
            first.await;
            while self.connections.join_next().await.is_some() {}
        };
        let finished = timeout(patience, finish).await.is_ok();
        if !finished {
            tracing::warn!(
                "{} connections were still open after draining and are closed",
                self.connections.len()
            );
        }
        finished
    }

    /// Closes what is left.
    pub async fn cut(mut self) {
        self.connections.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
