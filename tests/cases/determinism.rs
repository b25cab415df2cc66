//! Determinism tiers: what a tier fixes is the same twice, and a recorded call is made again without the network.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kinetic_engine::{
    Admit, CallContext, Capability, Engine, EngineConfig, EngineError, Exchange, Grantee, Input, Outcome, decode_tape,
    encode_tape,
};
use kinetic_model::{Determinism, ImportGrant, Limits};
use kinetic_provider_http::{HttpPolicy, HttpProvider};
use kinetic_testkit::engine::{refusal, unnamed, value};
use kinetic_testkit::guests;
use serde_json::{Value, json};

use Determinism::{D0BitExact as D0, D1NumericallyStable as D1, NxExperimental as NX};

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let policy = HttpPolicy {
            allowed_hosts: vec!["127.0.0.1:*".into()],
            connect_timeout_ms: 1_000,
            read_timeout_ms: 5_000,
        };
        let config = EngineConfig {
            pool_instances: 16,
            ..EngineConfig::default()
        };
        Engine::new(config, vec![Arc::new(HttpProvider::new(policy).unwrap())]).unwrap()
    })
}

async fn load(bytes: &[u8], determinism: Determinism, limits: Limits) -> Capability {
    let grant = ImportGrant {
        interface: "wasi:http/outgoing-handler".into(),
        hosts: vec!["127.0.0.1:*".into()],
        ..ImportGrant::default()
    };
    let capsule = Grantee {
        determinism,
        ..unnamed(bytes)
    };
    let admit = Admit {
        capsule: &capsule,
        grants: &[grant],
        peers: &[],
        limits: &limits,
    };
    engine().load(bytes, admit).await.unwrap().0
}

async fn witness(determinism: Determinism) -> Capability {
    load(&guests::rust("witness"), determinism, Limits::default()).await
}

fn context(replay: Option<Vec<Exchange>>) -> CallContext {
    CallContext {
        unix_ns: 1_700_000_000_000_000_000,
        seed: [7; 32],
        replay,
        ..CallContext::default()
    }
}

async fn call_in(guest: &Capability, function: &str, arguments: Value, context: CallContext) -> Outcome {
    let Value::Object(arguments) = arguments else {
        panic!("arguments are an object")
    };
    guest.call_with(Some(function), Input::Json(arguments), context).await
}

/// A server that answers by path, after so many milliseconds: `/<ms>/<word>`; `large` is 2,000 bytes. Gone when dropped.
struct Server {
    port: u16,
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut hits = HashMap::new();
            for stream in listener.incoming() {
                if stopping.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while !is_whole(&request) {
                    let read = stream.read(&mut piece).unwrap();
                    assert!(read > 0, "the request was cut short");
                    request.extend_from_slice(&piece[..read]);
                }
                let text = String::from_utf8_lossy(&request).into_owned();
                let path = text.split(' ').nth(1).unwrap().to_string();
                let (ms, word) = path[1..].split_once('/').unwrap();
                let (ms, word): (u64, String) = (ms.parse().unwrap(), word.into());
                let hit = hits.entry(path.clone()).or_insert(0);
                *hit += 1;
                let padding = if word == "large" { 2_000 } else { 0 };
                let body = format!("{word} number {hit}{}", "x".repeat(padding));
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(ms));
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(answer.as_bytes());
                });
            }
        });
        Self {
            port,
            stop,
            thread: Some(thread),
        }
    }

    fn url(&self, ms: u64, word: &str) -> String {
        format!("http://127.0.0.1:{}/{ms}/{word}", self.port)
    }
}

/// Whether all of a request is there, whichever way it says how long it is.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => body.len() >= length.parse().unwrap(),
        None => !head.contains("transfer-encoding") || body.ends_with("0\r\n\r\n"),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(("127.0.0.1", self.port));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn same(one: &Outcome, other: &Outcome) {
    assert_eq!(one.result, other.result);
    assert_eq!(one.tape, other.tape);
    let counted = |outcome: &Outcome| {
        let usage = outcome.usage;
        (usage.fuel, usage.memory_peak_bytes, usage.handles)
    };
    assert_eq!(counted(one), counted(other));
}

