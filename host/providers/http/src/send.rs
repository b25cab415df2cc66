//! Sending one request: checked against both lists, against where the name leads, and counted.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use kinetic_engine::{HostBytes, Tape};
use kinetic_model::is_inside;
use wasmtime_wasi_http::p2::{DEFAULT_OUTGOING_BODY_BUFFER_CHUNKS, DEFAULT_OUTGOING_BODY_CHUNK_SIZE};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request};

use crate::hosts::HostPattern;
use crate::{GRANT, recorded};

/// Pieces of a request body a guest may be ahead of the host in a call with a tape, and the bytes of one: as many as
/// fit nearly every request, since a guest that is told to wait sees how fast the host was.
const TAPED_PIECES_MAX: usize = 1024;
const TAPED_PIECE_BYTES_MAX: usize = 64 * 1024;

/// The hooks of one call.
pub(crate) struct Sender {
    pub(crate) manifest: Arc<[HostPattern]>,
    pub(crate) operator: Arc<[HostPattern]>,
    pub(crate) host_bytes: Arc<HostBytes>,
    pub(crate) tape: Tape,
    pub(crate) connect_timeout_ms: u64,
    pub(crate) read_timeout_ms: u64,
}

/// What keeps a connection going while its response is read.
pub(crate) type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
pub(crate) type Sent = (http::Response<WasiBody>, Io);

impl Sender {
    pub(crate) fn deny_all() -> Self {
        let host_bytes = Arc::new(HostBytes::new(0));
        Self {
            manifest: Arc::new([]),
            operator: Arc::new([]),
            host_bytes,
            tape: Tape::default(),
            connect_timeout_ms: 1,
            read_timeout_ms: 1,
        }
    }

    /// The host and port, if both lists allow them.
    fn allowed(&self, uri: &http::Uri) -> Result<(String, u16), Error> {
        let tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?.to_string();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let on = |list: &[HostPattern]| list.iter().any(|pattern| pattern.matches(&host, port, tls));
        if on(&self.manifest) && on(&self.operator) {
            Ok((host, port))
        } else {
            Err(Error::HttpRequestDenied)
        }
    }
}

/// A public name that leads to an address inside is refused: the lists allow names, and whoever answers for a name
/// could otherwise point it at the host's own network. Addresses and `localhost` say what they are.
async fn refuse_inside(host: &str, port: u16) -> Result<(), Error> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() || bare.eq_ignore_ascii_case("localhost") {
        return Ok(());
    }
    let mut addresses = tokio::net::lookup_host((bare, port)).await.map_err(Error::Connect)?;
    if addresses.any(|address| is_inside(address.ip())) {
        Err(Error::HttpRequestDenied)
    } else {
        Ok(())
    }
}

impl WasiHttpHooks for Sender {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let allowed = self.allowed(request.uri());
        let host_bytes = self.host_bytes.clone();
        let wanted = options.unwrap_or_default();
        let at_most = |wanted: Option<Duration>, ms: u64| {
            let most = Duration::from_millis(ms);
            Some(wanted.map_or(most, |wanted| wanted.min(most)))
        };
        let options = RequestOptions {
            connect_timeout: at_most(wanted.connect_timeout, self.connect_timeout_ms),
            first_byte_timeout: at_most(wanted.first_byte_timeout, self.read_timeout_ms),
            between_bytes_timeout: at_most(wanted.between_bytes_timeout, self.read_timeout_ms),
        };
        let request = request.map(|body| Counted { body, host_bytes }.boxed_unsync());
        let send = move |request: http::Request<WasiBody>| async move {
            let (host, port) = allowed?;
            refuse_inside(&host, port).await?;
            let (response, io) = default_send_request(request, Some(options)).await?;
            let io: Io = Box::new(io);
            Ok((response.map(http_body_util::BodyExt::boxed_unsync), io))
        };
        let Some(slot) = self.tape.reserve(GRANT, "handle") else {
            return Box::new(send(request));
        };
        Box::new(async move {
            let response = recorded::exchange(slot, request, send).await?;
            let done: Io = Box::new(std::future::ready(Ok(())));
            Ok((response, done))
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        if self.tape.is_on() {
            TAPED_PIECES_MAX
        } else {
            DEFAULT_OUTGOING_BODY_BUFFER_CHUNKS
        }
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        if self.tape.is_on() {
            TAPED_PIECE_BYTES_MAX
        } else {
            DEFAULT_OUTGOING_BODY_CHUNK_SIZE
        }
    }
}

/// A request body whose bytes are spent from the call's budget as they leave.
struct Counted {
    body: WasiBody,
    host_bytes: Arc<HostBytes>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && self.host_bytes.spend(data.len()).is_err()
        {
            return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
