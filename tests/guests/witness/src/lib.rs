//! A guest that says what the host shows it.

wit_bindgen::generate!({ path: "wit", generate_all });

use wasi::clocks::{monotonic_clock, wall_clock};
use wasi::http::outgoing_handler::handle;
use wasi::http::types::{Fields, FutureIncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};
use wasi::io::poll::{Pollable, poll};
use wasi::random::{insecure, insecure_seed, random};

struct Witness;

fn wall_ns() -> u64 {
    let now = wall_clock::now();
    now.seconds * 1_000_000_000 + u64::from(now.nanoseconds)
}

fn start(url: &str, body: &str) -> Result<FutureIncomingResponse, String> {
    let rest = url.strip_prefix("http://").ok_or("not http")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Post).map_err(|()| "method")?;
    request.set_scheme(Some(&Scheme::Http)).map_err(|()| "scheme")?;
    request.set_authority(Some(authority)).map_err(|()| "authority")?;
    request
        .set_path_with_query(Some(&format!("/{path}")))
        .map_err(|()| "path")?;
    let outgoing = request.body().map_err(|()| "body")?;
    let answer = handle(request, None).map_err(|e| e.to_string())?;
    let stream = outgoing.write().map_err(|()| "stream")?;
    for piece in body.as_bytes().chunks(4096) {
        stream.blocking_write_and_flush(piece).map_err(|e| e.to_string())?;
    }
    drop(stream);
    OutgoingBody::finish(outgoing, None).map_err(|e| e.to_string())?;
    Ok(answer)
}

fn read(answer: &FutureIncomingResponse) -> Result<String, String> {
    let response = answer
        .get()
        .ok_or("not there")?
        .map_err(|()| "taken")?
        .map_err(|e| e.to_string())?;
    let kind = response.headers().get("content-type").concat();
    let body = response.consume().map_err(|()| "consume")?;
    let stream = body.stream().map_err(|()| "stream")?;
    let mut bytes = Vec::new();
    while let Ok(piece) = stream.blocking_read(65_536) {
        bytes.extend_from_slice(&piece);
    }
    Ok(format!(
        "{} {} {}",
        response.status(),
        String::from_utf8_lossy(&kind),
        String::from_utf8_lossy(&bytes)
    ))
}

impl Guest for Witness {
    fn senses() -> Vec<u64> {
        let (seed_low, seed_high) = insecure_seed::insecure_seed();
        let bytes = random::get_random_bytes(8).try_into().unwrap_or_default();
        vec![
            wall_ns(),
            wall_ns(),
            monotonic_clock::now(),
            random::get_random_u64(),
            u64::from_le_bytes(bytes),
            insecure::get_insecure_random_u64(),
            seed_low,
            seed_high,
        ]
    }

    fn sleeps(ms: u64) -> u64 {
        let before = monotonic_clock::now();
        monotonic_clock::subscribe_duration(ms * 1_000_000).block();
        let timers: Vec<Pollable> = [ms * 5, ms]
            .map(|ms| monotonic_clock::subscribe_duration(ms * 1_000_000))
            .into();
        let ready = poll(&timers.iter().collect::<Vec<_>>());
        assert_eq!(ready, [1]);
        monotonic_clock::now() - before
    }

    fn posts(url: String, body: String) -> Result<String, String> {
        let answer = start(&url, &body)?;
        answer.subscribe().block();
        read(&answer)
    }

    fn posts_to_all(urls: Vec<String>) -> Vec<String> {
        let mut waiting: Vec<_> = urls.iter().filter_map(|url| start(url, "x").ok()).collect();
        let mut said = Vec::new();
        while !waiting.is_empty() {
            let pollables: Vec<_> = waiting.iter().map(FutureIncomingResponse::subscribe).collect();
            let mut ready = poll(&pollables.iter().collect::<Vec<_>>());
            drop(pollables);
            ready.sort_unstable();
            for index in ready.into_iter().rev() {
                said.push(read(&waiting.remove(index as usize)).unwrap_or_else(|why| why));
            }
        }
        said
    }

    fn posts_within(url: String, ms: u64) -> Option<String> {
        let answer = start(&url, "x").ok()?;
        let (done, timer) = (answer.subscribe(), monotonic_clock::subscribe_duration(ms * 1_000_000));
        poll(&[&done, &timer]);
        done.ready().then(|| read(&answer).unwrap_or_else(|why| why))
    }
}

export!(Witness);
