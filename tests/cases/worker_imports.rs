//! Capsules that import from the host, with their calls in worker processes: same answers, same state, same records, and a
//! worker that dies in the middle leaves nothing.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kinetic_identity::SigningKey;
use kinetic_ledger::{LedgerError, Parts, Reader, SystemDisk};
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Said, kinetic_in};
use serde_json::{Value, json};

use crate::ledger::{Caller, seq_of};

const TOPIC: &str = "tests.in.v1";
const INTO: &str = "tests.out.v1";

fn urn(name: &str) -> String {
    format!("urn:tests:actionspace:solver:{name}:v1")
}

/// A host whose session capsules, which those of the tests are, run where it is said.
fn host(run_in: &str) -> Host {
    Host::start_with(&[("KINETIC_ENGINE__WORKERS__SESSION", run_in)])
}

fn install(host: &Host, guest: &str, imports: Value) -> String {
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let mut asks = manifest(guest, "1.0.0");
    asks["imports"] = imports;
    let body = publication(&asks, &guests::rust(guest), &key);
    let reply = host.post("/api/v1/registry/capabilities/publish", &body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    urn(guest)
}

/// Both hosts with the same capsule, the second one with its calls in workers.
fn both(guest: &str, imports: &Value) -> [Host; 2] {
    ["process", "worker"].map(|run_in| {
        let host = host(run_in);
        let urn = install(&host, guest, imports.clone());
        let listed = host.get("/api/v1/capsules").json();
        let capsules = listed["capsules"].as_array().unwrap();
        let ours = capsules.iter().find(|capsule| capsule["urn"] == json!(urn)).unwrap();
        assert_eq!(ours["runs_in"], json!(run_in), "{ours:#}");
        host
    })
}

fn parts(host: &Host, seq: u64) -> Parts {
    let mut found = None;
    Reader::open(Arc::new(SystemDisk), &host.folder.join("data/ledger"), seq)
        .unwrap()
        .each(|record| {
            assert_eq!(record.seq, seq);
            found = Some(record.parts()?);
            Ok::<_, LedgerError>(false)
        })
        .unwrap();
    found.unwrap()
}

/// What a call said and used, and what its record holds, without what is another each time.
fn seen(host: &Host, urn: &str, function: &str, intent: &Value) -> Value {
    let reply = host.execute(urn, function, intent.clone());
    let answer = reply.json();
    if reply.status != 200 {
        return json!([reply.status, answer["code"]]);
    }
    let parts = parts(host, seq_of(&answer));
    let used = &answer["telemetry"];
    json!({
        "success": answer["success"],
        "output": answer["output"],
        "logs": answer["logs"],
        "handles": used["handles"],
        "log_bytes": used["log_bytes"],
        "events": parts.events.len(),
        "writes": parts.writes.len(),
    })
}

fn assert_same(hosts: &[Host; 2], urn: &str, calls: &[(&str, Value)]) {
    for (function, intent) in calls {
        let [here, there] = [&hosts[0], &hosts[1]].map(|host| seen(host, urn, function, intent));
        assert_eq!(here, there, "{function} {intent}");
    }
}

fn replay(folder: &Path, args: &[&str]) -> Said {
    let mut all = vec!["--output", "json", "--data", "data", "replay"];
    all.extend(args);
    kinetic_in(folder, &[], &all)
}

#[test]
fn state_is_read_and_written_from_a_worker_as_from_the_host_and_its_recordings_replay_anywhere() {
    let imports = json!([{ "interface": "kinetic:state/store" }]);
    let mut hosts = both("stateful", &imports);
    let urn = urn("stateful");
    let other = "urn:tests:actionspace:solver:other:v1";
    assert_same(
        &hosts,
        &urn,
        &[
            ("add", json!({ "name": "a", "amount": 5 })),
            ("add", json!({ "name": "a", "amount": -2 })),
            ("add", json!({ "name": "b", "amount": 1 })),
            ("read", json!({ "name": "a" })),
            ("read", json!({ "name": "never" })),
            ("sum", json!({ "prefix": "" })),
            ("add-and-err", json!({ "name": "a", "amount": 1 })),
            ("add-and-panic", json!({ "name": "a", "amount": 1 })),
            ("add-below", json!({ "of": "a", "to": "b", "limit": 10 })),
            ("peek", json!({ "urn": other, "name": "a" })),
            ("share", json!({ "name": "a", "value": "x" })),
            ("past", json!({ "name": "a", "at": 0 })),
            ("fork", json!({ "branch": "side" })),
            ("add-on", json!({ "branch": "side", "name": "a", "amount": 10 })),
            ("add-on", json!({ "branch": "none", "name": "a", "amount": 10 })),
            ("read", json!({ "name": "a" })),
        ],
    );
    // The call waits in the host's process for what another one writes.
    let there = &hosts[1];
    let start = there.get("/api/v1/state-changes").json()["next"].clone();
    let (url, waiting_urn) = (there.url.clone(), urn.clone());
    let waiting = std::thread::spawn(move || {
        let mut caller = Caller::connect(&url).unwrap();
        let intent = json!({ "urn": null, "prefix": "w", "start": start, "wait-ms": 30_000 });
        caller.execute(&waiting_urn, "changes", &intent).unwrap()
    });
    let began = Instant::now();
    while !waiting.is_finished() {
        assert!(began.elapsed() < Duration::from_secs(60));
        there.execute(&urn, "add", json!({ "name": "w", "amount": 1 }));
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = waiting.join().unwrap();
    assert_eq!(told["output"][0][0][0], json!("w"), "{told:#}");
    let there = &mut hosts[1];
    there.stop();
    let said = replay(&there.folder, &["--capsule", &urn]).fine().json();
    assert!(said["same"].as_u64() >= Some(10), "{said:#}");
}

#[test]
fn keyvalue_is_the_same_from_a_worker_with_its_buckets_behind_handles() {
    let imports = json!([{ "interface": "wasi:keyvalue/store" }]);
    let hosts = both("keyvalue", &imports);
    assert_same(
        &hosts,
        &urn("keyvalue"),
        &[
            ("get", json!({ "bucket": "", "key": "k" })),
            ("set", json!({ "bucket": "default", "key": "k", "value": "v" })),
            ("get", json!({ "bucket": "", "key": "k" })),
            ("delete", json!({ "bucket": "", "key": "k" })),
            ("get", json!({ "bucket": "", "key": "k" })),
            ("set", json!({ "bucket": "shared", "key": "k", "value": "v" })),
            ("set", json!({ "bucket": "nobodys", "key": "k", "value": "v" })),
            ("increment", json!({ "bucket": "", "key": "n", "delta": 3 })),
            ("increment", json!({ "bucket": "", "key": "n", "delta": 4 })),
            ("increment-and-err", json!({ "bucket": "", "key": "n", "delta": 5 })),
            ("many", json!({ "bucket": "", "count": 2_500 })),
            ("keys", json!({ "bucket": "" })),
        ],
    );
}

fn with_topics(host: &Host) {
    for topic in [TOPIC, INTO] {
        let reply = host.post("/api/v1/topics", &json!({ "name": topic, "config": {} }));
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
}

fn eventful() -> Value {
    json!([
        { "interface": "kinetic:events/bus", "publish": ["tests.>"], "subscribe": ["tests.*.v1"] },
        { "interface": "kinetic:state/store" },
    ])
}

#[test]
fn events_are_published_and_consumed_from_a_worker_in_the_one_record_of_the_call() {
    let hosts = both("eventful", &eventful());
    hosts.iter().for_each(with_topics);
    let urn = urn("eventful");
    assert_same(
        &hosts,
        &urn,
        &[
            ("publish", json!({ "topic": TOPIC, "data": "7" })),
            ("publish-and-err", json!({ "topic": TOPIC, "data": "x" })),
            ("publish-and-panic", json!({ "topic": TOPIC, "data": "x" })),
            ("forge", json!({ "topic": TOPIC })),
            ("publish", json!({ "topic": "others.v1", "data": "x" })),
            ("publish-many", json!({ "topic": TOPIC, "begin": 0, "count": 200 })),
            ("counted", json!({})),
            ("choke", json!({ "topic": TOPIC, "group": "other", "wait-ms": 10_000 })),
            ("hoard", json!({ "topic": TOPIC, "count": 16 })),
            ("hoard", json!({ "topic": TOPIC, "count": 17 })),
            ("publish", json!({ "topic": INTO, "data": "last" })),
        ],
    );
    // How many events come at once is the bus's; together they are all there are, each once.
    let all = json!({ "topic": TOPIC, "group": "g", "into": INTO, "limit": 50, "wait-ms": 1_000 });
    for host in &hosts {
        let (mut sum, began) = (0, Instant::now());
        while sum < 201 {
            assert!(began.elapsed() < Duration::from_secs(60), "{sum}");
            let answer = host.execute(&urn, "count", all.clone()).json();
            let counted = answer["output"].as_u64().unwrap_or_else(|| panic!("{answer:#}"));
            let parts = parts(host, seq_of(&answer));
            assert_eq!(parts.events.len() as u64, counted);
            assert_eq!(parts.offsets.is_empty(), counted == 0);
            sum += counted;
        }
        let counted = host.execute(&urn, "counted", json!({})).json();
        assert_eq!(counted["output"], json!(201), "{counted:#}");
    }
}

/// The worker processes of a host.
fn workers(host: &Host) -> Vec<u32> {
    let parent = format!("PPid:\t{}", host.pid());
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    let processes = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes
        .filter(|process| {
            let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}")).unwrap_or_default();
            read("status").lines().any(|line| line == parent) && read("cmdline").ends_with("\0worker\0")
        })
        .collect()
}

#[test]
fn a_worker_killed_while_its_guest_waits_in_a_host_call_leaves_nothing_and_a_killed_host_leaves_no_worker() {
    let host = host("worker");
    let urn = install(&host, "eventful", eventful());
    with_topics(&host);
    let publish = json!({ "topic": TOPIC, "begin": 0, "count": 3 });
    assert_eq!(host.execute(&urn, "publish-many", publish).status, 200);
    let drain = |wait_ms: u32| json!({ "topic": TOPIC, "group": "g", "wait-ms": wait_ms });
    // It marks all three as done and then waits for a fourth.
    let (url, draining_urn, intent) = (host.url.clone(), urn.clone(), drain(20_000));
    let draining = std::thread::spawn(move || {
        let mut caller = Caller::connect(&url).unwrap();
        caller.execute(&draining_urn, "drain", &intent).unwrap()
    });
    let began = Instant::now();
    loop {
        let listed = host.get("/api/v1/capsules").json();
        let capsules = listed["capsules"].as_array().unwrap();
        let ours = capsules.iter().find(|capsule| capsule["urn"] == json!(urn)).unwrap();
        if ours["calls_running"] == json!(1) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{ours:#}");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The examples' namespace has one, too.
    for worker in workers(&host) {
        let killed = Command::new("kill").args(["-KILL", &worker.to_string()]).status();
        assert!(killed.unwrap().success());
    }
    let answer = draining.join().unwrap();
    assert_eq!(answer["code"], json!("KIN-ENG-0046"), "{answer:#}");
    let again = host.execute(&urn, "drain", drain(0)).json();
    assert_eq!(again["output"].as_array().unwrap().len(), 3, "{again:#}");

    let left = workers(&host);
    assert!(!left.is_empty());
    host.kill();
    let began = Instant::now();
    while left.iter().any(|worker| {
        let cmdline = fs::read_to_string(format!("/proc/{worker}/cmdline")).unwrap_or_default();
        cmdline.ends_with("\0worker\0")
    }) {
        assert!(began.elapsed() < Duration::from_secs(30), "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
