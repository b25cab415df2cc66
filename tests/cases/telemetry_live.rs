//! Watching telemetry of a real host: what comes, coming back, choosing, a pace, and a reader that stands still.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kinetic_testkit::host::Host;
use kinetic_testkit::live::{Frames, LONG_DRAIN, PATIENCE};
use serde_json::{Value, json};

const STREAM: &str = "/api/v1/telemetry/stream";
const PACED: &str = "/api/v1/telemetry/stream/throttled";

/// Pushes lines; gives the answer.
fn push_lines(host: &Host, lines: String) -> Value {
    let headers = [("content-type", "application/x-ndjson")];
    let reply = host.send("POST", "/api/v1/telemetry/push", &headers, lines);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Pushes events, all of which are kept.
fn push(host: &Host, events: &[Value]) {
    let answer = push_lines(host, events.iter().map(|event| format!("{event}\n")).collect());
    assert_eq!(answer["kept"], json!(events.len()), "{answer:#}");
}

/// Events of a workflow with these numbers.
fn numbered(workflow: &str, numbers: std::ops::Range<u64>) -> Vec<Value> {
    let event =
        |n: u64| json!({ "workflow_id": workflow, "intent_id": "i", "sequence": n, "data": format!("token {n}") });
    numbers.map(event).collect()
}

/// What a frame says.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Empty where it has none.
    id: String,
    name: String,
    data: Value,
}

impl Seen {
    fn place(&self) -> (u64, u32) {
        let (offset, row) = self.id.split_once('-').unwrap_or_else(|| panic!("no place: {self:?}"));
        (offset.parse().unwrap(), row.parse().unwrap())
    }

    fn number(&self) -> u64 {
        self.data["sequence"]
            .as_u64()
            .unwrap_or_else(|| panic!("no number: {self:?}"))
    }
}

fn places(events: &[Seen]) -> Vec<(u64, u32)> {
    events.iter().map(Seen::place).collect()
}

fn counted(events: &[Seen]) -> Vec<u64> {
    events.iter().map(Seen::number).collect()
}

/// Somebody who watches.
struct Watcher(Frames);

impl Watcher {
    /// Begins to watch, and tells behind which event.
    fn open(host: &Host, path: &str, last: Option<&str>) -> (Self, Value) {
        let mut watcher = Self(Frames::open(&format!("{}{path}", host.url), last));
        let start = watcher.frame().expect("a first frame");
        assert_eq!(start.name, "start", "{start:?}");
        let after = start.data["after"].clone();
        assert_eq!(start.id, after.as_str().unwrap_or_default(), "{start:?}");
        (watcher, after)
    }

    /// The next frame with data: others only tell the place. None at the end of the stream.
    fn frame(&mut self) -> Option<Seen> {
        let begun = Instant::now();
        loop {
            let frame = self.0.frame()?;
            let field = |name: &str| {
                let mut found = frame.lines().filter_map(|line| line.strip_prefix(name));
                let first = found.next();
                assert_eq!(found.next(), None, "{name} is there once: {frame}");
                first.map(str::to_string)
            };
            if let Some(data) = field("data: ") {
                return Some(Seen {
                    id: field("id: ").unwrap_or_default(),
                    name: field("event: ").unwrap_or_default(),
                    data: serde_json::from_str(&data).unwrap_or_else(|e| panic!("{e}: {data}")),
                });
            }
            assert!(begun.elapsed() < PATIENCE, "only places come");
        }
    }

    fn event(&mut self) -> Seen {
        let seen = self.frame().expect("an event");
        assert!(seen.name.contains('.'), "its name is a topic: {seen:?}");
        seen
    }

    fn events(&mut self, count: usize) -> Vec<Seen> {
        (0..count).map(|_| self.event()).collect()
    }
}

