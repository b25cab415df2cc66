//! Events of capsules: published and consumed with the call or not at all, exactly once whatever dies, within the grants.

mod exactly_once;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinetic_identity::SigningKey;
use kinetic_ledger::{LedgerError, Parts, Reader, SystemDisk};
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Reply};
use kinetic_testkit::swappable::wait_for;
use serde_json::{Value, json};

use crate::ledger::{Caller, seq_of};

const URN: &str = "urn:tests:actionspace:solver:eventful:v1";
const RIVAL: &str = "urn:tests:actionspace:solver:rival:v1";
const IN: &str = "tests.in.v1";
const OUT: &str = "tests.out.v1";

fn trusted(host: &Host) -> SigningKey {
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    key
}

fn asking(name: &str, publish: &[&str], subscribe: &[&str]) -> Value {
    let mut asks = manifest(name, "1.0.0");
    asks["capabilities"]["provides"] = json!(["tests:eventful@1.0.0"]);
    asks["imports"] = json!([
        { "interface": "kinetic:events/bus", "publish": publish, "subscribe": subscribe },
        { "interface": "kinetic:state/store" },
    ]);
    asks
}

fn offer(host: &Host, manifest: &Value, key: &SigningKey) -> Reply {
    let body = publication(manifest, &guests::rust("eventful"), key);
    host.post("/api/v1/registry/capabilities/publish", &body)
}

fn install(host: &Host, manifest: &Value, key: &SigningKey) {
    let reply = offer(host, manifest, key);
    assert_eq!(reply.status, 201, "{}", reply.text());
}

fn create(host: &Host, name: &str, config: Value) {
    let reply = host.post("/api/v1/topics", &json!({ "name": name, "config": config }));
    assert_eq!(reply.status, 201, "{}", reply.text());
}

/// Puts the capsule and its two topics onto a host.
fn furnish(host: &Host, config: Value) {
    let key = trusted(host);
    install(host, &asking("eventful", &["tests.>"], &["tests.*.v1"]), &key);
    create(host, IN, config);
    create(host, OUT, json!({}));
}

fn furnished() -> Host {
    let host = Host::start();
    furnish(&host, json!({}));
    host
}

/// The function's own result.
fn call_of(host: &Host, urn: &str, function: &str, intent: Value) -> Value {
    let reply = host.execute(urn, function, intent);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["success"], json!(true), "{answer:#}");
    answer["output"].clone()
}

fn call(host: &Host, function: &str, intent: Value) -> Value {
    call_of(host, URN, function, intent)
}

/// The function's own error.
fn error(host: &Host, urn: &str, function: &str, intent: Value) -> String {
    let reply = host.execute(urn, function, intent);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["success"], json!(false), "{answer:#}");
    answer["output"].to_string()
}

/// All events of a topic of one partition, as anybody outside reads them.
fn events(host: &Host, topic: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let path = format!(
            "/api/v1/topics/{topic}/events?from={}&partition=0&limit=1000",
            all.len()
        );
        let reply = host.get(&path);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let page = reply.json()["events"].as_array().unwrap().clone();
        if page.is_empty() {
            return all;
        }
        for (event, offset) in page.into_iter().zip(all.len()..) {
            assert_eq!(event["offset"], json!(offset), "{event:#}");
            all.push(event["event"].clone());
        }
    }
}

fn parts(host: &Host, seq: u64) -> Parts {
    let mut found = None;
    Reader::open(Arc::new(SystemDisk), &host.folder.join("data/ledger"), seq)
        .unwrap()
        .each(|record| {
            assert_eq!(record.seq, seq);
            assert!(record.receipt()?.is_some());
            found = Some(record.parts()?);
            Ok::<_, LedgerError>(false)
        })
        .unwrap();
    found.unwrap()
}

#[test]
fn what_a_call_publishes_bears_its_name_and_is_in_one_record_with_receipt_and_writes() {
    let host = furnished();
    let answer = host
        .execute(URN, "publish", json!({ "topic": IN, "data": "hello" }))
        .json();
    assert_eq!(answer["success"], json!(true), "{answer:#}");
    let parts = parts(&host, seq_of(&answer));
    assert_eq!((parts.events.len(), parts.writes.len()), (1, 1));
    assert_eq!(
        (parts.events[0].envelope.source(), parts.events[0].envelope.data()),
        (URN, Some(&b"hello"[..]))
    );

    let outside = events(&host, IN);
    assert_eq!(outside.len(), 1);
    assert_eq!(outside[0]["source"], json!(URN));
    assert_eq!(
        (&outside[0]["type"], &outside[0]["data"]),
        (&json!("tests.said"), &json!("hello"))
    );

    let seen = call(&host, "peek", json!({ "topic": IN, "limit": 10, "wait-ms": 0 }));
    let event = &seen[0];
    assert_eq!(
        (&event["source"], &event["key"], &event["data"]),
        (&json!(URN), &json!("k"), &json!("hello"))
    );
    assert_eq!(event["idempotency-key"], json!(format!("{IN}/0/0")));
    assert_eq!(
        event["extensions"],
        json!([["idempotencykey", "mine"], ["mood", "fine"]])
    );
    assert_eq!(event["id"].as_str().unwrap().len(), 36, "the host made one: {event:#}");
    assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event:#}");
    let forged = error(&host, URN, "forge", json!({ "topic": IN }));
    assert!(forged.contains("Invalid") && forged.contains("source"), "{forged}");
    assert_eq!(events(&host, IN).len(), 1);
}

