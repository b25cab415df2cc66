//! Watching the state: each change once and in the order of the log, by HTTP and command line, across a kill.

use std::collections::BTreeSet;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kinetic_testkit::host::Host;
use kinetic_testkit::live::{Frames, LONG_DRAIN, PATIENCE, Running, proxy};
use serde_json::{Value, json};

const CHANGES: &str = "/api/v1/state-changes";

/// Sets a key, and gives the record.
fn put(host: &Host, owner: &str, key: &str, value: &str) -> u64 {
    let json = ("content-type", "application/json");
    let path = format!("/api/v1/state/{owner}/{}", key.replace('/', "%2F"));
    let reply = host.send("PUT", &path, &[json], json!(value).to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["seq"].as_u64().unwrap()
}

fn page(host: &Host, query: &str) -> Value {
    let reply = host.get(&format!("{CHANGES}?{query}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn change(key: &str, value: Value, seq: u64) -> Value {
    json!({ "key": key, "value": value, "seq": seq })
}

/// The record that comes next.
fn now(host: &Host) -> u64 {
    page(host, "")["next"].as_u64().unwrap()
}

/// A branch of the host with three keys set, merged: three changes in one record, whose number it gives.
fn merged(host: &Host, branch: &str) -> u64 {
    host.kinetic(&["state", "branch", "create", "host", branch]).fine();
    for key in ["m/1", "m/2", "m/3"] {
        host.kinetic(&["state", "put", "host", key, "merged", "--branch", branch])
            .fine();
    }
    let merge = host.kinetic(&["state", "branch", "merge", "host", branch]).fine();
    merge.json()["seq"].as_u64().unwrap()
}

/// Somebody who reads the stream of changes.
struct Listener(Frames);

impl Listener {
    /// Opens a stream, and tells where it begins.
    fn open(host: &Host, query: &str, last: Option<&str>) -> (Self, u64) {
        let mut listener = Self(Frames::open(&format!("{}{CHANGES}?{query}", host.url), last));
        let (name, _, start) = listener.frame().expect("a first frame");
        assert_eq!(name, "start");
        let next = start["next"].as_u64().unwrap();
        (listener, next)
    }

    /// The next frame's name, id and data; none at the end of the stream.
    fn frame(&mut self) -> Option<(String, String, Value)> {
        let frame = self.0.frame()?;
        let field = |name: &str| {
            frame
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
        };
        let data = serde_json::from_str(field("data: ")).unwrap();
        Some((field("event: ").into(), field("id: ").into(), data))
    }

    /// The next change: its id and its data.
    fn change(&mut self) -> (String, Value) {
        let (name, id, data) = self.frame().expect("a change");
        assert_eq!(name, "change", "{data}");
        (id, data)
    }
}

#[test]
fn a_listener_sees_each_change_once_and_in_order_while_others_write_and_after_a_kill() {
    const WRITERS: usize = 3;
    const WRITES: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let (mut listener, begun) = Listener::open(&host, "owner=host", None);
    let written = Mutex::new(BTreeSet::new());
    let write = |host: &Host, writer: usize, number: usize| {
        let (key, value) = (format!("w/{writer}"), number.to_string());
        let seq = put(host, "host", &key, &value);
        written.lock().unwrap().insert((seq, key, value));
    };
    let mut seen = Vec::new();
    let read = |listener: &mut Listener, seen: &mut Vec<(u64, String, String)>| {
        let (id, data) = listener.change();
        let text = |name: &str| data[name].as_str().unwrap().to_string();
        let seq = data["seq"].as_u64().unwrap();
        assert_eq!(id, seq.to_string());
        seen.push((seq, text("key"), text("value")));
    };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (host, write) = (&host, &write);
            scope.spawn(move || (0..WRITES).for_each(|number| write(host, writer, number)));
        }
        // The rest is left for the one that comes back.
        (0..WRITERS * WRITES - 20).for_each(|_| read(&mut listener, &mut seen));
    });
    drop(listener);
    host.kill();

    let host = Host::start_in(folder.path(), &[]);
    let last = seen.last().unwrap().0;
    let (mut listener, next) = Listener::open(&host, "owner=host", Some(&last.to_string()));
    assert!(begun <= next && next == last, "{begun} {next} {last}");
    (0..20).for_each(|_| read(&mut listener, &mut seen));
    for number in 0..5 {
        write(&host, 7, number);
        read(&mut listener, &mut seen);
    }
    let written: Vec<_> = written.into_inner().unwrap().into_iter().collect();
    assert_eq!(seen, written);
}

