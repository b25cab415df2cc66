//! Reads request bodies: all of it, within a size and a time, with no copy when it came in one piece.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, Request};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// How much room is made for a body before its bytes came, in bytes: an announced size alone takes no more than this.
const FIRST_ROOM_BYTES: u64 = 1 << 20;
/// A refused body is still read for this long, so that its sender gets to read the answer instead of a broken connection.
const LINGER: Duration = Duration::from_secs(2);

/// Why a body is not there. The server gives it a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFailure {
    /// It is larger than it may be.
    TooLarge,
    /// It did not arrive in time.
    TimedOut,
    /// It broke off; why, in words that may be the peer's own.
    Broken(String),
}

/// The whole body of a request, of at most `bytes_max` bytes, if it comes within `patience`.
///
/// # Errors
/// [`BodyFailure`]. One that is too large is still read for a moment, and then the connection should end.
pub async fn read(request: Request<Body>, bytes_max: u64, patience: Duration) -> Result<Bytes, BodyFailure> {
    let announced = announced(request.headers());
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        pass_over(request, bytes_max).await;
        return Err(BodyFailure::TooLarge);
    }
    let room = announced.unwrap_or_default().min(FIRST_ROOM_BYTES);
    match timeout(patience, collect(request.into_body(), bytes_max, room)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Failed::TooLarge(rest))) => {
            linger(rest, bytes_max).await;
            Err(BodyFailure::TooLarge)
        }
        Ok(Err(Failed::Broken(why))) => Err(BodyFailure::Broken(why)),
        Err(_) => Err(BodyFailure::TimedOut),
    }
}

/// Reads and drops the body of a request that is refused already, up to `bytes_max` bytes and for a moment only, so that its
/// sender gets to read why.
pub async fn pass_over(request: Request<Body>, bytes_max: u64) {
    // Whoever waits for 100-continue sends nothing now; reading would invite it to.
    if !request.headers().contains_key(EXPECT) {
        linger(request.into_body(), bytes_max).await;
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
        let frame = frame.map_err(|error| Failed::Broken(error.to_string()))?;
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

    const PATIENCE: Duration = Duration::from_secs(30);

    fn pieces(sizes: &[usize]) -> Body {
        let pieces: Vec<_> = sizes
            .iter()
            .map(|size| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; *size])))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    async fn read_pieces(sizes: &[usize]) -> Result<Bytes, BodyFailure> {
        read(Request::new(pieces(sizes)), 10, PATIENCE).await
    }

    #[tokio::test]
    async fn a_body_may_come_in_any_pieces_up_to_its_bound() {
        for sizes in [&[][..], &[10], &[4, 6], &[1; 10], &[0, 10, 0]] {
            assert_eq!(read_pieces(sizes).await.unwrap().len(), sizes.iter().sum::<usize>());
        }
        for sizes in [&[11][..], &[10, 1], &[1; 11]] {
            assert_eq!(read_pieces(sizes).await, Err(BodyFailure::TooLarge));
        }
    }

    #[tokio::test]
    async fn an_announced_size_over_the_bound_is_refused() {
        let request = Request::builder()
            .header(CONTENT_LENGTH, "11")
            .body(Body::empty())
            .unwrap();
        assert_eq!(read(request, 10, PATIENCE).await, Err(BodyFailure::TooLarge));
    }

    #[tokio::test]
    async fn whoever_waits_to_be_told_to_go_on_is_refused_without_being_read() {
        let body = Body::from_stream(stream::poll_fn(
            |_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> { panic!("it was read") },
        ));
        let request = Request::builder()
            .header(CONTENT_LENGTH, "11")
            .header(EXPECT, "100-continue")
            .body(body)
            .unwrap();
        assert_eq!(read(request, 10, PATIENCE).await, Err(BodyFailure::TooLarge));
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let sent = Bytes::from_static(b"one piece");
        let read = read(Request::new(Body::from(sent.clone())), 10, PATIENCE)
            .await
            .unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let request = Request::new(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()));
        let read = read(request, 10, Duration::from_millis(20)).await;
        assert_eq!(read, Err(BodyFailure::TimedOut));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_says_why() {
        let broken = stream::iter([
            Ok(Bytes::from_static(b"a")),
            Err(std::io::Error::other("the wire was cut")),
        ]);
        let Err(BodyFailure::Broken(why)) = read(Request::new(Body::from_stream(broken)), 10, PATIENCE).await else {
            panic!("it was read")
        };
        assert!(why.contains("the wire was cut"), "{why}");
    }
}
