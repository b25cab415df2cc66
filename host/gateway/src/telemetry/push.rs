//! Takes telemetry: one JSON object, an array, or lines without end. What was read becomes records of the log while more
//! comes, so a stream may go on for days.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use kinetic_medallion::event::Framing;
use kinetic_medallion::pipeline::{Pushed, Pusher};
use tokio::time::timeout;

use super::of;
use crate::GatewayError;
use crate::app::Shared;
use crate::ask::Ask;
use crate::error::tame;
use crate::execute::media_type;
use crate::problem::Problem;

/// What is read of a quiet stream waits no longer than this.
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// A stream on which nothing comes for this long is ended.
const QUIET_MAX: Duration = Duration::from_mins(15);
/// What a body of telemetry can be, and how it is read.
const MEDIA: [(&str, Framing); 5] = [
    ("application/json", Framing::Document),
    ("application/x-ndjson", Framing::Lines),
    ("application/ndjson", Framing::Lines),
    ("application/jsonl", Framing::Lines),
    ("text/event-stream", Framing::Lines),
];

/// `POST /api/v1/telemetry/push`: answered when all of it is in the log.
pub(crate) async fn push(State(app): State<Shared>, request: Request) -> Result<Json<Pushed>, Problem> {
    Ask::of(request.uri(), &[])?;
    let framing = framing(request.headers())?;
    let mut pusher = Pusher::new(&of(&app)?.pipeline, framing)?;
    let mut body = request.into_body();
    loop {
        match piece(&app, &mut body, &mut pusher).await? {
            Piece::Bytes(bytes) => pusher.read(&bytes).await?,
            Piece::End => {
                pusher.finish().await?;
                break;
            }
            // What came counts, but for a line that is not whole; the sender learns how much that was.
            Piece::Nothing => {
                pusher.flush().await?;
                break;
            }
        }
    }
    let mut answer = pusher.pushed();
    for reject in &mut answer.rejects {
        reject.reason = tame(&reject.reason);
    }
    Ok(Json(answer))
}

/// What a stream brings.
enum Piece {
    /// More of it.
    Bytes(bytes::Bytes),
    /// Its end.
    End,
    /// No more, though it has not ended.
    Nothing,
}

fn framing(headers: &HeaderMap) -> Result<Framing, GatewayError> {
    let found = MEDIA.iter().find(|(media, _)| media_type(headers, media).is_ok());
    if let Some((_, framing)) = found {
        return Ok(*framing);
    }
    let all: Vec<_> = MEDIA.iter().map(|(media, _)| *media).collect();
    media_type(headers, &all.join(", ")).map(|()| Framing::Lines)
}

/// The next bytes. Where none come for a moment, what was read so far goes on.
async fn piece(app: &Shared, body: &mut Body, pusher: &mut Pusher<'_>) -> Result<Piece, Problem> {
    let mut quiet = FLUSH_AFTER;
    loop {
        let frame = tokio::select! {
            frame = timeout(quiet, body.frame()) => frame,
            () = app.readiness.draining() => return Ok(Piece::Nothing),
        };
        match frame {
            Ok(None) => return Ok(Piece::End),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Piece::Bytes(data));
                }
            }
            Ok(Some(Err(error))) => {
                // What came before counts: it was whole.
                pusher.flush().await?;
                let why = tame(&error.to_string());
                return Err(GatewayError::BodyBroken { why }.into());
            }
            Err(_) if quiet == FLUSH_AFTER => {
                pusher.flush().await?;
                quiet = QUIET_MAX;
            }
            Err(_) => return Ok(Piece::Nothing),
        }
    }
}