#[test]
fn a_stream_ends_when_the_host_stops() {
    let mut host = Host::start_with(&LONG_DRAIN);
    let (mut listener, _) = Listener::open(&host, "", None);
    put(&host, "host", "k", "v");
    let (_, data) = listener.change();
    assert_eq!(data["owner"], json!("host"));
    let (status, took) = host.stop();
    assert!(status == Some(0) && took < PATIENCE, "{status:?} {took:?}");
    assert!(listener.frame().is_none());
}

#[test]
fn a_reader_that_comes_back_within_a_record_goes_on_with_its_rest() {
    let host = Host::start();
    let seq = merged(&host, "b");
    let after = put(&host, "host", "z", "after");
    let from = format!("owner=host&from={seq}");
    let (mut listener, begun) = Listener::open(&host, &from, None);
    assert_eq!(begun, seq);
    let read: Vec<(String, Value)> = (0..4).map(|_| listener.change()).collect();
    let changes = [
        (seq.to_string(), change("m/1", json!("merged"), seq)),
        (format!("{seq}/1"), change("m/2", json!("merged"), seq)),
        (format!("{seq}/2"), change("m/3", json!("merged"), seq)),
        (after.to_string(), change("z", json!("after"), after)),
    ];
    assert_eq!(read, changes);
    for (at, (id, _)) in changes.iter().enumerate().take(3) {
        let (mut again, _) = Listener::open(&host, "owner=host", Some(id));
        assert_eq!(again.change(), changes[at + 1], "behind {id}");
    }
    let whole = page(&host, &format!("{from}&limit=1"));
    let expected: Vec<&Value> = changes.iter().take(3).map(|(_, change)| change).collect();
    assert_eq!(whole, json!({ "changes": expected, "next": seq + 1 }));
}

#[test]
fn a_page_that_is_waited_for_ends_with_the_first_change_that_is_wanted() {
    let host = Host::start();
    let from = now(&host);
    std::thread::scope(|scope| {
        let query = format!("owner=host&prefix=a/&from={from}&wait_ms=30000");
        let host = &host;
        let waiting = scope.spawn(move || page(host, &query));
        put(host, "host", "b/1", "no");
        std::thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "nothing wanted came");
        let wrote = Instant::now();
        let seq = put(host, "host", "a/1", "yes");
        let answer = waiting.join().unwrap();
        assert!(wrote.elapsed() < Duration::from_secs(25), "{:?}", wrote.elapsed());
        let expected = [change("a/1", json!("yes"), seq)];
        assert_eq!(answer, json!({ "changes": expected, "next": seq + 1 }));
    });
    let begun = Instant::now();
    let empty = page(&host, &format!("owner=host&prefix=c/&from={from}&wait_ms=300"));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(empty["changes"], json!([]));
    let next = empty["next"].as_u64().unwrap();
    assert!(next > from + 1, "it is behind what it looked through: {next}");
    let seq = put(&host, "host", "c/1", "late");
    let rest = page(&host, &format!("owner=host&prefix=c/&from={next}"));
    assert_eq!(rest["changes"], json!([change("c/1", json!("late"), seq)]));
}

#[test]
fn a_prefix_an_owner_and_a_branch_have_only_their_own_changes() {
    let host = Host::start();
    let from = now(&host);
    let owner = "type:solver:redact";
    let first = put(&host, "host", "a/1", "x");
    let second = put(&host, "host", "b/1", "x");
    let third = put(&host, owner, "a/2", "x");
    host.kinetic(&["state", "branch", "create", "host", "try"]).fine();
    let on_branch = host.kinetic(&["state", "put", "host", "a/3", "x", "--branch", "try"]);
    let on_branch = on_branch.fine().json()["seq"].as_u64().unwrap();
    let octets = ("content-type", "application/octet-stream");
    let raw = host.send("PUT", "/api/v1/state/host/a%2F%FF", &[octets], b"\xff".to_vec());
    let raw = raw.json()["seq"].as_u64().unwrap();
    let deleted = host.kinetic(&["state", "delete", "host", "a/1"]).fine().json()["seq"]
        .as_u64()
        .unwrap();
    let of = |query: &str| page(&host, &format!("from={from}&{query}"))["changes"].clone();
    let bytes = json!({ "key": { "base64": "YS//" }, "value": { "base64": "/w==" }, "seq": raw });
    let a = [
        change("a/1", json!("x"), first),
        bytes,
        change("a/1", Value::Null, deleted),
    ];
    assert_eq!(of("owner=host&prefix=a/"), json!(a));
    assert_eq!(
        of("owner=host"),
        json!([a[0], change("b/1", json!("x"), second), a[1], a[2]])
    );
    assert_eq!(of(&format!("owner={owner}")), json!([change("a/2", json!("x"), third)]));
    assert_eq!(
        of("owner=host&branch=try"),
        json!([change("a/3", json!("x"), on_branch)])
    );
    let all = of("");
    let owners: Vec<&Value> = all.as_array().unwrap().iter().map(|change| &change["owner"]).collect();
    assert_eq!(
        owners,
        [
            &json!("host"),
            &json!("host"),
            &json!(owner),
            &json!("host"),
            &json!("host")
        ]
    );
    assert_eq!(of("branch=try&branch-owner=host")[0]["key"], json!("a/3"));
    let (mut listener, _) = Listener::open(&host, &format!("owner=host&branch=try&from={from}"), None);
    assert_eq!(listener.change().1, change("a/3", json!("x"), on_branch));
}

