//! Those who wait for what is yet to come: how many at once, for how long, and the stream of those who stay.
//!
//! A stream is server-sent events (WHATWG HTML, 9.2), for as long as somebody reads and the host takes calls. A reader
//! that does not read is not read for: its source stands still, so it costs no more than what that holds ready, and the
//! connection ends when it was stuck for `write_stall_ms`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use kinetic_ledger::LedgerError;
use kinetic_medallion::MedallionError;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::GatewayError;
use crate::app::Shared;
use crate::ask::{Ask, bad};
use crate::problem::Problem;

/// The media type of a stream.
pub(crate) const STREAM: &str = "text/event-stream";
/// What a stream's reader had last, as it tells when it comes back.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The most that wait at once, on streams and for pages.
const READERS_MAX: usize = 256;
/// The longest wait for a page, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;
/// How often a stream in which nothing happens says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The places of those who wait.
pub(crate) struct Readers(Arc<Semaphore>);

impl Default for Readers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS_MAX)))
    }
}

impl Readers {
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, GatewayError> {
        let place = self.0.clone().try_acquire_owned();
        place.map_err(|_| GatewayError::TooManyReaders {
            readers_max: READERS_MAX,
        })
    }
}

/// How long a page is waited for; who waits at all holds a place.
pub(crate) struct Wait {
    pub(crate) longest: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

impl Wait {
    /// As `wait_ms` says.
    pub(crate) fn of(app: &Shared, ask: &Ask) -> Result<Self, GatewayError> {
        let wait_ms = ask.number("wait_ms")?.unwrap_or_default();
        if wait_ms > WAIT_MS_MAX {
            return Err(bad("wait_ms", format!("it must be 0 to {WAIT_MS_MAX}")));
        }
        // A page with nothing in it is better than a request that took too long.
        let longest = Duration::from_millis(wait_ms).min(app.config.request_timeout() / 2);
        let place = if longest.is_zero() {
            None
        } else {
            Some(app.readers.place()?)
        };
        Ok(Self { longest, _place: place })
    }
}

/// Where the frames of a stream come from.
pub(crate) trait Source: Send + 'static {
    /// The next frames; none when nothing came within `wait`. Dropping the future loses nothing.
    fn next(&mut self, wait: Duration) -> impl Future<Output = Result<Frames, Ended>> + Send;
}

/// Why a stream ends.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The host ends.
    Closed,
    /// It cannot go on, and its reader is told why.
    Failed(Problem),
}

impl From<LedgerError> for Ended {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Closed {} => Self::Closed,
            other => Self::Failed(other.into()),
        }
    }
}

impl From<MedallionError> for Ended {
    fn from(error: MedallionError) -> Self {
        Self::Failed(error.into())
    }
}

/// Frames as they are sent.
#[derive(Default)]
pub(crate) struct Frames {
    written: Vec<u8>,
    /// Frames that were there already, and stay where they are; only when none were written.
    ready: Bytes,
}

impl Frames {
    /// Frames that somebody else has written, or comments between frames.
    pub(crate) fn ready(ready: Bytes) -> Self {
        Self {
            written: Vec::new(),
            ready,
        }
    }

    /// The first frame of a stream: where it begins, and under which id one can come back there.
    pub(crate) fn start(id: &str, value: &impl Serialize) -> Self {
        let mut frames = Self::default();
        // Maps of text and numbers always serialise.
        frames.push("start", id, serde_json::to_vec(value).unwrap_or_default());
        frames
    }

    /// Appends a frame of one line of JSON; a name or an id of no characters is left out.
    pub(crate) fn push(&mut self, name: &str, id: &str, mut json: Vec<u8>) {
        let out = &mut self.written;
        for (field, value) in [("event", name), ("id", id)] {
            if !value.is_empty() {
                out.extend_from_slice(format!("{field}: {value}\n").as_bytes());
            }
        }
        // In JSON a line break only ever is white space, and would end the line here.
        for byte in &mut json {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"data: ");
        out.append(&mut json);
        out.extend_from_slice(b"\n\n");
    }

    /// Appends a frame that tells about the stream itself.
    pub(crate) fn push_named(&mut self, name: &str, value: &impl Serialize) {
        // Maps of text and numbers always serialise.
        self.push(name, "", serde_json::to_vec(value).unwrap_or_default());
    }

    /// What is sent: a sign of life when there is nothing else.
    pub(crate) fn into_bytes(self) -> Bytes {
        if !self.written.is_empty() {
            self.written.into()
        } else if !self.ready.is_empty() {
            self.ready
        } else {
            Bytes::from_static(b":\n\n")
        }
    }
}

/// Somebody who listens.
struct Reader<S> {
    app: Shared,
    source: S,
    _place: OwnedSemaphorePermit,
}

/// What to send next.
enum Turn {
    /// This, and then more.
    Frames(Bytes),
    /// This, and nothing more.
    Last(Bytes),
    /// Nothing more.
    End,
}

/// Begins a stream. Its first frame, [`Frames::start`], says where it begins, so that a reader can come back there.
pub(crate) fn respond(app: &Shared, place: OwnedSemaphorePermit, start: Frames, source: impl Source) -> Response {
    let reader = Reader {
        app: app.clone(),
        source,
        _place: place,
    };
    let turns = stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.turn().await {
            Turn::Frames(frames) => Some((frames, Some(reader))),
            Turn::Last(frame) => Some((frame, None)),
            Turn::End => None,
        }
    });
    let frames = stream::iter([start.into_bytes()]).chain(turns).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<S: Source> Reader<S> {
    async fn turn(&mut self) -> Turn {
        let next = tokio::select! {
            biased;
            () = self.app.readiness.draining() => return Turn::End,
            next = self.source.next(HEARTBEAT) => next,
        };
        match next {
            Ok(frames) => Turn::Frames(frames.into_bytes()),
            Err(Ended::Closed) => Turn::End,
            Err(Ended::Failed(problem)) => {
                let mut frames = Frames::default();
                frames.push_named("problem", &problem.to_value());
                Turn::Last(frames.into_bytes())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_is_one_line_of_data_however_the_json_was_written() {
        let mut frames = Frames::default();
        frames.push("", "0/7", b"{\r\n  \"a\": \"\\n\"\n}".to_vec());
        assert_eq!(
            frames.into_bytes(),
            b"id: 0/7\ndata: {    \"a\": \"\\n\" }\n\n".as_slice()
        );
        let mut frames = Frames::default();
        frames.push_named("missed", &json!({ "missed": 2 }));
        frames.push("change", "3", b"{}".to_vec());
        let expected = b"event: missed\ndata: {\"missed\":2}\n\nevent: change\nid: 3\ndata: {}\n\n";
        assert_eq!(frames.into_bytes(), expected.as_slice());
        assert_eq!(Frames::default().into_bytes(), b":\n\n".as_slice());
    }

    #[test]
    fn only_so_many_wait_at_once() {
        let readers = Readers::default();
        let places: Vec<_> = (0..READERS_MAX).map(|_| readers.place().unwrap()).collect();
        assert!(matches!(readers.place(), Err(GatewayError::TooManyReaders { .. })));
        drop(places);
        assert!(readers.place().is_ok());
    }
}