#[test]
fn a_call_that_fails_publishes_nothing() {
    let host = furnished();
    let said = json!({ "topic": IN, "data": "never" });
    assert!(error(&host, URN, "publish-and-err", said.clone()).contains("changed my mind"));
    host.execute(URN, "publish-and-panic", said).problem(422);
    assert_eq!(events(&host, IN), Vec::<Value>::new());
    call(&host, "publish", json!({ "topic": IN, "data": "at last" }));
    assert_eq!(events(&host, IN).len(), 1);
}

#[test]
fn a_topic_that_is_not_granted_is_denied_with_what_to_add() {
    let host = Host::start();
    let key = trusted(&host);
    install(
        &host,
        &asking("eventful", &["tests.*.v1", "*.tests.in.v1"], &[OUT]),
        &key,
    );
    create(&host, IN, json!({}));
    create(&host, "others.in.v1", json!({}));
    create(&host, "deadletter.tests.in.v1", json!({ "max_deliveries": 0 }));
    let publish = |topic: &str| error(&host, URN, "publish", json!({ "topic": topic, "data": "x" }));
    let denied = publish("others.in.v1");
    for word in [
        "Denied",
        "others.in.v1",
        "publish",
        "kinetic:events/bus",
        "manifest.json",
    ] {
        assert!(denied.contains(word), "{word} is missing: {denied}");
    }
    assert!(
        publish("deadletter.tests.in.v1").contains("Denied"),
        "a wildcard does not reach dead letters"
    );
    assert!(
        publish("tests.nowhere.v1").contains("NoTopic"),
        "granted, but not there"
    );
    let denied = error(&host, URN, "peek", json!({ "topic": IN, "limit": 1, "wait-ms": 0 }));
    assert!(denied.contains("Denied") && denied.contains("subscribe"), "{denied}");
    call(&host, "publish", json!({ "topic": IN, "data": "x" }));
}

#[test]
fn a_pattern_that_is_none_and_a_grant_of_nothing_are_refused_at_admission() {
    let host = Host::start();
    let key = trusted(&host);
    for (publish, word) in [
        (&["tests.>.v1"][..], "tests.>.v1"),
        (&["tests"], "\\\"tests\\\""),
        (&[], "names no topics"),
    ] {
        let reply = offer(&host, &asking("eventful", publish, &[]), &key);
        assert!(reply.status >= 400 && reply.text().contains(word), "{}", reply.text());
    }
    let mut none = asking("eventful", &[], &[]);
    none["imports"].as_array_mut().unwrap().remove(0);
    let reply = offer(&host, &none, &key);
    assert!(
        reply.status >= 400 && reply.text().contains("kinetic:events/bus"),
        "{}",
        reply.text()
    );
}

#[test]
fn a_group_is_the_capsules_own_and_another_of_its_name_takes_nothing_from_it() {
    let host = furnished();
    let key = trusted(&host);
    install(&host, &asking("rival", &[], &["tests.>"]), &key);
    call(&host, "publish-many", json!({ "topic": IN, "begin": 0, "count": 25 }));
    let drain = json!({ "topic": IN, "group": "sink", "wait-ms": 0 });
    for (urn, count) in [(URN, 25), (RIVAL, 25), (URN, 0), (RIVAL, 0)] {
        assert_eq!(
            call_of(&host, urn, "drain", drain.clone()).as_array().unwrap().len(),
            count,
            "{urn}"
        );
    }
    let topic = host.get(&format!("/api/v1/topics/{IN}")).json();
    let names: Vec<&str> = topic["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [format!("{URN}/sink"), format!("{RIVAL}/sink")],
        "the operator sees whose they are"
    );
}

#[test]
fn a_wait_for_events_ends_with_the_first_one_and_takes_no_guest_time() {
    let host = furnished();
    let url = host.url.clone();
    let waiting = std::thread::spawn(move || {
        let intent = json!({ "topic": IN, "limit": 10, "wait-ms": 14_000 });
        Caller::connect(&url).unwrap().execute(URN, "peek", &intent).unwrap()
    });
    wait_for("somebody who waits", || {
        let topic = host.get(&format!("/api/v1/topics/{IN}")).json();
        (topic["subscribers"] == json!(1)).then_some(())
    });
    // So long that it would show if waiting took guest time.
    std::thread::sleep(Duration::from_secs(2));
    assert!(!waiting.is_finished(), "nothing came");
    let published = Instant::now();
    call(&host, "publish", json!({ "topic": IN, "data": "now" }));
    let answer = waiting.join().unwrap();
    assert!(published.elapsed() < Duration::from_secs(11), "it is woken");
    assert_eq!(answer["output"].as_array().unwrap().len(), 1, "{answer:#}");
    let guest_time_ns = answer["telemetry"]["guest_time_ns"]
        .as_u64()
        .unwrap_or_else(|| panic!("{answer:#}"));
    assert!(guest_time_ns < 1_500_000_000, "{guest_time_ns}");
}

