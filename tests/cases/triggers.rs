//! Capsules that events and the clock call on a real host: each event once whatever dies, and what operators see of it.

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::swappable::{process, wait_for};
use serde_json::{Value, json};

const URN: &str = "urn:tests:actionspace:solver:called:v1";
const IN: &str = "tests.in.v1";
const OUT: &str = "tests.out.v1";

/// A capsule that publishes what an event of [`IN`] tells it, and counts when the clock says so.
fn asks() -> Value {
    let mut asks = manifest("called", "1.0.0");
    asks["capabilities"]["provides"] = json!(["tests:eventful@1.0.0"]);
    asks["imports"] = json!([
        { "interface": "kinetic:events/bus", "publish": ["tests.>"], "subscribe": [IN] },
        { "interface": "kinetic:state/store" },
    ]);
    asks["triggers"] = json!([
        { "topic": IN, "function": "publish" },
        { "every_ms": 200, "function": "counted" },
        { "cron": "0 0 1 1 *", "function": "counted" },
    ]);
    asks
}

/// A host with both topics and the capsule.
fn furnish(host: &Host) {
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    for name in [IN, OUT] {
        let reply = host.post(
            "/api/v1/topics",
            &json!({ "name": name, "config": { "max_deliveries": 2 } }),
        );
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let body = publication(&asks(), &guests::rust("eventful"), &key);
    let reply = host.post("/api/v1/registry/capabilities/publish", &body);
    assert_eq!(reply.status, 201, "{}", reply.text());
}

/// Publishes events that tell the capsule to publish these numbers.
fn tell(host: &Host, numbers: std::ops::Range<u64>) {
    let events: Value = numbers
        .map(|number| json!({ "data": { "topic": OUT, "data": number.to_string() } }))
        .collect();
    let reply = host.post(&format!("/api/v1/topics/{IN}/events"), &events);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// The data of all events of a topic, in their order.
fn said(host: &Host, topic: &str) -> Vec<String> {
    let reply = host.get(&format!("/api/v1/topics/{topic}/events?from=0&partition=0&limit=1000"));
    if reply.status == 404 {
        return Vec::new();
    }
    assert_eq!(reply.status, 200, "{}", reply.text());
    let page = reply.json();
    let all = page["events"].as_array().unwrap().iter();
    all.map(|shown| match &shown["event"]["data"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
    .collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn each_event_has_its_effect_once_and_in_order_however_often_the_host_is_killed() {
    const EACH: u64 = 40;
    const KILLS: u64 = 4;
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start_in(folder.path(), &[]);
    furnish(&host);
    for round in 0..KILLS {
        tell(&host, round * EACH..(round + 1) * EACH);
        // In the middle of it, wherever that is.
        let some = usize::try_from(round * EACH + 1 + round * 7).unwrap();
        wait_for("some effects", || (said(&host, OUT).len() >= some).then_some(()));
        host.kill();
        host = Host::start_in(folder.path(), &[]);
    }
    let all = usize::try_from(KILLS * EACH).unwrap();
    wait_for("all effects", || (said(&host, OUT).len() >= all).then_some(()));
    // Whatever came twice would come now.
    tell(&host, KILLS * EACH..KILLS * EACH + 1);
    wait_for("the last effect", || (said(&host, OUT).len() > all).then_some(()));
    assert_eq!(said(&host, OUT), numbers(0..KILLS * EACH + 1));
}

#[test]
fn an_event_that_cannot_be_handled_becomes_a_dead_letter_and_the_clock_goes_on() {
    let host = Host::start();
    furnish(&host);
    let path = format!("/api/v1/topics/{IN}/events");
    assert_eq!(host.post(&path, &json!([{ "data": "no object" }])).status, 200);
    tell(&host, 0..1);
    wait_for("the event after it", || {
        (said(&host, OUT) == numbers(0..1)).then_some(())
    });
    assert_eq!(said(&host, &format!("deadletter.{IN}")), ["no object"]);

    let ticked = || {
        let triggers = process(&host, URN)?["triggers"].clone();
        // How a call went is noted after its record, which is when its effect is seen.
        let well = |at: usize| triggers[at]["last"]["result"] == json!("ok");
        (well(0) && well(1)).then_some(triggers)
    };
    let triggers = wait_for("a tick, and the note of the event's call", ticked);
    assert_eq!(
        (
            &triggers[0]["when"],
            &triggers[0]["function"],
            &triggers[0]["last"]["result"]
        ),
        (&json!(format!("topic {IN}")), &json!("publish"), &json!("ok")),
        "{triggers:#}"
    );
    assert_eq!(triggers[1]["when"], json!("every 200 ms"));
    assert_eq!(
        (&triggers[2]["when"], &triggers[2]["last"]),
        (&json!("cron 0 0 1 1 *"), &Value::Null)
    );
    let shown = kinetic_in(&host.folder, &[], &["--host", &host.url, "ps", "--wide"])
        .fine()
        .stdout;
    assert!(
        shown.contains("every 200 ms: ok") && shown.contains(&format!("topic {IN}: ok")),
        "{shown}"
    );
}