#[test]
fn who_watches_gets_each_event_with_its_place_its_topic_and_one_line_of_json() {
    let mut host = Host::start_with(&LONG_DRAIN);
    let (mut watcher, _) = Watcher::open(&host, STREAM, None);
    let chunk =
        "{\"object\": \"chat.completion.chunk\",\r\n \"choices\": [{\"index\": 0, \"delta\": {\"content\": \"a\"}}]}";
    push(
        &host,
        &[
            json!({ "topic": "telemetry.tokens.v1", "workflow_id": "w", "intent_id": "i", "node_cid": "n",
                "sequence": 7, "priority": "critical", "received_unix_ns": 17, "data": chunk }),
            json!({ "workflow_id": "w", "received_unix_ns": 18, "data": "two\nlines" }),
            json!({ "received_unix_ns": 19, "a": [1, { "b": "\u{2028}" }] }),
        ],
    );
    let seen = watcher.events(3);
    assert!(places(&seen).is_sorted_by(|one, next| one < next), "{seen:?}");
    assert_eq!(seen[0].name, "telemetry.tokens.v1");
    assert_eq!(
        seen[0].data,
        json!({ "stream": "w/i", "sequence": 7, "priority": "CRITICAL", "received_unix_ns": 17, "workflow_id": "w",
            "intent_id": "i", "node_cid": "n", "kind": "chat.chunk",
            "data": { "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": { "content": "a" } }] } })
    );
    assert_eq!(seen[1].name, "telemetry.events.v1");
    assert_eq!(
        seen[1].data,
        json!({ "stream": "w/", "sequence": 0, "priority": "INFO", "received_unix_ns": 18, "workflow_id": "w",
            "intent_id": null, "node_cid": null, "kind": "other", "data": "two\nlines" })
    );
    assert_eq!(seen[2].name, "telemetry.events.v1");
    assert_eq!(
        seen[2].data["data"],
        json!({ "received_unix_ns": 19, "a": [1, { "b": "\u{2028}" }] })
    );
    let (mut late, after) = Watcher::open(&host, STREAM, None);
    assert_eq!(after, json!(seen[2].id), "it begins behind the newest");
    push(&host, &numbered("w", 8..9));
    assert_eq!(late.event(), watcher.event());

    let (status, took) = host.stop();
    assert!(status == Some(0) && took < PATIENCE, "{status:?} {took:?}");
    assert_eq!(watcher.frame(), None, "the stream is brought to its end");
}

#[test]
fn who_comes_back_gets_exactly_what_is_missing_also_from_a_host_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let (mut watcher, _) = Watcher::open(&host, STREAM, None);
    let (mut interrupted, _) = Watcher::open(&host, STREAM, None);
    for from in [0, 25, 50, 75] {
        push(&host, &numbered("w", from..from + 25));
    }
    let mut all = watcher.events(100);
    assert_eq!(counted(&all), (0..100).collect::<Vec<_>>());
    assert!(places(&all).is_sorted_by(|one, next| one < next), "{:?}", places(&all));
    for at in [0, 24, 25, 60, 98] {
        let id = &all[at].id;
        let (mut again, after) = Watcher::open(&host, STREAM, Some(id));
        assert_eq!(after, json!(id));
        assert_eq!(again.events(99 - at), all[at + 1..], "behind {id}");
    }
    // What could not be read has a place in the log, and is no event.
    let (mut at_the_end, _) = Watcher::open(&host, STREAM, Some(&all[99].id));
    assert_eq!(push_lines(&host, "not json\n".into())["rejected"], json!(1));
    push(&host, &numbered("w", 100..101));
    all.push(at_the_end.event());
    assert_eq!(all[100].number(), 100);
    // One watches as the host dies, and has read some of it.
    let read = interrupted.events(60);
    assert_eq!(read, all[..60]);
    host.kill();

    let host = Host::start_in(folder.path(), &[]);
    let (mut again, after) = Watcher::open(&host, STREAM, Some(&read[59].id));
    assert_eq!(after, json!(read[59].id));
    assert_eq!(again.events(41), all[60..], "the same from the log");
    push(&host, &numbered("w", 101..103));
    all.extend(again.events(2));
    assert_eq!(counted(&all), (0..103).collect::<Vec<_>>());
    // A link names the place as well; what a browser says goes before it.
    let linked = format!("{STREAM}?last_event_id={}", all[9].id);
    for (last, first) in [(None, 10), (Some(all[99].id.as_str()), 100)] {
        let (mut again, _) = Watcher::open(&host, &linked, last);
        assert_eq!(again.events(103 - first), all[first..]);
    }
    let (mut oldest, after) = Watcher::open(&host, &format!("{STREAM}?from=oldest"), None);
    assert_eq!(after, Value::Null);
    assert_eq!(oldest.events(103), all);
    for (id, status, code) in [("12", 400, "KIN-MED-0031"), ("999999-0", 404, "KIN-MED-0032")] {
        let reply = host.send("GET", STREAM, &[("last-event-id", id)], "");
        assert_eq!(reply.problem(status), code, "{id}");
    }
}