#[test]
fn what_is_given_back_too_often_becomes_a_dead_letter_and_the_rest_goes_on() {
    let host = Host::start();
    furnish(&host, json!({ "max_deliveries": 3 }));
    call(&host, "publish-many", json!({ "topic": IN, "begin": 0, "count": 5 }));
    let came = call(
        &host,
        "reject",
        json!({ "topic": IN, "group": "sink", "data": "0", "wait-ms": 2_000 }),
    );
    assert_eq!(came, json!([3, 4]), "three deliveries of the one, and the four others");
    let dead = events(&host, &format!("deadletter.{IN}"));
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (&dead[0]["data"], &dead[0]["deadlettertopic"]),
        (&json!(0), &json!(IN)),
        "{dead:#?}"
    );
    assert_eq!(dead[0]["deadlettergroup"], json!(format!("{URN}/sink")));
    assert_eq!(
        call(&host, "drain", json!({ "topic": IN, "group": "sink", "wait-ms": 0 })),
        json!([]),
        "all is consumed"
    );
}

#[test]
fn an_event_that_its_consumer_dies_of_is_delivered_again_and_then_buried() {
    let host = Host::start();
    furnish(&host, json!({ "max_deliveries": 2 }));
    call(&host, "publish", json!({ "topic": IN, "data": "poison" }));
    let choke = || host.execute(URN, "choke", json!({ "topic": IN, "group": "sink", "wait-ms": 2_000 }));
    assert_eq!((choke().status, choke().status), (422, 422));
    assert_eq!(events(&host, IN).len(), 1);
    let third = choke();
    assert_eq!(third.status, 200, "{}", third.text());
    assert_eq!(events(&host, &format!("deadletter.{IN}"))[0]["data"], json!("poison"));
}

#[test]
fn events_of_topics_in_memory_are_published_after_the_call_and_only_then() {
    let host = Host::start();
    furnish(&host, json!({ "qos": "at_most_once" }));
    let published = || host.get(&format!("/api/v1/topics/{IN}")).json()["published"].clone();
    error(&host, URN, "publish-and-err", json!({ "topic": IN, "data": "x" }));
    assert_eq!(published(), json!(0));
    call(&host, "publish-many", json!({ "topic": IN, "begin": 0, "count": 7 }));
    assert_eq!(published(), json!(7));
    let refused = error(&host, URN, "peek", json!({ "topic": IN, "limit": 1, "wait-ms": 0 }));
    assert!(
        refused.contains("Invalid") && refused.contains("in memory"),
        "{refused}"
    );
}

#[test]
fn a_call_has_only_so_many_subscriptions_at_once() {
    let host = furnished();
    call(&host, "hoard", json!({ "topic": IN, "count": 16 }));
    let refused = error(&host, URN, "hoard", json!({ "topic": IN, "count": 17 }));
    assert!(refused.contains("at most 16"), "{refused}");
    let subscribers = host.get(&format!("/api/v1/topics/{IN}")).json()["subscribers"].clone();
    assert_eq!(subscribers, json!(0), "they end with their call");
}

#[test]
fn calls_with_events_replay_without_the_bus() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    furnish(&host, json!({ "partitions": 3, "max_deliveries": 2 }));
    create(&host, "tests.sour.v1", json!({ "max_deliveries": 2 }));
    let mut calls = 0;
    let mut made = |function: &str, intent: Value, status: u16| {
        let reply = host.execute(URN, function, intent);
        assert_eq!(reply.status, status, "{function}: {}", reply.text());
        calls += 1;
    };
    for round in 0..4 {
        made(
            "publish-many",
            json!({ "topic": IN, "begin": round * 20, "count": 20 }),
            200,
        );
        made(
            "count",
            json!({ "topic": IN, "group": "sink", "into": OUT, "limit": 7, "wait-ms": 50 }),
            200,
        );
        made("counted", json!({}), 200);
        made("peek", json!({ "topic": IN, "limit": 30, "wait-ms": 0 }), 200);
        made("publish-and-err", json!({ "topic": IN, "data": "no" }), 200);
        made("publish", json!({ "topic": "others.in.v1", "data": "no" }), 200);
        made("drain", json!({ "topic": IN, "group": "drain", "wait-ms": 0 }), 200);
        made("choke", json!({ "topic": IN, "group": "choke", "wait-ms": 0 }), 422);
    }
    made(
        "publish-many",
        json!({ "topic": "tests.sour.v1", "begin": 900, "count": 1 }),
        200,
    );
    made(
        "reject",
        json!({ "topic": "tests.sour.v1", "group": "sink", "data": "900", "wait-ms": 50 }),
        200,
    );
    made("hoard", json!({ "topic": IN, "count": 17 }), 200);
    let said = host.kinetic(&["--data", "data", "replay", "--capsule", URN]);
    let replayed = said.fine().json();
    assert_eq!(replayed["same"], json!(calls), "{replayed:#}");
}
