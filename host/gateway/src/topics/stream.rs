//! Events as server-sent events (WHATWG HTML, 9.2), for as long as somebody reads and the host takes calls.
//!
//! A reader that does not read is not read for: its subscription stands still, so it costs no memory, and the connection
//! ends when it was stuck for `write_stall_ms`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use kinetic_ledger::LedgerError;
use kinetic_ledger::bus::{BusView, Event, Subscribe, Subscription};
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::read::by_partition;
use crate::app::Shared;
use crate::problem::Problem;

/// The media type of a stream.
pub(super) const MEDIA_TYPE: &str = "text/event-stream";
/// How often a stream without events says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Events written at once, and about how much they take in memory, in bytes.
const BATCH_EVENTS: usize = 64;
const BATCH_BYTES: u64 = 256 << 10;

/// Somebody who listens.
struct Reader {
    app: Shared,
    subscription: Subscription,
    /// How many dropped events it was told of.
    missed: u64,
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

/// Begins a stream. Its first frame says where it begins, so that a reader can come back there.
pub(super) async fn respond(
    app: &Shared,
    place: OwnedSemaphorePermit,
    bus: &Arc<BusView>,
    subscribe: Subscribe,
) -> Result<Response, Problem> {
    let subscription = bus.subscribe(subscribe).await?;
    let positions = subscription.positions();
    let heads = bus.topic_stats(subscription.topic())?.heads;
    let head = |partition: u16| heads.get(usize::from(partition)).copied().unwrap_or_default();
    let heads: BTreeMap<u16, u64> = positions.iter().map(|at| (at.partition, head(at.partition))).collect();
    let mut first = Vec::new();
    named_frame(
        &mut first,
        "start",
        &json!({ "next": by_partition(&positions), "heads": heads }),
    );
    let reader = Reader {
        app: app.clone(),
        subscription,
        missed: 0,
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
    let frames = stream::iter([Bytes::from(first)]).chain(turns).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(frames));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Reader {
    async fn turn(&mut self) -> Turn {
        let next = tokio::select! {
            biased;
            () = self.app.readiness.draining() => return Turn::End,
            next = self.subscription.next(BATCH_EVENTS, BATCH_BYTES, HEARTBEAT) => next,
        };
        let mut frames = Vec::new();
        match next {
            Ok(events) => {
                let missed = self.subscription.missed();
                if missed > self.missed {
                    named_frame(&mut frames, "missed", &json!({ "missed": missed - self.missed }));
                    self.missed = missed;
                }
                for event in &events {
                    event_frame(&mut frames, event);
                }
                if frames.is_empty() {
                    frames.extend_from_slice(b":\n\n");
                }
                Turn::Frames(frames.into())
            }
            // The host ends.
            Err(LedgerError::Closed {}) => Turn::End,
            Err(error) => {
                named_frame(&mut frames, "problem", &Problem::from(error).to_value());
                Turn::Last(frames.into())
            }
        }
    }
}

fn event_frame(out: &mut Vec<u8>, event: &Event) {
    out.extend_from_slice(format!("id: {}/{}\ndata: ", event.partition, event.offset).as_bytes());
    data(out, event.to_json());
}

fn named_frame(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    out.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
    // Maps of text and numbers always serialise.
    data(out, serde_json::to_vec(value).unwrap_or_default());
}

/// The data of a frame, and its end. In JSON a line break only ever is white space, and would end the line here.
fn data(out: &mut Vec<u8>, mut json: Vec<u8>) {
    for byte in &mut json {
        if matches!(byte, b'\r' | b'\n') {
            *byte = b' ';
        }
    }
    out.append(&mut json);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_line_of_data_however_the_json_was_written() {
        let mut out = Vec::new();
        data(&mut out, b"{\r\n  \"a\": \"\\n\"\n}".to_vec());
        assert_eq!(out, b"{    \"a\": \"\\n\" }\n\n");
        let mut out = Vec::new();
        named_frame(&mut out, "missed", &json!({ "missed": 2 }));
        assert_eq!(out, b"event: missed\ndata: {\"missed\":2}\n\n");
    }
}
