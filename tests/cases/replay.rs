//! Replay: what was recorded is made again bit for bit, also when the world outside is gone; what changed is named.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Said, kinetic_in};
use serde_json::{Value, json};

use crate::ledger::{Caller, seq_of};

const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";
const CALLS: u64 = 100_000;
const CALLERS: u64 = 4;

fn replay(folder: &Path, args: &[&str]) -> Said {
    let mut all = vec!["--output", "json", "--data", "data", "replay"];
    all.extend(args);
    kinetic_in(folder, &[], &all)
}

fn publish(host: &Host, key: &SigningKey, manifest: &Value, component: &[u8]) -> String {
    let reply = host.post(
        "/api/v1/registry/capabilities/publish",
        &publication(manifest, component, key),
    );
    assert_eq!(reply.status, 201, "{}", reply.text());
    manifest["id"].as_str().unwrap().to_string()
}

fn author(host: &Host) -> SigningKey {
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    key
}

#[test]
fn a_hundred_thousand_recorded_calls_end_the_same_to_the_bit() {
    let mut host = Host::start();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let url = host.url.clone();
            scope.spawn(move || {
                let mut caller_of = Caller::connect(&url).unwrap();
                for i in (caller..CALLS).step_by(CALLERS as usize) {
                    let text = format!(
                        "{i}: write to u{}@example{}.com, not to 4111 1111 1111 1111",
                        i * 7,
                        i % 13
                    );
                    let answer = caller_of.execute(REDACT, "scrub", &json!({ "text": text })).unwrap();
                    assert!(answer["receipt_id"].is_string(), "{answer:#}");
                }
            });
        }
    });
    let recorded = started.elapsed();
    host.stop();
    let started = Instant::now();
    let said = replay(&host.folder, &["--capsule", REDACT]).fine().json();
    let (per_s, took) = (CALLS as f64 / recorded.as_secs_f64(), started.elapsed());
    println!("{CALLS} calls recorded in {recorded:.1?} ({per_s:.0}/s), replayed in {took:.1?}");
    assert_eq!(said["same"], json!(CALLS), "{said:#}");
    assert_eq!(said["skipped"], json!(0), "{said:#}");
}

/// `double: func(n: u32) -> u32`; from `wrong_from` on the answer is one more.
fn doubles(wrong_from: u32) -> Vec<u8> {
    guests::text(&format!(
        r#"(component
            (core module $m
                (func (export "double") (param i32) (result i32)
                    (i32.add (i32.shl (local.get 0) (i32.const 1)) (i32.ge_u (local.get 0) (i32.const {wrong_from})))))
            (core instance $i (instantiate $m))
            (func (export "double") (param "n" u32) (result u32) (canon lift (core func $i "double"))))"#
    ))
}

#[test]
fn a_changed_component_diverges_at_the_first_call_it_answers_otherwise() {
    let mut host = Host::start();
    let key = author(&host);
    let urn = publish(&host, &key, &manifest("doubles", "1.0.0"), &doubles(1_000_000));
    let call = |n: u32| seq_of(&host.execute(&urn, "double", json!({ "n": n })).json());
    let numbers = [0, 1, 40, 99, 2, 100, 7, 101, 3];
    let seqs: Vec<u64> = numbers.map(call).into();
    assert!(seqs.is_sorted());
    publish(&host, &key, &manifest("doubles", "1.1.0"), &doubles(100));
    call(500);
    let pinned = format!("{urn}@1.1.0");

    for running in [true, false] {
        let same = replay(&host.folder, &["--capsule", &urn]).fine().json();
        assert_eq!(
            same["same"],
            json!(numbers.len() + 1),
            "each by its own version: {same:#}"
        );

        let said = replay(&host.folder, &["--capsule", &urn, "--against", &pinned]);
        assert_eq!(said.status, 3, "{said:?}");
        let document = said.json();
        assert_eq!(document["diverged"]["seq"], json!(seqs[5]), "{document:#}");
        assert_eq!(document["same"], json!(5), "{document:#}");
        assert_ne!(
            document["diverged"]["then"]["output_hash"], document["diverged"]["now"]["output_hash"],
            "{document:#}"
        );
        assert_eq!(document["diverged"]["now"]["status"], json!("ok"), "{document:#}");
        assert!(
            document["error"]["message"].to_string().contains(&seqs[5].to_string()),
            "{document:#}"
        );

        let (after, end) = ((seqs[5] + 1).to_string(), seqs[5].to_string());
        let next = replay(
            &host.folder,
            &["--capsule", &urn, "--against", &pinned, "--from", &after],
        );
        assert_eq!((next.status, &next.json()["diverged"]["seq"]), (3, &json!(seqs[7])));
        let before = replay(&host.folder, &["--capsule", &urn, "--against", &pinned, "--to", &end]);
        assert_eq!(before.fine().json()["same"], json!(5));
        if running {
            host.stop();
        }
    }
}