#[test]
fn a_watcher_has_only_the_topics_workflows_and_priorities_it_asks_for() {
    const ROUND: u64 = 10;
    let host = Host::start();
    let events = |round: u64| -> Vec<Value> {
        let all = [
            ("telemetry.tokens.v1", "w1", "DEBUG"),
            ("telemetry.tokens.v1", "w,2", "INFO"),
            ("telemetry.usage.v1", "w1", "METRIC"),
            ("orders.placed.v1", "w3", "WARNING"),
            ("orders.placed.v1", "w,2", "CRITICAL"),
            ("orders.late.placed.v1", "w1", "CRITICAL"),
        ];
        let numbers = round * ROUND..;
        let event = |(n, (topic, workflow, priority)): (u64, (&str, &str, &str))| {
            json!({
                "topic": topic, "workflow_id": workflow, "priority": priority, "sequence": n, "data": "x",
            })
        };
        numbers.zip(all).map(event).collect()
    };
    let choices: [(&str, &[u64]); 10] = [
        ("", &[0, 1, 2, 3, 4, 5]),
        ("workflow=w1", &[0, 2, 5]),
        ("workflow=w1&workflow=w%2C2", &[0, 1, 2, 4, 5]),
        ("topic=telemetry.%3E", &[0, 1, 2]),
        ("topic=*.placed.v1", &[3, 4]),
        ("topic=telemetry.usage.v1,orders.late.placed.v1", &[2, 5]),
        ("topic=orders.%3E&topic=telemetry.usage.v1", &[2, 3, 4, 5]),
        ("priority=warning", &[3, 4, 5]),
        ("priority=4", &[4, 5]),
        ("priority=METRIC&workflow=w1&topic=telemetry.%3E", &[2]),
    ];
    let watch = |query: &str, last: Option<&str>| Watcher::open(&host, &format!("{STREAM}?{query}"), last).0;
    let mut watchers: Vec<_> = choices.iter().map(|(query, _)| watch(query, None)).collect();
    // What is not wanted of the first round would come before the second one.
    push(&host, &events(0));
    push(&host, &events(1));
    for ((query, wanted), watcher) in choices.iter().zip(&mut watchers) {
        let again = wanted.iter().map(|n| ROUND + n);
        let expected: Vec<u64> = wanted.iter().copied().chain(again).collect();
        let live = watcher.events(expected.len());
        assert_eq!(counted(&live), expected, "{query}");
        let old = watch(&format!("{query}&from=oldest"), None).events(expected.len());
        assert_eq!(old, live, "{query}");
        let rest = watch(query, Some(live[0].id.as_str())).events(expected.len() - 1);
        assert_eq!(rest, live[1..], "{query}");
    }
    for (query, code) in [
        ("priority=loud", "KIN-GWY-0016"),
        ("priority=5", "KIN-MED-0035"),
        ("topic=a..b", "KIN-MED-0035"),
        ("from=first", "KIN-GWY-0016"),
        ("hz=1", "KIN-GWY-0016"),
    ] {
        assert_eq!(host.get(&format!("{STREAM}?{query}")).problem(400), code, "{query}");
    }
}

