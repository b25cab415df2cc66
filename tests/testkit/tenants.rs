//! Two tenants of one host: a quiet one that echoes, and a hostile one that tries everything at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kinetic_identity::SigningKey;
use serde_json::{Value, json};

use crate::author::{manifest, publication};
use crate::guests;
use crate::host::Host;

/// The capsule of the quiet tenant.
pub const QUIET: &str = "urn:quiet:actionspace:solver:echo:v1";
/// The capsule of the hostile one.
pub const HOSTILE: &str = "urn:hostile:actionspace:solver:hostile:v1";
/// What every call of the hostile tenant carries, and no answer of the quiet one may.
pub const MARK: &str = "HOSTILE-BYTES";

/// What the hostile tenant tries, in turn.
fn attacks() -> Vec<(&'static str, Value)> {
    vec![
        ("spins", json!({})),
        ("behaves", json!({ "text": MARK.repeat(1_000) })),
        ("spins-in-a-host-call", json!({})),
        ("sleeps", json!({ "ms": 2_000 })),
        ("allocates", json!({})),
        ("recurses", json!({ "depth": 100_000_000 })),
        ("panics", json!({ "message": MARK })),
        ("exits", json!({ "status": 3 })),
        ("returns-bytes", json!({ "count": 5_000_000 })),
        ("returns-text", json!({ "count": 20_000_000 })),
        ("returns-rows", json!({ "count": 10_000 })),
        ("floods-the-log", json!({ "count": 10_000_000 })),
        ("keeps-handles", json!({ "count": 100_000 })),
        ("looks-around", json!({})),
        ("works", json!({ "rounds": 500_000_000 })),
    ]
}

/// Publishes the capsules of both in zone `session`, each signed by a key of its own namespace.
pub fn publish(host: &Host) {
    publish_in(host, "session");
}

/// As [`publish`], in any zone.
pub fn publish_in(host: &Host, zone: &str) {
    let limits = json!({ "guest_time_ms": 300, "wall_time_ms": 3_000 });
    for (urn, guest, limits) in [(QUIET, "echo", json!({})), (HOSTILE, "hostile", limits)] {
        let mut parts = urn.split(':');
        let (namespace, name) = (parts.nth(1).unwrap(), parts.nth(2).unwrap());
        let key = SigningKey::generate().unwrap();
        let trusted = key.public().to_string();
        host.kinetic(&["--data", "data", "keys", "trust", namespace, &trusted])
            .fine();
        let mut manifest = manifest(name, "1.0.0");
        manifest["id"] = json!(urn);
        manifest["limits"] = limits;
        manifest["governance"]["trust_zone"] = json!(zone);
        // What a call leaves on a tape is not what this is about.
        manifest["governance"]["determinism"] = json!("NX_experimental");
        let published = host.post(
            "/api/v1/registry/capabilities/publish",
            &publication(&manifest, &guests::rust(guest), &key),
        );
        assert_eq!(published.status, 201, "{}", published.text());
    }
}

/// Callers of the hostile tenant, each on a connection of its own, until they are told to stop.
pub struct Attackers {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Attackers {
    /// Starts so many.
    pub fn start(host: &Host, count: usize) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..count)
            .map(|attacker| {
                let (url, stop, calls) = (host.url.clone(), stop.clone(), calls.clone());
                thread::spawn(move || attack(&url, attacker, &stop, &calls))
            })
            .collect();
        Self { stop, calls, threads }
    }

    /// Ends them; how many calls were answered, whatever the answer.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.calls.load(Ordering::Relaxed)
    }
}

fn attack(url: &str, attacker: usize, stop: &AtomicBool, calls: &AtomicU64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let attacks = attacks();
    for (function, intent) in attacks.iter().cycle().skip(attacker) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let body = json!({ "toolName": HOSTILE, "function": function, "intent": intent }).to_string();
        let asked = client
            .post(format!("{url}/api/v1/capabilities/execute"))
            .header("content-type", "application/json")
            .body(body);
        // Every other caller hangs up in the middle of its longest calls.
        let hang_up = attacker % 2 == 1 && *function == "sleeps";
        runtime.block_on(async {
            let answered = async { asked.send().await.unwrap().bytes().await.unwrap() };
            if hang_up {
                let _ = tokio::time::timeout(Duration::from_millis(20), answered).await;
            } else {
                answered.await;
            }
        });
        calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// Calls the quiet tenant's capsule for so long, one call after the other; how long each took. Panics when one fails, or
/// carries anything but its own bytes.
pub fn echo_for(host: &Host, time: Duration) -> Vec<Duration> {
    let began = Instant::now();
    let mut took = Vec::new();
    while began.elapsed() < time {
        let text = format!("quiet {}", took.len());
        let asked = Instant::now();
        let reply = host.execute(QUIET, "text-back", json!({ "text": text }));
        took.push(asked.elapsed());
        assert_eq!(reply.status, 200, "call {}: {}", took.len(), reply.text());
        assert_eq!(reply.json()["output"], json!(text), "{}", reply.text());
        assert!(!reply.text().contains(MARK), "{}", reply.text());
    }
    took
}

/// The time so many percent of the calls took at most.
pub fn percentile(took: &[Duration], percent: usize) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}
