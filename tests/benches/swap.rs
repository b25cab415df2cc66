//! What callers notice of a swap: a host with its defaults, two callers, and one swap after the other; once with callers that
//! make 10,000 calls a minute together, once with callers that never stop, and so want both processors for themselves.
//!
//! For each swap the slowest call that ran while it did; beside it the slowest call of equally long stretches without one.
//! And of all calls that ran during any swap, how long they took. Where callers pause, a thread that only sleeps as long as
//! they do stands beside all of this: how late it wakes is what two processors do to anybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use kinetic_testkit::host::Host;
use kinetic_testkit::swappable::{Author, COUNTER, Kind, PURE, operate, version};
use serde_json::json;

const SWAPS: u64 = 100;
const CALLERS: usize = 2;
/// Before each swap nothing happens for so long: longer than any of them takes.
const QUIET: Duration = Duration::from_millis(500);
/// Between two calls of a caller that does not call all the time: with two of them 10,000 a minute.
const PACE: Duration = Duration::from_millis(12);
/// Between the end of a quiet stretch and its swap.
const APART: Duration = Duration::from_millis(20);

/// When a call began and how long it took.
type Call = (Instant, Duration);

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for (name, urn, kind, function) in [
        ("stateless", PURE, Kind::Good, "twist"),
        ("a sum of a few bytes", COUNTER, Kind::Good, "add"),
        ("10 MB of state", COUNTER, Kind::Large, "add"),
    ] {
        println!("\n## swap, {name}; 10,000 calls a minute");
        measure(urn, kind, function, Some(PACE));
        println!("\n## swap, {name}; callers that never stop");
        measure(urn, kind, function, None);
    }
}

fn measure(urn: &'static str, kind: Kind, function: &'static str, pace: Option<Duration>) {
    let host = Arc::new(Host::start_with(&[]));
    let author = Author::trusted_by(&host);
    assert_eq!(author.publish(&host, urn, 0, kind).status, 201);
    let staged = |minor: u64| assert_eq!(author.stage(&host, urn, minor, kind).status, 201);
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (host, calls, stop) = (host.clone(), calls.clone(), stop.clone());
            thread::spawn(move || {
                let input = if function == "add" {
                    json!({ "n": 1 })
                } else {
                    json!({ "text": "some text" })
                };
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    assert_eq!(host.execute(urn, function, input.clone()).status, 200);
                    let took = begun.elapsed();
                    calls.lock().unwrap().push((begun, took));
                    if let Some(pace) = pace {
                        thread::sleep(pace.saturating_sub(took));
                    }
                }
            })
        })
        .collect();
    let sleeper = pace.map(|pace| {
        let stop = stop.clone();
        thread::spawn(move || lateness_ms(pace, &stop))
    });
    thread::sleep(Duration::from_secs(1));
    let (mut swaps, mut quiet, mut pauses) = (Vec::new(), Vec::new(), Vec::new());
    let mut steps: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for minor in 1..=SWAPS {
        staged(minor);
        // What publishing left to do is done by then.
        thread::sleep(QUIET / 4);
        thread::sleep(QUIET);
        let begun = Instant::now();
        let swapped = operate(&host, urn, "swap", &json!({ "to": version(minor) }));
        assert_eq!(swapped.status, 200, "{}", swapped.text());
        let took = begun.elapsed();
        swaps.push((begun, took));
        // As long as the swap, and right before it.
        let stretch = took.min(QUIET.saturating_sub(APART));
        quiet.push((begun - APART - stretch, stretch));
        let swapped = swapped.json();
        pauses.push(swapped["pause_us"].as_u64().unwrap() as f64 / 1e3);
        for step in swapped["steps"].as_array().unwrap() {
            let name = step["step"].as_str().unwrap().to_string();
            steps
                .entry(name)
                .or_default()
                .push(step["took_us"].as_u64().unwrap() as f64 / 1e3);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().unwrap();
    }
    let calls = calls.lock().unwrap();
    println!("{SWAPS} swaps, {} calls, none failed", calls.len());
    let swap_ms: Vec<f64> = swaps.iter().map(|(_, took)| took.as_secs_f64() * 1e3).collect();
    show("the swap itself, ms", swap_ms);
    show("of it, calls waited for, ms", pauses);
    for (step, took_ms) in steps {
        show(&format!("    {step}, ms"), took_ms);
    }
    show("slowest call during a swap, ms", slowest(&calls, &swaps));
    show("slowest call in as long without one, ms", slowest(&calls, &quiet));
    let (during, others): (Vec<Call>, Vec<Call>) = calls
        .iter()
        .copied()
        .partition(|call| swaps.iter().any(|swap| overlap(call, swap)));
    let ms = |calls: &[Call]| calls.iter().map(|(_, took)| took.as_secs_f64() * 1e3).collect();
    show(&format!("all {} calls during a swap, ms", during.len()), ms(&during));
    show("all other calls, ms", ms(&others));
    if let Some(sleeper) = sleeper {
        show("a thread that only sleeps wakes late by, ms", sleeper.join().unwrap());
    }
}

/// By how much longer than asked a thread sleeps, again and again.
fn lateness_ms(pace: Duration, stop: &AtomicBool) -> Vec<f64> {
    let mut late = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        thread::sleep(pace);
        late.push(begun.elapsed().saturating_sub(pace).as_secs_f64() * 1e3);
    }
    late
}

fn overlap((begun, lasted): &Call, (from, took): &Call) -> bool {
    *begun < *from + *took && *begun + *lasted > *from
}

/// The slowest of the calls that ran at some time in each stretch.
fn slowest(calls: &[Call], stretches: &[Call]) -> Vec<f64> {
    let during = |stretch: &Call| {
        let overlapping = calls.iter().filter(|call| overlap(call, stretch));
        overlapping
            .map(|(_, lasted)| lasted.as_secs_f64() * 1e3)
            .fold(0.0, f64::max)
    };
    stretches.iter().map(during).collect()
}

fn show(what: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values[(values.len() * percent).div_ceil(100).max(1) - 1];
    println!("{what}: p50 {:.2}, p99 {:.2}, most {:.2}", at(50), at(99), at(100));
}
