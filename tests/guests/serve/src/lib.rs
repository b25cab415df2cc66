//! Answers the body it gets, over wasi:http: the peer's side of the HTTP benchmark.

wit_bindgen::generate!({ path: "wit", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Serve;

impl Guest for Serve {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let body = request.consume().unwrap();
        let stream = body.stream().unwrap();
        let mut bytes = Vec::new();
        while let Ok(piece) = stream.blocking_read(65_536) {
            bytes.extend_from_slice(&piece);
        }
        let headers = Fields::from_list(&[("content-type".to_string(), b"application/json".to_vec())]).unwrap();
        let response = OutgoingResponse::new(headers);
        let answer = response.body().unwrap();
        ResponseOutparam::set(out, Ok(response));
        let sink = answer.write().unwrap();
        for piece in bytes.chunks(4096) {
            sink.blocking_write_and_flush(piece).unwrap();
        }
        drop(sink);
        OutgoingBody::finish(answer, None).unwrap();
    }
}

export!(Serve);