/// A server whose every answer is another one; gone when dropped.
struct Counter {
    url: String,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Counter {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let thread = std::thread::spawn(move || {
            for (hit, stream) in listener.incoming().enumerate() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let (mut request, mut piece) = (Vec::new(), [0; 4096]);
                // The last chunk of the body, or its end where its length was said: small bodies come with the head.
                while !(request.ends_with(b"0\r\n\r\n") || request.ends_with(b"the body")) {
                    let read = stream.read(&mut piece).unwrap();
                    assert!(read > 0, "the request was cut short");
                    request.extend_from_slice(&piece[..read]);
                }
                let body = format!("hit {hit}");
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self {
            url,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://").trim_end_matches('/'));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[test]
fn calls_that_used_network_time_and_randomness_are_made_again_when_the_server_is_gone() {
    let mut host = Host::start_with(&[("KINETIC_HTTP__ALLOWED_HOSTS", "127.0.0.1:*")]);
    let key = author(&host);
    let server = Counter::start();
    let tiers = [
        ("d0", "D0_bit_exact"),
        ("d1", "D1_numerically_stable"),
        ("nx", "NX_experimental"),
    ];
    let urns: Vec<_> = tiers
        .iter()
        .map(|(name, tier)| {
            let mut asks = manifest(&format!("witness{name}"), "1.0.0");
            asks["governance"]["determinism"] = json!(tier);
            asks["imports"] = json!([{ "interface": "wasi:http/outgoing-handler", "hosts": ["127.0.0.1:*"] }]);
            publish(&host, &key, &asks, &guests::rust("witness"))
        })
        .collect();
    for urn in &urns {
        let post = || {
            host.execute(urn, "posts", json!({ "url": server.url, "body": "the body" }))
                .json()
        };
        let (one, two) = (post(), post());
        assert!(one["output"].to_string().contains("hit "), "{one:#}");
        assert_ne!(one["output"], two["output"], "the server counts");
        assert_eq!(host.execute(urn, "senses", json!({})).status, 200);
        assert_eq!(host.execute(urn, "sleeps", json!({ "ms": 20 })).status, 200);
    }
    let url = server.url.clone();
    drop(server);
    let gone = host
        .execute(&urns[0], "posts", json!({ "url": url, "body": "the body" }))
        .json();
    assert_eq!(gone["success"], json!(false), "{gone:#}");
    host.stop();
    let count = |urn: &str| {
        let said = replay(&host.folder, &["--capsule", urn]).fine().json();
        (said["same"].as_u64().unwrap(), said["skipped"].as_u64().unwrap())
    };
    assert_eq!(count(&urns[0]), (5, 0), "D0; that nobody answered is an answer too");
    assert_eq!(count(&urns[1]), (4, 0), "D1");
    assert_eq!(count(&urns[2]), (0, 4), "NX records no host calls");
}

#[test]
fn a_call_that_failed_fails_the_same_again() {
    let mut host = Host::start();
    let key = author(&host);
    let mut asks = manifest("hostile", "1.0.0");
    asks["limits"] = json!({ "fuel": 50_000_000, "memory_bytes": 33_554_432 });
    let urn = publish(&host, &key, &asks, &guests::rust("hostile"));
    let fails = [
        ("spins", json!({}), "KIN-ENG-0014"),
        ("allocates", json!({}), "KIN-ENG-0018"),
        ("panics", json!({ "message": "why" }), "KIN-ENG-0020"),
        ("behaves", json!({ "wrong": 1 }), "KIN-ENG-0012"),
    ];
    for (function, intent, code) in &fails {
        let reply = host.execute(&urn, function, intent.clone());
        assert_eq!(reply.problem(reply.status), *code, "{function}");
    }
    host.stop();
    let said = replay(&host.folder, &["--capsule", &urn]).fine().json();
    assert_eq!(said["same"], json!(fails.len()), "{said:#}");
}

#[test]
fn a_call_fed_with_a_file_is_made_again_from_the_record_alone() {
    let mut host = Host::start();
    let urn = "urn:kinetic:actionspace:solver:profile:v1";
    let file = host.folder.join("table.csv");
    std::fs::write(&file, "a,b\n1,2\n3,4\n").unwrap();
    let args = ["call", urn, "--file", file.to_str().unwrap(), "--arg", "options={}"];
    host.kinetic(&args).fine();
    std::fs::remove_file(&file).unwrap();
    host.stop();
    let said = replay(&host.folder, &["--capsule", urn]).fine().json();
    assert_eq!((&said["same"], &said["skipped"]), (&json!(1), &json!(0)), "{said:#}");
}
