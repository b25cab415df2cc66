//! How long a host takes to start: with a thousand capsules in its store of which fifty were active, and with none but its
//! own. The code cache is warm; each start is a process of its own on a folder that the one before stopped in.

use std::path::Path;
use std::time::{Duration, Instant};

use kinetic_testkit::author::manifest;
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use kinetic_testkit::swappable::Author;
use serde_json::json;

const KNOWN: usize = 1_000;
const ACTIVE: usize = 50;
/// Starts of each; the one in the middle is shown.
const STARTS: usize = 5;

/// A start, from the start of the process on.
struct Started {
    ready: Duration,
    all_answered: Duration,
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("\n## boot, median of {STARTS}, from the start of the process");
    for (known, active) in [(0, 0), (KNOWN, ACTIVE)] {
        let folder = tempfile::tempdir().unwrap();
        publish(folder.path(), known, active);
        // Once more, so that what only the first start after publishing does is not measured.
        start(folder.path(), active);
        let starts: Vec<Started> = (0..STARTS).map(|_| start(folder.path(), active)).collect();
        println!(
            "{known} published, {active} active: ready after {:.0} ms, all of them answered after {:.0} ms",
            median_ms(starts.iter().map(|start| start.ready)),
            median_ms(starts.iter().map(|start| start.all_answered)),
        );
    }
}

/// Publishes so many, of which the first are active and the others wait to be called.
fn publish(folder: &Path, known: usize, active: usize) {
    let mut host = Host::start_in(folder, &[]);
    let author = Author::trusted_by(&host);
    for number in 0..known {
        let query = if number < active { "" } else { "?activate=false" };
        let reply = author.send(&host, query, &manifest(&name(number), "1.0.0"), &component(number));
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    host.stop();
}

fn start(folder: &Path, active: usize) -> Started {
    let began = Instant::now();
    let mut host = Host::start_in(folder, &[]);
    assert_eq!(host.get("/readyz").status, 200);
    let ready = began.elapsed();
    for number in 0..active {
        let reply = host.execute(&urn(number), "number", json!({}));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let all_answered = began.elapsed();
    host.stop();
    Started { ready, all_answered }
}

fn name(number: usize) -> String {
    format!("numbered{number}")
}

fn urn(number: usize) -> String {
    format!("urn:tests:actionspace:solver:{}:v1", name(number))
}

/// Gives its number.
fn component(number: usize) -> Vec<u8> {
    guests::text(&format!(
        r#"(component
            (core module $m (func (export "number") (result i32) (i32.const {number})))
            (core instance $i (instantiate $m))
            (func (export "number") (result u32) (canon lift (core func $i "number"))))"#
    ))
}

fn median_ms(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
