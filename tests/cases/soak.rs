//! Good and hostile calls mixed for a while: the host stays up, answers rightly, and its memory does not grow.

use std::time::{Duration, Instant};

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use serde_json::json;

const HOSTILE: &str = "urn:tests:actionspace:solver:hostile:v1";
/// The short form that every test run has.
const SECONDS: u64 = 8;
/// So many calls there are at least, half of them before memory is looked at for the first time.
const CALLS_MIN: u64 = 140;

fn resident_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn soak_good_and_hostile_calls_leave_the_host_as_it_was() {
    let seconds = std::env::var("SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SECONDS);
    let host = Host::start();
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let mut asks = manifest("hostile", "1.0.0");
    asks["governance"]["determinism"] = json!("NX_experimental");
    asks["limits"] = json!({ "guest_time_ms": 300, "memory_bytes": 33_554_432, "wall_time_ms": 10_000 });
    let body = publication(&asks, &guests::rust("hostile"), &key);
    assert_eq!(host.post("/api/v1/registry/capabilities/publish", &body).status, 201);

    let attacks = [
        ("panics", json!({ "message": "again" })),
        ("spins", json!({})),
        ("allocates", json!({})),
        ("recurses", json!({ "depth": 100_000_000 })),
        ("returns-bytes", json!({ "count": 20_000_000 })),
        ("floods-the-log", json!({ "count": 1_000_000 })),
        ("keeps-handles", json!({ "count": 100_000 })),
    ];
    let (started, mut calls, mut settled) = (Instant::now(), 0_u64, None);
    // A slow machine takes longer for as many.
    while started.elapsed() < Duration::from_secs(seconds) || calls < CALLS_MIN {
        for (function, intent) in &attacks {
            let reply = host.execute(HOSTILE, function, intent.clone());
            assert!(reply.status < 600);
            let good = host.execute(HOSTILE, "behaves", json!({ "text": "x" }));
            assert_eq!(good.json()["output"], json!("x"));
            calls += 2;
        }
        // What pools and caches hold after the first quarter is what they hold.
        if settled.is_none() && started.elapsed() > Duration::from_secs(seconds) / 4 && calls >= CALLS_MIN / 2 {
            settled = Some(resident_kb(host.pid()));
        }
    }
    let (settled, last) = (settled.unwrap_or_default(), resident_kb(host.pid()));
    println!("{calls} calls in {seconds} s; resident {settled} kB after a quarter, {last} kB at the end");
    assert!(
        last < settled + 65_536,
        "resident memory grew from {settled} kB to {last} kB"
    );
}
