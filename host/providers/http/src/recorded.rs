//! Requests of replayable calls: asked and answered through the tape, bodies whole on both sides.
//!
//! What is asked: method, URI, headers in order of their names, and the digest of the whole body. What is answered: the
//! status, headers, whole body and trailers, or the error. While recording the guest reads its answer back from the tape's
//! bytes, so that a replay cannot differ.

use std::pin::Pin;

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use kinetic_engine::{Slot, Turn};
use kinetic_model::Digest;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::errors::{error_from, put_error};
use crate::send::Sent;

/// Sends a request and waits for its whole answer; `send` goes out, and is not called when the tape answers.
pub(crate) async fn exchange<F>(
    mut slot: Slot,
    request: Request<WasiBody>,
    send: impl FnOnce(Request<WasiBody>) -> F,
) -> Result<Response<WasiBody>, Error>
where
    F: Future<Output = Result<Sent, Error>>,
{
    let (parts, body) = request.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let body = body.to_bytes();
    let mut asked = Vec::with_capacity(512);
    put(&mut asked, parts.method.as_str().as_bytes());
    put(&mut asked, parts.uri.to_string().as_bytes());
    put_headers(&mut asked, &parts.headers);
    asked.extend_from_slice(Digest::of(&body).as_bytes());
    put_headers(&mut asked, &trailers.clone().unwrap_or_default());
    // A failed tape ends the call; what the guest would be told does not matter.
    match slot.begin(&asked).await.map_err(ended)? {
        Turn::Answer(answer) => read(answer.into()),
        Turn::Do => {
            let answer = match send(Request::from_parts(parts, whole(body, trailers))).await {
                Ok(back) => received(back, &slot).await,
                Err(error) => Err(error),
            };
            let answer = answer.unwrap_or_else(|error| {
                let mut bytes = vec![FAILED];
                put_error(&mut bytes, &error);
                bytes
            });
            slot.record(answer.clone()).map_err(ended)?;
            read(answer.into())
        }
    }
}

const ANSWERED: u8 = 0;
const FAILED: u8 = 1;

fn ended(error: kinetic_engine::EngineError) -> Error {
    Error::InternalError(Some(error.to_string()))
}

fn whole(body: Bytes, trailers: Option<HeaderMap>) -> WasiBody {
    let body = Full::new(body).map_err(Error::from);
    match trailers {
        None => body.boxed_unsync(),
        Some(trailers) => body
            .with_trailers(std::future::ready(Some(Ok(trailers))))
            .boxed_unsync(),
    }
}

/// Reads a response to its end while its connection is kept going.
async fn received((response, io): Sent, slot: &Slot) -> Result<Vec<u8>, Error> {
    let (mut reading, mut io) = (std::pin::pin!(written(response, slot)), Pin::from(io));
    let mut connected = true;
    loop {
        tokio::select! {
            bytes = &mut reading => return bytes,
            // How it ended shows in the body.
            _ = &mut io, if connected => connected = false,
        }
    }
}

/// A response as bytes, its body read to the end, as far as the tape has room.
async fn written(response: Response<WasiBody>, slot: &Slot) -> Result<Vec<u8>, Error> {
    let (parts, mut body) = response.into_parts();
    let room_bytes = usize::try_from(slot.room_bytes()).unwrap_or(usize::MAX);
    let mut data = Vec::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(piece) => data.extend_from_slice(&piece),
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
        if data.len() > room_bytes {
            return Err(ended(slot.too_long()));
        }
    }
    let mut bytes = Vec::with_capacity(data.len() + 1024);
    bytes.push(ANSWERED);
    bytes.put_u16_le(parts.status.as_u16());
    put_headers(&mut bytes, &parts.headers);
    put(&mut bytes, &data);
    put_headers(&mut bytes, &trailers);
    Ok(bytes)
}

/// The response that bytes from a tape say.
fn read(mut bytes: Bytes) -> Result<Response<WasiBody>, Error> {
    let damaged = || Error::InternalError(Some("the recorded response cannot be read".into()));
    match bytes.try_get_u8() {
        Ok(ANSWERED) => answer(&mut bytes).ok_or_else(damaged),
        Ok(FAILED) => Err(error_from(&bytes).unwrap_or_else(damaged)),
        _ => Err(damaged()),
    }
}

fn answer(bytes: &mut Bytes) -> Option<Response<WasiBody>> {
    let status = bytes.try_get_u16_le().ok()?;
    let headers = headers(bytes)?;
    let body = take(bytes)?;
    let trailers = self::headers(bytes)?;
    let trailers = (!trailers.is_empty()).then_some(trailers);
    let mut response = Response::new(whole(body, trailers));
    *response.status_mut() = http::StatusCode::from_u16(status).ok()?;
    *response.headers_mut() = headers;
    Some(response)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u64_le(bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take(bytes: &mut Bytes) -> Option<Bytes> {
    let count = usize::try_from(bytes.try_get_u64_le().ok()?).ok()?;
    (count <= bytes.len()).then(|| bytes.split_to(count))
}

/// Sorted by name; several values of one name keep their order, which carries meaning.
fn put_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    let mut sorted: Vec<_> = headers.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    out.put_u64_le(sorted.len() as u64);
    for (name, value) in sorted {
        put(out, name.as_str().as_bytes());
        put(out, value.as_bytes());
    }
}

fn headers(bytes: &mut Bytes) -> Option<HeaderMap> {
    let count = bytes.try_get_u64_le().ok()?;
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        let name = HeaderName::from_bytes(&take(bytes)?).ok()?;
        headers
            .try_append(name, HeaderValue::from_bytes(&take(bytes)?).ok()?)
            .ok()?;
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(status: u16, pairs: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let mut bytes = vec![ANSWERED];
        bytes.put_u16_le(status);
        put_headers(&mut bytes, &headers);
        put(&mut bytes, body);
        put_headers(&mut bytes, &HeaderMap::new());
        bytes
    }

    #[tokio::test]
    async fn a_response_reads_back_with_status_headers_and_body() {
        let bytes = bytes_of(
            404,
            &[("set-cookie", "b=1"), ("set-cookie", "a=2"), ("age", "3")],
            b"gone",
        );
        let response = read(bytes.clone().into()).unwrap();
        assert_eq!(response.status(), 404);
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["b=1", "a=2"]);
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            b"gone".as_slice()
        );
        for cut in 0..bytes.len() {
            assert!(read(Bytes::copy_from_slice(&bytes[..cut])).is_err(), "{cut}");
        }
    }

    #[test]
    fn headers_in_another_order_ask_the_same() {
        let one = bytes_of(200, &[("b", "1"), ("a", "2")], b"");
        assert_eq!(one, bytes_of(200, &[("a", "2"), ("b", "1")], b""));
    }
}