#[test]
fn a_paced_watcher_gets_the_newest_of_each_stream_and_is_told_how_many_it_did_not_get() {
    const PUSHES: u64 = 30;
    const EVENTS: u64 = 10;
    let host = Host::start();
    let begun = Instant::now();
    let (mut watcher, _) = Watcher::open(&host, &format!("{PACED}?hz=4"), None);
    for first in (0..PUSHES).map(|push| push * EVENTS) {
        let mut events = numbered("w0", first..first + EVENTS);
        for event in events.iter_mut().skip(1).step_by(2) {
            event["workflow_id"] = json!("w1");
        }
        push(&host, &events);
        std::thread::sleep(Duration::from_millis(50));
    }
    let (mut given, mut skipped): (Vec<Seen>, u64) = (Vec::new(), 0);
    while given.len() as u64 + skipped < PUSHES * EVENTS {
        let seen = watcher.frame().expect("a frame");
        match seen.name.as_str() {
            "skipped" => {
                assert_eq!(seen.id, "", "{seen:?}");
                skipped += seen.data["events"].as_u64().unwrap();
            }
            _ => given.push(seen),
        }
    }
    let all = given.len() as u64 + skipped;
    assert_eq!(all, PUSHES * EVENTS, "each one came or was counted");
    assert!(places(&given).is_sorted_by(|one, next| one < next), "{given:?}");
    let mut numbers: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for seen in &given {
        numbers
            .entry(seen.data["stream"].as_str().unwrap())
            .or_default()
            .push(seen.number());
    }
    assert_eq!(numbers.keys().copied().collect::<Vec<_>>(), ["w0/i", "w1/i"]);
    // One at once, and then four a second.
    let ticks = begun.elapsed().as_millis() / 250 + 2;
    for (numbers, last) in numbers.values().zip([PUSHES * EVENTS - 2, PUSHES * EVENTS - 1]) {
        assert_eq!(numbers.last(), Some(&last));
        assert!(
            numbers.len() >= 3 && numbers.len() as u128 <= ticks,
            "{numbers:?} in {ticks} ticks"
        );
    }
    // Behind the last one there is nothing that it did not get or was not told of.
    let (mut again, _) = Watcher::open(&host, STREAM, Some(&given[given.len() - 1].id));
    push(&host, &numbered("w0", 300..301));
    assert_eq!(again.event().number(), 300);
    for (hz, code) in [("1000", "KIN-MED-0036"), ("often", "KIN-GWY-0016")] {
        assert_eq!(host.get(&format!("{PACED}?hz={hz}")).problem(400), code, "{hz}");
    }
}

#[test]
fn a_watcher_that_does_not_read_costs_another_nothing_and_misses_nothing() {
    const PUSHES: u64 = 100;
    const EVENTS: u64 = 10;
    const BYTES: usize = 60_000;
    // A push may wait for a slow disk. Here it is to wait for no watcher.
    let host = Host::start_with(&[("KINETIC_TELEMETRY__PUSH_WAIT_MS", "60000")]);
    let (mut slow, _) = Watcher::open(&host, STREAM, None);
    let (mut fast, _) = Watcher::open(&host, STREAM, None);
    // With their text the events are more than the host holds for those who watch, and far more than sockets do.
    let text = "x".repeat(BYTES);
    let (mut read, mut longest) = (Vec::new(), Duration::ZERO);
    for first in (0..PUSHES).map(|push| push * EVENTS) {
        let mut events = numbered("w", first..first + EVENTS);
        for event in &mut events {
            event["data"] = json!(text);
            event["priority"] = json!("CRITICAL");
        }
        push(&host, &events);
        let begun = Instant::now();
        for seen in fast.events(events.len()) {
            assert_eq!(seen.data["data"].as_str().map(str::len), Some(BYTES));
            read.push((seen.id.clone(), seen.number()));
        }
        longest = longest.max(begun.elapsed());
    }
    let numbers: Vec<u64> = read.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, (0..PUSHES * EVENTS).collect::<Vec<_>>());
    assert!(longest < PATIENCE, "{longest:?}");
    for expected in read {
        let seen = slow.event();
        assert_eq!((seen.id.clone(), seen.number()), expected);
    }
}