#[test]
fn what_cannot_be_watched_is_a_problem_with_its_code() {
    let host = Host::start();
    let stream = |query: &str, last: Option<&str>| {
        let last = last.map(|last| ("last-event-id", last));
        let headers: Vec<_> = [("accept", "text/event-stream")].into_iter().chain(last).collect();
        host.send("GET", &format!("{CHANGES}?{query}"), &headers, "")
    };
    let get = |query: &str| host.get(&format!("{CHANGES}?{query}"));
    for (code, status, reply) in [
        ("KIN-LED-0006", 404, get("from=999999")),
        ("KIN-LED-0065", 404, get("owner=host&branch=none")),
        ("KIN-GWY-0016", 400, get("from=then")),
        ("KIN-GWY-0016", 400, get("owner=somebody")),
        ("KIN-GWY-0016", 400, get("prefix=a")),
        ("KIN-GWY-0016", 400, get("limit=0")),
        ("KIN-GWY-0016", 400, get("wait_ms=60001")),
        ("KIN-GWY-0016", 400, get("after=a")),
        ("KIN-LED-0006", 404, stream("from=999999", None)),
        ("KIN-LED-0006", 404, stream("", Some("999999"))),
        ("KIN-LED-0065", 404, stream("owner=host&branch=none", None)),
        ("KIN-GWY-0016", 400, stream("limit=1", None)),
        ("KIN-GWY-0016", 400, stream("", Some("0:1"))),
    ] {
        assert_eq!(reply.problem(status), code, "{}", reply.text());
    }
    let watch = host.kinetic(&["state", "watch", "host", "--from", "999999"]);
    assert_eq!(watch.code(), "KIN-LED-0006");
}

#[test]
fn what_retention_removed_is_said_to_be_gone() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("KINETIC_LEDGER__SEGMENT_BYTES", "1048576"),
        ("KINETIC_LEDGER__RETAIN_BYTES", "1"),
    ];
    let host = Host::start_in(folder.path(), &variables);
    let value = "x".repeat(200_000);
    let begun = Instant::now();
    let first = loop {
        let seq = put(&host, "host", "large", &value);
        let first = host.get("/api/v1/ledger").json()["first"].as_u64().unwrap();
        if first > 0 {
            break first;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing is removed up to {seq}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let gone = host.get(&format!("{CHANGES}?owner=host&from=0"));
    assert_eq!(gone.problem(404), "KIN-LED-0005");
    let headers = [("accept", "text/event-stream")];
    let gone = host.send("GET", &format!("{CHANGES}?from={}", first - 1), &headers, "");
    assert_eq!(gone.problem(404), "KIN-LED-0005");
    let seq = put(&host, "host", "small", "v");
    let there = page(&host, &format!("owner=host&from={seq}"));
    assert_eq!(there["changes"], json!([change("small", json!("v"), seq)]));
}

#[test]
fn the_command_goes_on_where_it_was_when_the_host_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let from = now(&host).to_string();
    put(&host, "host", "b", "not wanted");
    let seq = merged(&host, "b");
    // The host gets another port each time, so it is reached through one that stays.
    let target = Arc::new(Mutex::new(host.url.clone()));
    let proxy = proxy(target.clone());
    let args = ["state", "watch", "host", "m/", "--from", &from, "--count", "5"];
    let watch = Running::start(&host, &proxy, &args);
    for key in ["m/1", "m/2", "m/3"] {
        assert_eq!(watch.line(), change(key, json!("merged"), seq));
    }
    host.kill();

    let host = Host::start_in(folder.path(), &[]);
    let meanwhile = put(&host, "host", "m/4", "meanwhile");
    *target.lock().unwrap() = host.url.clone();
    assert_eq!(watch.line(), change("m/4", json!("meanwhile"), meanwhile));
    let live = put(&host, "host", "m/5", "live");
    assert_eq!(watch.line(), change("m/5", json!("live"), live));
    assert_eq!(
        watch.lines.recv_timeout(PATIENCE),
        Err(RecvTimeoutError::Disconnected),
        "it ended after five"
    );
}
