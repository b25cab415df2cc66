//! Long calls in a process of their own run aside there as they do in the host, and quick ones do not.

use std::fs;

use kinetic_engine::Engine;
use kinetic_testkit::engine::{call, value};
use serde_json::json;

use crate::worker::{hostile, workers};

/// What the system says of the threads that run long calls in an engine's processes: the niceness of each, and what all
/// took of a processor, in the system's ticks.
fn threads_aside(engine: &Engine) -> (Vec<i64>, u64) {
    let (mut niceness, mut ticks) = (Vec::new(), 0);
    for id in engine.workers().iter().filter_map(|process| process.process_id) {
        for thread in fs::read_dir(format!("/proc/{id}/task")).unwrap() {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            let (name, rest) = stat.rsplit_once(')').unwrap();
            let fields: Vec<_> = rest.split_whitespace().collect();
            let number = |at: usize| fields[at].parse::<i64>().unwrap();
            if name.ends_with("(long-calls") {
                niceness.push(number(16));
                ticks += u64::try_from(number(11) + number(12)).unwrap();
            }
        }
    }
    (niceness, ticks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_call_in_a_worker_goes_on_with_low_priority_and_a_quick_one_does_not() {
    let engine = workers(|_| {});
    let guest = hostile(&engine).await;
    for _ in 0..20 {
        assert_eq!(value(call(&guest, "behaves", json!({ "text": "a" })).await), json!("a"));
    }
    let (niceness, before) = threads_aside(&engine);
    assert!(!niceness.is_empty(), "it can start none later");
    let own = rustix::process::getpriority_process(None).unwrap();
    let low = i64::from(own.max(10));
    assert!(niceness.iter().all(|nice| *nice == low), "{niceness:?}");
    assert!(before < 2, "quick calls took {before} ticks of them");
    // A tenth of a second at least, of which a few thousandths are over before it is known to be long; on a busy machine it
    // lasts tens of times as long.
    value(call(&guest, "works", json!({ "rounds": 100_000_000 })).await);
    let (_, after) = threads_aside(&engine);
    assert!(after > before + 4, "it took {} ticks of them", after - before);
    assert_eq!(value(call(&guest, "behaves", json!({ "text": "b" })).await), json!("b"));
}
