//! Nothing runs that is not signed, whole and what it says it is; what is refused is quarantined with its reason.

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Reply};
use serde_json::{Value, json};

const PUBLISH: &str = "/api/v1/registry/capabilities/publish";

/// A host that trusts one key for the namespace of the tests.
fn host() -> (Host, SigningKey) {
    let host = Host::start();
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    (host, key)
}

fn active(host: &Host) -> Vec<String> {
    let list = host.get("/api/v1/capabilities").json();
    list["capabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["urn"].as_str().unwrap().to_string())
        .collect()
}

fn publish(host: &Host, body: &Value) -> Reply {
    host.post(PUBLISH, body)
}

#[test]
fn a_signed_capsule_becomes_active_at_once_and_a_newer_version_takes_its_place() {
    let (host, key) = host();
    let guest = guests::rust("values");
    let first = publish(&host, &publication(&manifest("values", "1.0.0"), &guest, &key));
    assert_eq!(first.status, 201, "{}", first.text());
    let urn = "urn:tests:actionspace:solver:values:v1";
    let one = host.execute(urn, "text-back", json!({ "text": "a" })).json();
    assert_eq!(
        (&one["output"], &one["capsule"]["generation"]),
        (&json!("a"), &json!(1)),
        "{one:#}"
    );
    let second = publish(
        &host,
        &publication(&manifest("values", "1.1.0"), &guests::rust("values"), &key),
    );
    assert_eq!(second.status, 201, "{}", second.text());
    let two = host.execute(urn, "text-back", json!({ "text": "a" })).json();
    assert_eq!(
        (&two["capsule"]["version"], &two["capsule"]["generation"]),
        (&json!("1.1.0"), &json!(2)),
        "{two:#}"
    );
    let pinned = host
        .execute(&format!("{urn}@1.0.0"), "text-back", json!({ "text": "a" }))
        .json();
    assert_eq!(pinned["capsule"]["version"], json!("1.0.0"), "{pinned:#}");
    let missing = host.execute(&format!("{urn}@1.2.0"), "text-back", json!({ "text": "a" }));
    missing.problem(404);
}

#[test]
fn every_lie_is_refused_with_its_own_code_and_nothing_becomes_active() {
    let (host, key) = host();
    let before = active(&host);
    let guest = guests::rust("values");
    let honest = manifest("liar", "1.0.0");
    let lies: Vec<(&str, Value)> = vec![
        (
            "signed by a stranger",
            publication(&honest, &guest, &SigningKey::generate().unwrap()),
        ),
        ("another namespace's name", {
            let mut manifest = honest.clone();
            manifest["id"] = json!("urn:kinetic:actionspace:solver:liar:v1");
            publication(&manifest, &guest, &key)
        }),
        ("a receipt for other bytes", {
            let mut body = publication(&honest, &guest, &key);
            body["component"] = publication(&honest, &guests::rust("echo"), &key)["component"].clone();
            body
        }),
        ("a manifest changed after signing", {
            let mut body = publication(&honest, &guest, &key);
            body["manifest"] = json!(body["manifest"].as_str().unwrap().replace("A guest", "Another guest"));
            body
        }),
        ("no receipt", {
            let mut body = publication(&honest, &guest, &key);
            body["receipt"] = json!({});
            body
        }),
        ("a version of another major", {
            let mut manifest = honest.clone();
            manifest["version"] = json!("2.0.0");
            publication(&manifest, &guest, &key)
        }),
        ("a member nobody knows", {
            let mut manifest = honest.clone();
            manifest["sudo"] = json!(true);
            publication(&manifest, &guest, &key)
        }),
        ("the system's zone", {
            let mut manifest = honest.clone();
            manifest["governance"]["trust_zone"] = json!("system");
            publication(&manifest, &guest, &key)
        }),
        (
            "an import it was not given",
            publication(
                &honest,
                &guests::text(
                    r#"(component (import "acme:db/query@1.0.0" (instance))
                (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func (export "f") (canon lift (core func $i "f"))))"#,
                ),
                &key,
            ),
        ),
        ("a core module", publication(&honest, &guests::text("(module)"), &key)),
        ("junk", publication(&honest, &[0x5a; 100_000], &key)),
        (
            "a truncated component",
            publication(&honest, &guest[..guest.len() / 2], &key),
        ),
    ];
    for (lie, body) in &lies {
        let reply = publish(&host, body);
        assert!(
            (400..500).contains(&reply.status),
            "{lie}: {} {}",
            reply.status,
            reply.text()
        );
        let code = reply.problem(reply.status);
        println!("{lie}: {code}");
    }
    assert_eq!(active(&host), before);
    let quarantined = host.kinetic(&["quarantine"]).fine().json();
    let text = quarantined.to_string();
    for word in ["acme:db/query@1.0.0", "liar"] {
        assert!(text.contains(word), "{word}: {quarantined:#}");
    }
    // The name is not burnt: an honest capsule may still have it.
    assert_eq!(publish(&host, &publication(&honest, &guest, &key)).status, 201);
}

#[test]
fn a_published_version_never_changes() {
    let (host, key) = host();
    let manifest = manifest("fixed", "1.0.0");
    assert_eq!(
        publish(&host, &publication(&manifest, &guests::rust("values"), &key)).status,
        201
    );
    publish(&host, &publication(&manifest, &guests::rust("echo"), &key)).problem(409);
    // The same once more is no change.
    assert_eq!(
        publish(&host, &publication(&manifest, &guests::rust("values"), &key)).status,
        201
    );
}

#[test]
fn a_key_that_is_no_longer_trusted_admits_nothing_more() {
    let (host, key) = host();
    host.kinetic(&[
        "--data",
        "data",
        "keys",
        "distrust",
        "tests",
        key.public().id().as_str(),
    ])
    .fine();
    let reply = publish(
        &host,
        &publication(&manifest("late", "1.0.0"), &guests::rust("values"), &key),
    );
    assert!((400..500).contains(&reply.status), "{}", reply.text());
}