#[tokio::test]
async fn the_same_context_shows_a_d0_guest_the_same_clock_and_the_same_randomness() {
    for tier in [D0, D1] {
        let guest = witness(tier).await;
        let one = call_in(&guest, "senses", json!({}), context(None)).await;
        let other = call_in(&guest, "senses", json!({}), context(None)).await;
        same(&one, &other);
        let seen = value(one);
        assert_eq!(seen[0], json!("1700000000000000000"));
        assert_eq!(seen[1], json!("1700000000000001000"), "a reading takes a microsecond");
        assert_eq!(seen[2], json!("1700000000000002000"), "both clocks are one");
        let mut changed = context(None);
        changed.seed = [8; 32];
        let changed = value(call_in(&guest, "senses", json!({}), changed).await);
        for index in 3..8 {
            assert_ne!(seen[index], changed[index], "randomness comes from the seed");
        }
        let fresh = value(guest.call(Some("senses"), Input::Json(serde_json::Map::new())).await);
        assert_ne!(fresh[3], seen[3], "without a context nothing repeats");
    }
}

#[tokio::test]
async fn an_nx_guest_sees_real_time_and_real_randomness() {
    let guest = witness(NX).await;
    let one = value(call_in(&guest, "senses", json!({}), context(None)).await);
    let other = value(call_in(&guest, "senses", json!({}), context(None)).await);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seen: u128 = one[0].as_str().unwrap().parse().unwrap();
    assert!(now.abs_diff(seen) < 60_000_000_000, "{seen}");
    assert_ne!(one[3], other[3]);
    let started = Instant::now();
    let slept = call_in(&guest, "sleeps", json!({ "ms": 50 }), context(None)).await;
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert!(slept.tape.is_empty());
}

#[tokio::test]
async fn a_d0_guest_sleeps_in_no_time_and_its_clock_moves_by_what_it_slept() {
    let guest = witness(D0).await;
    let started = Instant::now();
    let outcome = call_in(&guest, "sleeps", json!({ "ms": 3_600_000 }), context(None)).await;
    assert!(started.elapsed() < Duration::from_secs(60));
    let slept: u64 = value(outcome).as_u64().unwrap();
    let expected = 2 * 3_600_000_000_000;
    assert!((expected..expected + 10_000).contains(&slept), "{slept}");
}

#[tokio::test]
async fn a_d0_spinner_is_ended_by_fuel_at_the_same_fuel_and_a_d1_spinner_by_time() {
    let limits = Limits {
        fuel: 300_000_000,
        guest_time_ms: 5,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), D0, limits).await;
    for _ in 0..2 {
        let outcome = call_in(&guest, "spins", json!({}), context(None)).await;
        assert!(outcome.usage.guest_time_ns > 5_000_000, "{:?}", outcome.usage);
        assert_eq!(outcome.usage.fuel, 300_000_000);
        assert_eq!(refusal(outcome), EngineError::OutOfFuel { fuel_max: 300_000_000 });
    }
    // Where nobody looks at the time for a while it burns more than usual.
    let limits = Limits {
        fuel: Limits::CEILING.fuel,
        ..limits
    };
    let guest = load(&guests::rust("hostile"), D1, limits).await;
    let outcome = call_in(&guest, "spins", json!({}), context(None)).await;
    assert_eq!(refusal(outcome), EngineError::GuestTimeout { guest_time_ms_max: 5 });
}

