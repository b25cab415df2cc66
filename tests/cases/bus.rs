//! The bus as a person has it: topics, events and schemas by command line and HTTP, live and from the log, across a kill.

mod live;
mod schemas;

use kinetic_ledger::bus::partition_of;
use kinetic_model::Digest;
use kinetic_testkit::host::{Host, Reply, kinetic_in};
use serde_json::{Value, json};

const TOPICS: &str = "/api/v1/topics";
const TOPIC: &str = "test.numbers.v1";

/// The topics of a list that others than the host write.
fn not_the_hosts(listed: &Value) -> Vec<Value> {
    let topics = listed["topics"].as_array().unwrap().iter();
    topics
        .filter(|topic| !topic["name"].as_str().unwrap().starts_with("kinetic."))
        .cloned()
        .collect()
}

fn create(host: &Host, config: Value) -> Value {
    let reply = host.post(TOPICS, &json!({ "name": TOPIC, "config": config }));
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

fn path(rest: &str) -> String {
    format!("{TOPICS}/{TOPIC}{rest}")
}

fn publish(host: &Host, events: &Value) -> Value {
    let reply = host.post(&path("/events"), events);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Publishes the numbers of a range, in one request.
fn numbers(host: &Host, range: std::ops::Range<u64>) -> Value {
    publish(host, &range.map(|number| json!({ "data": number })).collect())
}

fn events(host: &Host, query: &str) -> Value {
    let reply = host.get(&path(&format!("/events?{query}")));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// The data of the events of a page.
fn data(page: &Value) -> Vec<Value> {
    page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shown| shown["event"]["data"].clone())
        .collect()
}

/// The lines of JSON a command printed.
fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

#[test]
fn a_topic_is_made_published_to_and_tailed_by_command_line_and_http() {
    let host = Host::start();
    let made = host
        .kinetic(&["topics", "create", TOPIC, "--ack-timeout-ms", "1000"])
        .fine()
        .json();
    assert_eq!(
        (&made["name"], &made["durability"], &made["backpressure"]),
        (&json!(TOPIC), &json!("synced"), &json!("spill"))
    );
    assert_eq!(made["config"]["ack_timeout_ms"], json!(1000));
    assert_eq!(host.kinetic(&["topics", "create", TOPIC]).code(), "KIN-LED-0033");

    let first = host.kinetic(&[
        "publish",
        "--topic",
        TOPIC,
        r#"{"n": 1.10}"#,
        "--key",
        "k",
        "--type",
        "t",
        "--subject",
        "s",
    ]);
    let first = first.fine().json();
    assert_eq!((&first["accepted"], &first["shed"]), (&json!(1), &json!(0)));
    let simple = publish(&host, &json!([{ "data": 2, "id": "two" }, { "data": null }]));
    assert!(simple["seq"].as_u64().unwrap() > first["seq"].as_u64().unwrap());
    let event = json!({ "specversion": "1.0", "id": "4", "source": "/s", "type": "t", "more": true, "data": "four" });
    let send = |media_type: &str, body: &Value| {
        host.send(
            "POST",
            &path("/events"),
            &[("content-type", media_type)],
            body.to_string(),
        )
    };
    assert_eq!(
        send("application/cloudevents+json", &event).json()["accepted"],
        json!(1)
    );
    assert_eq!(
        send("application/cloudevents-batch+json", &json!([event, event])).json()["accepted"],
        json!(2)
    );

    let tailed = host
        .kinetic(&["tail", TOPIC, "--from", "earliest", "--no-follow"])
        .fine();
    assert!(
        tailed.stdout.contains(r#""data":{"n": 1.10}"#),
        "data stays as it was written: {}",
        tailed.stdout
    );
    let tailed = lines(&tailed.stdout);
    let places: Vec<_> = tailed
        .iter()
        .map(|line| (line["partition"].as_u64(), line["offset"].as_u64()))
        .collect();
    assert_eq!(places, (0..6).map(|offset| (Some(0), Some(offset))).collect::<Vec<_>>());
    let one = &tailed[0]["event"];
    assert_eq!(
        (&one["partitionkey"], &one["type"], &one["subject"]),
        (&json!("k"), &json!("t"), &json!("s"))
    );
    let two = &tailed[1]["event"];
    assert_eq!(
        (&two["id"], &two["type"], &two["specversion"]),
        (&json!("two"), &json!(TOPIC), &json!("1.0"))
    );
    assert!(two["time"].is_string() && two["source"].is_string());
    assert_eq!(
        (&tailed[3]["event"]["more"], &tailed[3]["event"]["data"]),
        (&json!(true), &json!("four"))
    );

    let page = events(&host, "from=earliest");
    assert_eq!(page["events"].as_array().unwrap(), &tailed);
    assert_eq!(page["next"], json!({ "0": 6 }));
    let last = lines(
        &host
            .kinetic(&["tail", TOPIC, "--from", "4", "--count", "1"])
            .fine()
            .stdout,
    );
    assert_eq!(last, [tailed[4].clone()]);
    let text = kinetic_in(
        &host.folder,
        &[],
        &["--host", &host.url, "tail", TOPIC, "--no-follow", "--count", "1"],
    )
    .fine();
    assert!(
        text.stdout.starts_with("0/0  ") && text.stdout.ends_with("[k]  {\"n\":1.1}\n"),
        "{}",
        text.stdout
    );

    let changed = host
        .kinetic(&["topics", "change", TOPIC, "--max-deliveries", "9"])
        .fine()
        .json();
    assert_eq!(
        (
            &changed["config"]["max_deliveries"],
            &changed["config"]["ack_timeout_ms"]
        ),
        (&json!(9), &json!(1000))
    );
    assert_eq!(
        host.kinetic(&["topics", "change", TOPIC, "--partitions", "2"]).code(),
        "KIN-LED-0034"
    );
    let listed = host.kinetic(&["topics"]).fine().json();
    assert_eq!(not_the_hosts(&listed)[0]["published"], json!(6));
    let shown = host.kinetic(&["topics", "show", TOPIC]).fine().json();
    assert_eq!(shown["partitions"], json!([{ "partition": 0, "first": 0, "next": 6 }]));
    let text = kinetic_in(&host.folder, &[], &["--host", &host.url, "topics"])
        .fine()
        .stdout;
    assert!(
        text.contains(TOPIC) && text.contains("1 partition, at_least_once, synced, spill") && text.contains("6 events"),
        "{text}"
    );
}

#[test]
fn events_survive_a_kill_and_are_read_again_from_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    create(&host, json!({ "partitions": 2 }));
    for batch in 0..5 {
        numbers(&host, batch * 20..batch * 20 + 20);
    }
    // Which partition comes first is not said.
    let all = |host: &Host| {
        let mut page = events(host, "from=earliest&limit=1000");
        let place = |shown: &Value| (shown["partition"].as_u64(), shown["offset"].as_u64());
        page["events"].as_array_mut().unwrap().sort_by_key(place);
        page
    };
    let before = all(&host);
    host.kill();

    let host = Host::start_in(folder.path(), &[]);
    let after = all(&host);
    assert_eq!(after, before);
    let mut seen: Vec<u64> = data(&after).iter().map(|number| number.as_u64().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    numbers(&host, 100..102);
    let next = events(&host, "from=0:50,1:50&limit=1000");
    assert_eq!((data(&next).len(), &next["next"]), (2, &json!({ "0": 51, "1": 51 })));
    let verified = kinetic_in(&host.kill(), &[], &["--output", "json", "--data", "data", "verify"]).fine();
    assert!(verified.json().is_object());
}

#[test]
fn an_unknown_topic_is_not_made_by_using_it() {
    let host = Host::start();
    for reply in [
        host.post(&path("/events"), &json!({ "data": 1 })),
        host.get(&path("/events")),
        host.get(&path("/events?wait_ms=1000")),
        host.send("GET", &path("/events"), &[("accept", "text/event-stream")], ""),
        host.get(&path("")),
        host.send("DELETE", &path("/groups/g"), &[], ""),
    ] {
        assert_eq!(reply.problem(404), "KIN-LED-0032");
        assert!(reply.json()["fix"].as_str().unwrap().starts_with("Create it first"));
    }
    assert_eq!(host.kinetic(&["publish", "--topic", TOPIC, "1"]).code(), "KIN-LED-0032");
    assert_eq!(host.kinetic(&["tail", TOPIC]).code(), "KIN-LED-0032");
    assert_eq!(
        not_the_hosts(&host.kinetic(&["topics"]).fine().json()),
        [] as [Value; 0]
    );
    create(&host, json!({}));
    assert_eq!(
        host.kinetic(&["topics", "forget", TOPIC, "nobody"]).code(),
        "KIN-LED-0049"
    );
}

#[test]
fn events_with_the_same_key_keep_their_order_in_the_keys_partition() {
    let host = Host::start();
    create(&host, json!({ "partitions": 4 }));
    let key = |number: u64| format!("user-{}", number % 7);
    for batch in 0..10 {
        let event = |number: u64| json!({ "data": number, "key": key(number) });
        publish(&host, &(batch * 21..batch * 21 + 21).map(event).collect());
    }
    let mut last = std::collections::BTreeMap::new();
    let page = events(&host, "from=earliest&limit=1000");
    assert_eq!(data(&page).len(), 210);
    for shown in page["events"].as_array().unwrap() {
        let number = shown["event"]["data"].as_u64().unwrap();
        let name = key(number);
        assert_eq!(shown["event"]["partitionkey"], json!(name));
        assert_eq!(shown["partition"], json!(partition_of(name.as_bytes(), 4)));
        let before = last.insert(name, number);
        assert!(
            before.is_none_or(|before| before + 7 == number),
            "{before:?} before {number}"
        );
    }
    // Page by page it is the same, partition by partition too.
    let (mut positions, mut paged) = ("earliest".to_string(), 0);
    loop {
        let page = events(&host, &format!("from={positions}&limit=37"));
        let next = page["next"].as_object().unwrap().iter();
        positions = next
            .map(|(partition, offset)| format!("{partition}:{offset}"))
            .collect::<Vec<_>>()
            .join(",");
        match data(&page).len() {
            0 => break,
            count => paged += count,
        }
    }
    assert_eq!(paged, 210);
    let of = |partition: u16| data(&events(&host, &format!("from=0&partition={partition}&limit=1000"))).len();
    assert_eq!((0..4).map(of).sum::<usize>(), 210);
    assert_eq!(host.get(&path("/events?from=0")).problem(400), "KIN-GWY-0016");
}

#[test]
fn the_events_of_a_request_are_one_record() {
    let host = Host::start();
    create(&host, json!({ "partitions": 3 }));
    let records = || host.get("/api/v1/ledger").json()["records"].as_u64().unwrap();
    let before = records();
    let published = numbers(&host, 0..100);
    assert_eq!(published, json!({ "seq": before, "accepted": 100, "shed": 0 }));
    assert_eq!(records(), before + 1);
    let record = host.get(&format!("/api/v1/ledger/records/{before}")).json();
    assert_eq!((&record["writes"], &record["changes"]), (&json!(0), &json!(0)));
}

#[test]
fn what_cannot_be_asked_or_published_is_a_problem_with_its_code() {
    let host = Host::start();
    create(&host, json!({ "partitions": 2 }));
    let post = |media_type: &str, body: &str| {
        host.send(
            "POST",
            &path("/events"),
            &[("content-type", media_type)],
            body.to_string(),
        )
    };
    let simple = |body: &str| post("application/json", body);
    let stream = |query: &str, last: &str| {
        let headers = [("accept", "text/event-stream"), ("last-event-id", last)];
        host.send("GET", &path(&format!("/events?{query}")), &headers, "")
    };
    let put = |body: Value| {
        host.send(
            "PUT",
            &path(""),
            &[("content-type", "application/json")],
            body.to_string(),
        )
    };
    let many: Value = (0..10_001).map(|number| json!({ "data": number })).collect();
    let large = json!({ "data": "x".repeat(4 << 20) }).to_string();
    let cases: Vec<(&str, u16, Reply)> = vec![
        ("KIN-LED-0030", 400, host.post(TOPICS, &json!({ "name": "Numbers" }))),
        (
            "KIN-LED-0031",
            400,
            host.post(TOPICS, &json!({ "name": "a.b.v1", "config": { "partitions": 0 } })),
        ),
        (
            "KIN-GWY-0016",
            400,
            host.post(TOPICS, &json!({ "name": "a.b.v1", "config": { "partition": 2 } })),
        ),
        (
            "KIN-GWY-0016",
            400,
            host.post(TOPICS, &json!({ "name": "a.b.v1", "more": 1 })),
        ),
        ("KIN-LED-0034", 409, put(json!({ "partitions": 3 }))),
        (
            "KIN-LED-0036",
            404,
            put(json!({ "partitions": 2, "schema": Digest::of(b"none") })),
        ),
        ("KIN-LED-0035", 400, host.post("/api/v1/schemas", &json!({ "type": 7 }))),
        (
            "KIN-LED-0035",
            400,
            host.post("/api/v1/schemas", &json!({ "$ref": "https://example.com/x.json" })),
        ),
        (
            "KIN-LED-0036",
            404,
            host.get(&format!("/api/v1/schemas/{}", Digest::of(b"none"))),
        ),
        ("KIN-GWY-0016", 400, host.get("/api/v1/schemas/none")),
        ("KIN-GWY-0009", 415, post("text/plain", "1")),
        ("KIN-GWY-0013", 400, simple("{")),
        ("KIN-GWY-0014", 400, simple(r#"{"data": {"a": 1, "a": 2}}"#)),
        ("KIN-GWY-0016", 400, simple(r#"{"celsius": 3}"#)),
        ("KIN-GWY-0016", 400, simple("[]")),
        ("KIN-LED-0039", 400, simple(r#"{"data": 1, "key": ""}"#)),
        ("KIN-LED-0039", 400, simple(r#"{"data": 1, "time": "yesterday"}"#)),
        (
            "KIN-LED-0039",
            400,
            post("application/cloudevents+json", r#"{"specversion": "1.0", "id": "1"}"#),
        ),
        ("KIN-LED-0040", 413, simple(&large)),
        ("KIN-LED-0050", 413, simple(&many.to_string())),
        ("KIN-LED-0044", 400, host.get(&path("/events?from=1&partition=0"))),
        ("KIN-LED-0044", 400, host.get(&path("/events?from=0:0,7:0"))),
        ("KIN-GWY-0016", 400, host.get(&path("/events?partition=2"))),
        ("KIN-GWY-0016", 400, host.get(&path("/events?from=0:0&partition=1"))),
        ("KIN-GWY-0016", 400, host.get(&path("/events?from=first"))),
        ("KIN-GWY-0016", 400, host.get(&path("/events?limit=1001"))),
        ("KIN-GWY-0016", 400, host.get(&path("/events?wait_ms=60001"))),
        ("KIN-GWY-0016", 400, stream("limit=1", "")),
        ("KIN-GWY-0016", 400, stream("from=earliest", "0/1")),
        ("KIN-GWY-0016", 400, stream("partition=1", "0/1")),
    ];
    for (at, (code, status, reply)) in cases.into_iter().enumerate() {
        assert_eq!(reply.problem(status), code, "{at}: {}", reply.text());
    }
    assert_eq!(host.get(&path("")).json()["published"], json!(0));
    assert_eq!(
        host.kinetic(&["publish", "--topic", TOPIC, "hello"]).code(),
        "KIN-CLI-0011"
    );
}

#[test]
fn topics_are_behind_the_token_and_described_with_the_rest_of_the_api() {
    let token = "correct-horse-battery-staple-0123456789";
    let hash = Digest::of(token.as_bytes()).to_string();
    let host = Host::start_with(&[("KINETIC_HOST__TOKEN_SHA256", hash.trim_start_matches("sha256:"))]);
    host.get(TOPICS).problem(401);
    host.post(&path("/events"), &json!({ "data": 1 })).problem(401);
    host.send("GET", &path("/events"), &[("accept", "text/event-stream")], "")
        .problem(401);
    let right = format!("Bearer {token}");
    let listed = host.send("GET", TOPICS, &[("authorization", &right)], "").json();
    assert_eq!((not_the_hosts(&listed), &listed["next"]), (vec![], &json!(null)));
    let api = host
        .send("GET", "/openapi.json", &[("authorization", &right)], "")
        .json();
    for (path, method) in [
        ("/api/v1/topics", "get"),
        ("/api/v1/topics", "post"),
        ("/api/v1/topics/{name}", "get"),
        ("/api/v1/topics/{name}", "put"),
        ("/api/v1/topics/{name}/events", "get"),
        ("/api/v1/topics/{name}/events", "post"),
        ("/api/v1/topics/{name}/groups/{group}", "delete"),
        ("/api/v1/schemas", "get"),
        ("/api/v1/schemas", "post"),
        ("/api/v1/schemas/{digest}", "get"),
    ] {
        assert!(api["paths"][path][method].is_object(), "{method} {path}");
    }
}
