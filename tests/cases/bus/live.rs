//! Reading while events come: streams, pages that wait, and commands that stay, across a restart of the host.

use std::io::Write as _;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kinetic_testkit::host::Host;
use kinetic_testkit::live::{Frames, LONG_DRAIN, PATIENCE, Running, proxy};
use serde_json::{Value, json};

use super::{TOPIC, create, data, events, numbers, path, publish};

/// Somebody who reads the topic's stream.
struct Listener(Frames);

impl Listener {
    fn open(host: &Host, query: &str, last: Option<&str>) -> Self {
        Self(Frames::open(
            &format!("{}{}", host.url, path(&format!("/events?{query}"))),
            last,
        ))
    }

    fn frame(&mut self) -> Option<String> {
        self.0.frame()
    }

    /// The next event: its place and its data.
    fn event(&mut self) -> (String, Value) {
        let frame = self.frame().expect("an event");
        let (id, data) = frame.split_once('\n').unwrap();
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (id.strip_prefix("id: ").unwrap().to_string(), event["data"].clone())
    }

    /// What the first frame says.
    fn start(&mut self) -> Value {
        let frame = self.frame().expect("a frame");
        serde_json::from_str(frame.strip_prefix("event: start\ndata: ").unwrap()).unwrap()
    }
}

#[test]
fn a_reader_goes_on_where_it_was_when_the_host_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    create(&host, json!({ "partitions": 2 }));
    numbers(&host, 0..4);
    // The host gets another port each time, so it is reached through one that stays.
    let target = Arc::new(Mutex::new(host.url.clone()));
    let proxy = proxy(target.clone());
    let tail = Running::start(&host, &proxy, &["tail", TOPIC, "--from", "earliest", "--count", "10"]);
    let mut seen: Vec<Value> = (0..4).map(|_| tail.line()).collect();
    host.kill();

    let host = Host::start_in(folder.path(), &[]);
    numbers(&host, 4..8);
    *target.lock().unwrap() = host.url.clone();
    seen.extend((0..4).map(|_| tail.line()));
    numbers(&host, 8..10);
    seen.extend((0..2).map(|_| tail.line()));
    let mut shown: Vec<u64> = seen
        .iter()
        .map(|line| line["event"]["data"].as_u64().unwrap())
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, (0..10).collect::<Vec<_>>(), "each once");
    for partition in 0..2 {
        let of = seen.iter().filter(|line| line["partition"] == json!(partition));
        let offsets: Vec<u64> = of.map(|line| line["offset"].as_u64().unwrap()).collect();
        assert_eq!(offsets, (0..5).collect::<Vec<_>>());
    }
    assert_eq!(
        tail.lines.recv_timeout(PATIENCE),
        Err(RecvTimeoutError::Disconnected),
        "it ended after ten"
    );
}

