//! Takes telemetry: one JSON object, an array, or lines without end. What was read becomes records of the log while more
//! comes, so a stream may go on for days.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use kinetic_medallion::MedallionError;
use kinetic_medallion::event::{Framing, Reader, ReaderSettings};
use kinetic_medallion::pipeline::{Pending, Pipeline, Taken};
use serde_json::{Value, json};
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
/// Batches that are being taken while the next one is read.
const IN_FLIGHT_MAX: usize = 2;
/// A batch is about what one record of the log holds.
const BATCH: ReaderSettings = ReaderSettings {
    batch_events_max: 8_192,
    batch_bytes_max: 2 << 20,
};
/// What a body of telemetry can be, and how it is read.
const MEDIA: [(&str, Framing); 5] = [
    ("application/json", Framing::Document),
    ("application/x-ndjson", Framing::Lines),
    ("application/ndjson", Framing::Lines),
    ("application/jsonl", Framing::Lines),
    ("text/event-stream", Framing::Lines),
];

/// `POST /api/v1/telemetry/push`: answered when all of it is in the log.
pub(crate) async fn push(State(app): State<Shared>, request: Request) -> Result<Json<Value>, Problem> {
    Ask::of(request.uri(), &[])?;
    let framing = framing(request.headers())?;
    let reader = Reader::new(framing, BATCH)?;
    let mut pushing = Pushing {
        pipeline: &of(&app)?.pipeline,
        reader,
        in_flight: VecDeque::new(),
        taken: Taken::default(),
    };
    let mut body = request.into_body();
    loop {
        match piece(&app, &mut body, &mut pushing).await? {
            Piece::Bytes(bytes) => pushing.read(&bytes).await?,
            Piece::End => {
                pushing.finish().await?;
                break;
            }
            // What came counts, but for a line that is not whole; the sender learns how much that was.
            Piece::Nothing => {
                pushing.flush().await?;
                break;
            }
        }
    }
    Ok(Json(pushing.totals()))
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
async fn piece(app: &Shared, body: &mut Body, pushing: &mut Pushing<'_>) -> Result<Piece, Problem> {
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
                pushing.flush().await?;
                let why = tame(&error.to_string());
                return Err(GatewayError::BodyBroken { why }.into());
            }
            Err(_) if quiet == FLUSH_AFTER => {
                pushing.flush().await?;
                quiet = QUIET_MAX;
            }
            Err(_) => return Ok(Piece::Nothing),
        }
    }
}

/// A push under way.
struct Pushing<'a> {
    pipeline: &'a Pipeline,
    reader: Reader,
    in_flight: VecDeque<Pending>,
    taken: Taken,
}

impl Pushing<'_> {
    async fn read(&mut self, mut bytes: &[u8]) -> Result<(), Problem> {
        while let Some(batch) = self.reader.read(&mut bytes, now_unix_ns())? {
            self.send(batch).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Problem> {
        if let Some(batch) = self.reader.flush()? {
            self.send(batch).await?;
        }
        self.settle(0).await
    }

    async fn finish(&mut self) -> Result<(), Problem> {
        if let Some(batch) = self.reader.finish(now_unix_ns())? {
            self.send(batch).await?;
        }
        self.settle(0).await
    }

    fn totals(&self) -> Value {
        let totals = self.reader.totals();
        let listed: Vec<_> = totals
            .listed
            .iter()
            .map(|one| json!({ "line": one.line, "reason": tame(&one.reason) }))
            .collect();
        json!({
            "arrived": totals.arrived,
            "kept": self.taken.kept,
            "shed": self.taken.shed,
            "rejected": self.taken.rejected,
            "rejects": listed,
        })
    }

    async fn send(&mut self, batch: kinetic_medallion::event::Batch) -> Result<(), Problem> {
        self.settle(IN_FLIGHT_MAX - 1).await?;
        let pending = self.pipeline.begin(batch).await.map_err(|error| self.after(error))?;
        self.in_flight.push_back(pending);
        Ok(())
    }

    /// Waits until at most so many batches are being taken.
    async fn settle(&mut self, in_flight_max: usize) -> Result<(), Problem> {
        while self.in_flight.len() > in_flight_max {
            let Some(pending) = self.in_flight.pop_front() else {
                break;
            };
            let taken = pending.taken().await.map_err(|error| self.after(error))?;
            self.taken.kept += taken.kept;
            self.taken.shed += taken.shed;
            self.taken.rejected += taken.rejected;
        }
        Ok(())
    }

    /// The error with what was taken of the push before it.
    fn after(&self, error: MedallionError) -> MedallionError {
        error.after(self.taken.kept + self.taken.shed)
    }
}

pub(crate) fn now_unix_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
