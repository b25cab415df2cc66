//! Reads request bodies: all of it, within a size and a time, with no copy when it came in one piece.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, Request};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Duration, timeout};

use crate::error::tame;
use crate::{GatewayConfig, GatewayError};

/// How much room is made for a body before its bytes came, in bytes: an announced size alone takes no more than this.
const FIRST_ROOM_BYTES: u64 = 1 << 20;
/// A refused body is still read for this long, so that its sender gets to read the answer instead of a broken connection.
const LINGER: Duration = Duration::from_secs(2);

/// The whole body of a request, of at most `bytes_max` bytes.
pub(crate) async fn read(
    request: Request<Body>,
    config: &GatewayConfig,
    bytes_max: u64,
) -> Result<Bytes, GatewayError> {
    let (head, body) = request.into_parts();
    let announced = announced(&head.headers);
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        // Whoever waits for 100-continue sends nothing now; reading would invite it to.
        if !head.headers.contains_key(EXPECT) {
            linger(body, bytes_max).await;
        }
        return Err(GatewayError::BodyTooLarge { bytes_max });
    }
    let room = announced.unwrap_or_default().min(FIRST_ROOM_BYTES);
    match timeout(config.body_timeout(), collect(body, bytes_max, room)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Failed::TooLarge(rest))) => {
            linger(rest, bytes_max).await;
            Err(GatewayError::BodyTooLarge { bytes_max })
        }
        Ok(Err(Failed::Broken(why))) => Err(GatewayError::BodyBroken { why }),
        Err(_) => Err(GatewayError::BodyTimeout {
            timeout_ms: config.body_timeout_ms,
        }),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

enum Failed {
    TooLarge(Body),
    Broken(String),
}

async fn collect(mut body: Body, bytes_max: u64, room: u64) -> Result<Bytes, Failed> {
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() as u64 > bytes_max {
        return Err(Failed::TooLarge(body));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(room).unwrap_or_default().max(first.len()));
    bytes.extend_from_slice(&first);
    while let Some(piece) = next(&mut body).await? {
        if (bytes.len() + piece.len()) as u64 > bytes_max {
            return Err(Failed::TooLarge(body));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// The next piece of data; trailers are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Failed> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failed::Broken(tame(&e.to_string())))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn pieces(sizes: &[usize]) -> Body {
        let pieces: Vec<_> = sizes
            .iter()
            .map(|size| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; *size])))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    async fn read_pieces(sizes: &[usize]) -> Result<Bytes, GatewayError> {
        read(Request::new(pieces(sizes)), &GatewayConfig::default(), 10).await
    }

    #[tokio::test]
    async fn a_body_may_come_in_any_pieces_up_to_its_bound() {
        for sizes in [&[][..], &[10], &[4, 6], &[1; 10], &[0, 10, 0]] {
            assert_eq!(read_pieces(sizes).await.unwrap().len(), sizes.iter().sum::<usize>());
        }
        for sizes in [&[11][..], &[10, 1], &[1; 11]] {
            assert_eq!(
                read_pieces(sizes).await,
                Err(GatewayError::BodyTooLarge { bytes_max: 10 })
            );
        }
    }

    #[tokio::test]
    async fn an_announced_size_over_the_bound_is_refused() {
        let request = Request::builder()
            .header(CONTENT_LENGTH, "11")
            .body(Body::empty())
            .unwrap();
        assert!(matches!(
            read(request, &GatewayConfig::default(), 10).await,
            Err(GatewayError::BodyTooLarge { .. })
        ));
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let sent = Bytes::from_static(b"one piece");
        let read = read(Request::new(Body::from(sent.clone())), &GatewayConfig::default(), 10)
            .await
            .unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let request = Request::new(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()));
        let read = read(
            request,
            &GatewayConfig {
                body_timeout_ms: 20,
                ..GatewayConfig::default()
            },
            10,
        )
        .await;
        assert!(matches!(read, Err(GatewayError::BodyTimeout { .. })));
    }
}