#[test]
fn prometheus_reads_what_the_status_says() {
    let host = Host::start();
    let mut lines: String = numbered("w", 0..5).iter().map(|event| format!("{event}\n")).collect();
    lines.push_str("{\"workflow_id\":\"w\",\"priority\":\"CRITICAL\"}\nnot json\n");
    let pushed = push_lines(&host, lines);
    assert_eq!(
        (&pushed["kept"], &pushed["rejected"]),
        (&json!(6), &json!(1)),
        "{pushed:#}"
    );
    let flushed = host.post("/api/v1/telemetry/flush", &json!({}));
    assert_eq!(flushed.status, 200, "{}", flushed.text());
    let begun = Instant::now();
    // A host that has much to do leaves them out for once, and what is stored is taken off its counts a moment later.
    let (status, metrics) = loop {
        let status = host.get("/api/v1/telemetry").json();
        let text = host.get("/metrics").text();
        if text.contains("\nkinetic_telemetry_") && host.get("/api/v1/telemetry").json() == status {
            break (status, text);
        }
        assert!(begun.elapsed() < PATIENCE, "{text}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let (totals, buffer, storage) = (&status["totals"], &status["buffer"], &status["storage"]);
    for (metric, value) in [
        ("events_arrived_total", &totals["arrived"]),
        ("events_kept_total{priority=\"INFO\"}", &totals["kept"][1]),
        ("events_kept_total{priority=\"CRITICAL\"}", &totals["kept"][4]),
        ("events_shed_total{priority=\"INFO\"}", &totals["shed"][1]),
        ("events_rejected_total", &totals["rejected"]),
        (
            "subsystem_failures_total{subsystem=\"stream-buffer\"}",
            &buffer["component"]["failures"],
        ),
        (
            "subsystem_failures_total{subsystem=\"silver-gate\"}",
            &storage["gate"]["failures"],
        ),
        ("buffer_level", &buffer["level"]),
        ("next_offset", &buffer["next_offset"]),
        ("stored_offset", &storage["stored_offset"]),
        ("durable_offset", &storage["durable_offset"]),
        ("waiting_events", &buffer["events"]),
        ("waiting_bytes", &buffer["size_bytes"]),
    ] {
        let line = format!("kinetic_telemetry_{metric} {value}");
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line} is not in\n{metrics}"
        );
    }
    assert!(
        metrics.ends_with("# EOF\n") && metrics.matches("# EOF").count() == 1,
        "{metrics}"
    );

    let without = Host::start_with(&[("KINETIC_TELEMETRY__ENABLED", "false")]);
    let metrics = without.get("/metrics").text();
    assert!(
        metrics.ends_with("# EOF\n") && !metrics.contains("kinetic_telemetry_"),
        "{metrics}"
    );
    assert_eq!(without.get(STREAM).problem(503), "KIN-GWY-0032");
}

#[test]
fn the_description_of_the_api_names_the_routes_of_telemetry() {
    let host = Host::start();
    let api = host.get("/openapi.json").json();
    for (path, method) in [
        ("/api/v1/telemetry", "get"),
        ("/api/v1/telemetry/push", "post"),
        (STREAM, "get"),
        (PACED, "get"),
        ("/api/v1/telemetry/flush", "post"),
        ("/api/v1/telemetry/gold", "get"),
        ("/api/v1/telemetry/rebuild", "post"),
    ] {
        assert!(api["paths"][path][method].is_object(), "{method} {path}");
    }
    // What the status says is described, and what is described and not optional is said.
    let schema = &api["paths"]["/api/v1/telemetry"]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    let status = host.get("/api/v1/telemetry").json();
    for at in [
        "",
        "/totals",
        "/buffer",
        "/buffer/component",
        "/storage",
        "/storage/gate",
    ] {
        let described = schema.pointer(&at.replace('/', "/properties/")).unwrap();
        let said = status.pointer(at).unwrap().as_object().unwrap();
        for name in described["required"].as_array().unwrap() {
            assert!(said.contains_key(name.as_str().unwrap()), "{at}: {name} is not said");
        }
        for name in said.keys() {
            assert!(
                described["properties"][name].is_object(),
                "{at}: {name} is not described"
            );
        }
    }
}
