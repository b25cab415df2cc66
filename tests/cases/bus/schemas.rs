//! Schemas of topics: what a critical one refuses, and which schema may follow which.

use kinetic_model::Digest;
use kinetic_testkit::host::Host;
use serde_json::{Value, json};

use super::{TOPIC, data, events, path, publish};

fn schema(host: &Host, name: &str, schema: &Value) -> String {
    let file = host.folder.join(name);
    std::fs::write(&file, schema.to_string()).unwrap();
    file.to_str().unwrap().to_string()
}

#[test]
fn a_critical_topic_refuses_a_bad_event_and_keeps_nothing_of_its_batch() {
    let host = Host::start();
    let order = json!({ "type": "object", "required": ["sku"], "properties": { "sku": { "type": "string" } } });
    let file = schema(&host, "order.json", &order);
    let registered = host.kinetic(&["topics", "schema", &file]).fine().json();
    assert_eq!(
        registered["digest"],
        json!(Digest::of(order.to_string().as_bytes()).to_string())
    );
    let digest = registered["digest"].as_str().unwrap();
    host.kinetic(&["topics", "create", TOPIC, "--schema", digest, "--critical"])
        .fine();
    assert_eq!(host.get("/api/v1/schemas").json(), json!({ "schemas": [digest] }));
    let shown = host.get(&format!("/api/v1/schemas/{digest}"));
    assert_eq!(
        (shown.text(), &shown.headers["content-type"]),
        (order.to_string(), &"application/schema+json".parse().unwrap())
    );

    publish(&host, &json!({ "data": { "sku": "a" } }));
    let bad = json!([{ "data": { "sku": "b" } }, { "data": { "sku": 7 } }, { "data": { "sku": "c" } }]);
    let refused = host.post(&path("/events"), &bad);
    assert_eq!(refused.problem(422), "KIN-LED-0038");
    assert!(
        refused.json()["detail"].as_str().unwrap().contains("/sku"),
        "{}",
        refused.text()
    );
    assert_eq!(host.kinetic(&["publish", "--topic", TOPIC, "3"]).code(), "KIN-LED-0038");
    assert_eq!(data(&events(&host, "from=earliest")), [json!({ "sku": "a" })]);
    host.kinetic(&["topics", "change", TOPIC, "--critical=false"]).fine();
    publish(&host, &bad);
    assert_eq!(
        data(&events(&host, "from=earliest")).len(),
        4,
        "a schema that is not checked is for readers"
    );
}

#[test]
fn a_schema_that_breaks_the_topics_compatibility_is_refused() {
    let host = Host::start();
    let order = |required: Value| {
        let properties = json!({ "sku": { "type": "string" }, "count": { "type": "integer" } });
        json!({ "type": "object", "required": required, "properties": properties })
    };
    let first = schema(&host, "first.json", &order(json!(["sku"])));
    host.kinetic(&["topics", "create", TOPIC, "--schema", &first]).fine();
    let stricter = schema(&host, "stricter.json", &order(json!(["sku", "count"])));
    assert_eq!(
        host.kinetic(&["topics", "change", TOPIC, "--schema", &stricter]).code(),
        "KIN-LED-0037"
    );
    let mut config = host.get(&path("")).json()["config"].clone();
    let before = config["schema"].clone();
    config["schema"] = json!(Digest::of(&std::fs::read(&stricter).unwrap()));
    assert_eq!(
        host.send(
            "PUT",
            &path(""),
            &[("content-type", "application/json")],
            config.to_string()
        )
        .problem(409),
        "KIN-LED-0037"
    );
    assert_eq!(
        host.get(&path("")).json()["config"]["schema"],
        before,
        "what was refused changed nothing"
    );
    let wider = schema(&host, "wider.json", &order(json!([])));
    host.kinetic(&["topics", "change", TOPIC, "--schema", &wider]).fine();
    host.kinetic(&["topics", "change", TOPIC, "--compatibility", "none"])
        .fine();
    host.kinetic(&["topics", "change", TOPIC, "--schema", &stricter]).fine();
}