#[test]
fn a_stream_tells_where_it_begins_and_has_what_is_published_until_the_host_stops() {
    let mut host = Host::start_with(&LONG_DRAIN);
    create(&host, json!({}));
    numbers(&host, 0..3);
    let mut late = Listener::open(&host, "", None);
    assert_eq!(late.start(), json!({ "next": { "0": 3 }, "heads": { "0": 3 } }));
    let mut early = Listener::open(&host, "from=1", None);
    assert_eq!(early.start(), json!({ "next": { "0": 1 }, "heads": { "0": 3 } }));
    numbers(&host, 3..5);
    for number in 1..5 {
        assert_eq!(early.event(), (format!("0/{number}"), json!(number)));
    }
    for number in 3..5 {
        assert_eq!(late.event(), (format!("0/{number}"), json!(number)));
    }
    let mut again = Listener::open(&host, "from=earliest", Some("0/2"));
    assert_eq!(again.start()["next"], json!({ "0": 3 }));
    assert_eq!(again.event().0, "0/3");
    // Data that was written over several lines is one line of the stream.
    host.send(
        "POST",
        &path("/events"),
        &[("content-type", "application/json")],
        "{\"data\": {\r\n\"a\":\n1}}",
    );
    assert_eq!(late.event().1, json!({ "a": 1 }));

    let (status, took) = host.stop();
    assert!(status == Some(0) && took < PATIENCE, "{status:?} {took:?}");
    assert_eq!(late.frame(), None, "the stream is brought to its end");
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody_and_misses_nothing() {
    const BATCHES: u64 = 40;
    const EVENTS: u64 = 10;
    let host = Host::start();
    create(&host, json!({ "durability": "written" }));
    let mut slow = Listener::open(&host, "", None);
    slow.start();
    let mut fast = Listener::open(&host, "", None);
    fast.start();
    // Twenty megabytes do not fit between the host and a reader that does not read.
    let text = "x".repeat(50_000);
    let mut read = Vec::new();
    for batch in 0..BATCHES {
        let number = |at: u64| json!({ "data": { "n": batch * EVENTS + at, "text": text } });
        publish(&host, &(0..EVENTS).map(number).collect());
        read.extend((0..EVENTS).map(|_| fast.event().1["n"].as_u64().unwrap()));
    }
    let all: Vec<u64> = (0..BATCHES * EVENTS).collect();
    assert_eq!(read, all);
    let topic = host.get(&path("")).json();
    assert_eq!(topic["subscribers"], json!(2));
    assert!(
        topic["level"].as_u64().unwrap() > 0,
        "the slow one is behind: {topic:#}"
    );
    assert_eq!(topic["shed"], json!(0));
    let read: Vec<u64> = all.iter().map(|_| slow.event().1["n"].as_u64().unwrap()).collect();
    assert_eq!(read, all);
}

#[test]
fn events_of_a_topic_in_memory_come_to_who_waits_for_them() {
    let host = Host::start();
    host.kinetic(&["topics", "create", TOPIC, "--qos", "at_most_once"])
        .fine();
    assert_eq!(numbers(&host, 0..2), json!({ "seq": null, "accepted": 2, "shed": 0 }));
    std::thread::scope(|scope| {
        let (url, query) = (host.url.clone(), path("/events?wait_ms=30000"));
        let waiting = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let reply = reqwest::get(format!("{url}{query}")).await.unwrap();
                serde_json::from_slice::<Value>(&reply.bytes().await.unwrap()).unwrap()
            })
        });
        let begun = Instant::now();
        while host.get(&path("")).json()["subscribers"] != json!(1) {
            assert!(begun.elapsed() < PATIENCE, "nobody waits");
            std::thread::sleep(Duration::from_millis(10));
        }
        numbers(&host, 2..4);
        let page = waiting.join().unwrap();
        assert_eq!((data(&page), &page["next"]), (vec![json!(2), json!(3)], &json!({})));
        assert!(begun.elapsed() < PATIENCE);
    });
    let begun = Instant::now();
    assert_eq!(data(&events(&host, "wait_ms=300")), Vec::<Value>::new());
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(host.get(&path("/events?from=earliest")).problem(400), "KIN-LED-0047");
    let mut stream = Listener::open(&host, "", Some("0/0"));
    assert_eq!(stream.start(), json!({ "next": {}, "heads": {} }));
    numbers(&host, 4..5);
    assert_eq!(stream.event(), ("0/4".into(), json!(4)));
}

#[test]
fn lines_of_standard_input_are_events_and_come_through_while_the_input_is_open() {
    let host = Host::start();
    create(&host, json!({}));
    let mut publishing = Running::start(&host, &host.url, &["publish", "--topic", TOPIC, "--key", "k"]);
    let mut input = publishing.child.stdin.take().unwrap();
    let mut seen = Listener::open(&host, "from=earliest", None);
    seen.start();
    input.write_all(b"1\n{\"n\": 2}\n\n\"thr").unwrap();
    assert_eq!(seen.event().1, json!(1));
    assert_eq!(seen.event().1, json!({ "n": 2 }));
    input.write_all(b"ee\"\n4").unwrap();
    assert_eq!(seen.event().1, json!("three"));
    drop(input);
    assert_eq!(seen.event().1, json!(4));
    // The answer is an indented document.
    let answer: String = publishing.lines.iter().collect();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((&answer["accepted"], answer["seq"].is_u64()), (&json!(4), true));
    assert!(publishing.child.wait().unwrap().success());

    let mut bad = Running::start(&host, &host.url, &["publish", "--topic", TOPIC, "-"]);
    bad.child.stdin.take().unwrap().write_all(b"5\nsix\n").unwrap();
    let answer: String = bad.lines.iter().collect();
    assert!(answer.contains("KIN-CLI-0011") && answer.contains("line 2"), "{answer}");
    assert_eq!(data(&events(&host, "from=4")), Vec::<Value>::new());
}
