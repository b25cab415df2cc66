//! Reads a request's body: all of it, within a size and a time.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::ServerError;
use crate::error::tame;

/// How much room is made for a body before its bytes came, in bytes.
const FIRST_ROOM_BYTES: u64 = 1 << 20;
/// A refused body is still read for this long, so that its sender gets to read the answer instead of a broken connection.
const LINGER: Duration = Duration::from_secs(2);

/// The body of a request that is JSON, of at most `bytes_max` bytes, if it comes within `timeout_ms`.
pub(crate) async fn json(request: Request, bytes_max: u64, timeout_ms: u64) -> Result<Bytes, ServerError> {
    let (head, mut body) = request.into_parts();
    media_type(&head.headers)?;
    let announced = announced(&head.headers).unwrap_or_default();
    if announced > bytes_max {
        // Whoever waits for 100-continue sends nothing now; reading would invite it to.
        if !head.headers.contains_key(EXPECT) {
            linger(body, bytes_max).await;
        }
        return Err(ServerError::BodyTooLarge { bytes_max });
    }
    let room = usize::try_from(announced.min(FIRST_ROOM_BYTES)).unwrap_or_default();
    let collecting = async {
        let mut bytes = BytesMut::with_capacity(room);
        while let Some(piece) = next(&mut body).await? {
            if (bytes.len() + piece.len()) as u64 > bytes_max {
                return Err(ServerError::BodyTooLarge { bytes_max });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    };
    let collected = timeout(Duration::from_millis(timeout_ms), collecting).await;
    match collected.unwrap_or(Err(ServerError::BodyTimeout { timeout_ms })) {
        Err(error @ ServerError::BodyTooLarge { .. }) => {
            linger(body, bytes_max).await;
            Err(error)
        }
        read => read,
    }
}

fn media_type(headers: &HeaderMap) -> Result<(), ServerError> {
    let found = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = if found.is_empty() {
        "of no named type".into()
    } else {
        tame(found)
    };
    Err(ServerError::UnsupportedMedia { found })
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The next piece of data; trailers are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>, ServerError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ServerError::BodyBroken {
            why: tame(&error.to_string()),
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Reads and drops the body of a request that is refused already, so that its sender gets to read why.
pub(crate) async fn pass_over(request: Request, bytes_max: u64) {
    if !request.headers().contains_key(EXPECT) {
        linger(request.into_body(), bytes_max).await;
    }
}

/// Reads and drops what is still coming, within bounds.
async fn linger(mut body: Body, bytes_max: u64) {
    let drop_all = async {
        let mut dropped = 0;
        while let Ok(Some(piece)) = next(&mut body).await {
            dropped += piece.len() as u64;
            if dropped > bytes_max {
                return;
            }
        }
    };
    // Whether it ended or not, the answer goes out now.
    let _ = timeout(LINGER, drop_all).await;
}