#[tokio::test]
async fn the_bits_of_nan_are_canonical() {
    let bytes = guests::text(
        r#"(component
            (core module $m
                (func (export "payload") (result i64)
                    (i64.reinterpret_f64 (f64.add (f64.const nan:0x4000000000123) (f64.const 1))))
                (func (export "made") (param i64) (result i64)
                    (local $x f64)
                    (local.set $x (f64.convert_i64_u (local.get 0)))
                    (i64.reinterpret_f64 (f64.div (local.get $x) (local.get $x))))
                (func (export "narrow") (param i64) (result i64)
                    (local $x f32)
                    (local.set $x (f32.convert_i64_u (local.get 0)))
                    (i64.extend_i32_u (i32.reinterpret_f32 (f32.sqrt (f32.sub (local.get $x) (f32.const 1)))))))
            (core instance $i (instantiate $m))
            (func (export "payload") (result u64) (canon lift (core func $i "payload")))
            (func (export "made") (param "of" u64) (result u64) (canon lift (core func $i "made")))
            (func (export "narrow") (param "of" u64) (result u64) (canon lift (core func $i "narrow"))))"#,
    );
    for tier in [D0, NX] {
        let guest = load(&bytes, tier, Limits::default()).await;
        let canonical = 0x7ff8_0000_0000_0000_u64;
        for (function, arguments) in [("payload", json!({})), ("made", json!({ "of": 0 }))] {
            let bits = value(call_in(&guest, function, arguments, context(None)).await);
            assert_eq!(bits, json!(canonical.to_string()), "{function}");
        }
        let bits = value(call_in(&guest, "narrow", json!({ "of": 0 }), context(None)).await);
        assert_eq!(bits, json!(0x7fc0_0000), "narrow");
    }
}

#[tokio::test]
async fn a_recorded_call_is_made_again_when_the_server_is_gone() {
    for tier in [D0, D1] {
        let guest = witness(tier).await;
        let server = Server::start();
        let body = "a long body ".repeat(5_000);
        let arguments = json!({ "url": server.url(20, "hello"), "body": body });
        let first = call_in(&guest, "posts", arguments.clone(), context(None)).await;
        let second = call_in(&guest, "posts", arguments.clone(), context(None)).await;
        assert_ne!(first.result, second.result, "the server counts");
        drop(server);
        assert_eq!(first.tape.len(), 1, "{:?}", first.tape);
        let tape = decode_tape(&encode_tape(&first.tape)).unwrap();
        let again = call_in(&guest, "posts", arguments.clone(), context(Some(tape))).await;
        same(&first, &again);
        assert_eq!(value(again), json!("200 text/plain hello number 1"));
        let gone = call_in(&guest, "posts", arguments, context(None)).await;
        assert_ne!(gone.result, first.result, "the server is gone");
        let mut replayed = gone.tape.clone();
        replayed.truncate(1);
        assert!(replayed[0].is_answered(), "that nobody answers is an answer");
    }
}

#[tokio::test]
async fn an_error_of_the_network_is_recorded_like_an_answer() {
    let guest = witness(D0).await;
    let server = Server::start();
    let arguments = json!({ "url": server.url(0, "x"), "body": "" });
    drop(server);
    let refused = call_in(&guest, "posts", arguments.clone(), context(None)).await;
    let denied = json!({ "url": "http://example.com/", "body": "" });
    let forbidden = call_in(&guest, "posts", denied.clone(), context(None)).await;
    for (outcome, arguments) in [(refused, arguments), (forbidden, denied)] {
        let again = call_in(&guest, "posts", arguments, context(Some(outcome.tape.clone()))).await;
        same(&outcome, &again);
    }
}

#[tokio::test]
async fn another_request_diverges_and_names_the_exchange() {
    let guest = witness(D0).await;
    let server = Server::start();
    let (url, other) = (server.url(0, "one"), server.url(0, "other"));
    let first = call_in(&guest, "posts", json!({ "url": url, "body": "b" }), context(None)).await;
    let tape = || context(Some(first.tape.clone()));
    let wrong = [
        json!({ "url": other, "body": "b" }),
        json!({ "url": url, "body": "another body" }),
    ];
    for arguments in wrong {
        match refusal(call_in(&guest, "posts", arguments, tape()).await) {
            EngineError::Diverged {
                at_exchange,
                expected,
                found,
            } => {
                assert_eq!(at_exchange, 0);
                assert!(expected.contains("wasi:http/outgoing-handler.handle") && expected != found);
            }
            other => panic!("{other}"),
        }
    }
    let fewer = call_in(&guest, "senses", json!({}), tape()).await;
    assert!(matches!(refusal(fewer), EngineError::Diverged { at_exchange: 0, .. }));
    let more = call_in(
        &guest,
        "posts",
        json!({ "url": url, "body": "b" }),
        context(Some(vec![])),
    )
    .await;
    assert!(matches!(refusal(more), EngineError::Diverged { at_exchange: 0, .. }));
}

#[tokio::test]
async fn which_of_two_answers_came_first_is_recorded_too() {
    let guest = witness(D0).await;
    let server = Server::start();
    let arguments = json!({ "urls": [server.url(150, "slow"), server.url(0, "quick")] });
    let first = call_in(&guest, "posts-to-all", arguments.clone(), context(None)).await;
    drop(server);
    for _ in 0..10 {
        let again = call_in(
            &guest,
            "posts-to-all",
            arguments.clone(),
            context(Some(first.tape.clone())),
        )
        .await;
        same(&first, &again);
    }
    let said = value(first);
    assert!(said[0].as_str().unwrap().contains("quick"), "{said}");
}

#[tokio::test]
async fn a_timeout_beside_a_request_takes_real_time_once_and_none_in_the_replay() {
    let guest = witness(D0).await;
    let server = Server::start();
    let patient = json!({ "url": server.url(50, "x"), "ms": 10_000 });
    let impatient = json!({ "url": server.url(20_000, "x"), "ms": 50 });
    let answered = call_in(&guest, "posts-within", patient.clone(), context(None)).await;
    let gave_up = call_in(&guest, "posts-within", impatient.clone(), context(None)).await;
    drop(server);
    for (outcome, arguments) in [(&answered, patient), (&gave_up, impatient)] {
        let started = Instant::now();
        let again = call_in(&guest, "posts-within", arguments, context(Some(outcome.tape.clone()))).await;
        assert!(started.elapsed() < Duration::from_secs(9));
        same(outcome, &again);
    }
    assert!(value(answered).as_str().unwrap().contains("x number"));
    assert_eq!(value(gave_up), Value::Null);
}

#[tokio::test]
async fn a_response_that_does_not_fit_the_tape_ends_the_call_with_that_reason() {
    let limits = Limits {
        host_call_bytes: 1_000,
        ..Limits::default()
    };
    let guest = load(&guests::rust("witness"), D0, limits).await;
    let server = Server::start();
    let arguments = json!({ "url": server.url(0, "large"), "body": "" });
    let outcome = call_in(&guest, "posts", arguments, context(None)).await;
    assert_eq!(refusal(outcome), EngineError::TapeTooLong { bytes_max: 1_000 });
}

#[tokio::test]
async fn an_nx_capsule_records_nothing() {
    let guest = witness(NX).await;
    let server = Server::start();
    let arguments = json!({ "url": server.url(0, "x"), "body": "b" });
    let outcome = call_in(&guest, "posts", arguments, context(None)).await;
    assert!(outcome.tape.is_empty());
    assert_eq!(value(outcome), json!("200 text/plain x number 1"));
}

#[tokio::test]
async fn what_the_context_brought_comes_back_however_the_call_ended() {
    let limits = Limits {
        wall_time_ms: 100,
        ..Limits::default()
    };
    let guest = load(&guests::rust("hostile"), NX, limits).await;
    let fails = [
        ("behaves", json!({ "text": "fine" })),
        ("behaves", json!({ "wrong": 1 })),
        ("no-such-function", json!({})),
        ("panics", json!({ "message": "on purpose" })),
        ("sleeps", json!({ "ms": 60_000 })),
    ];
    for (function, arguments) in fails {
        let mut context = context(None);
        context.extensions.put(String::from("a transaction"));
        let mut outcome = call_in(&guest, function, arguments, context).await;
        assert_eq!(
            outcome.extensions.take::<String>().as_deref(),
            Some("a transaction"),
            "{function}"
        );
    }
}
