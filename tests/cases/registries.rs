//! Capabilities by URN from another host's registry: streamed, hashed on the way, verified before they are compiled.

use kinetic_identity::SigningKey;
use kinetic_model::Digest;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use serde_json::json;

const ECHO: &str = "urn:tests:actionspace:solver:echo:v1";

fn origin() -> (Host, SigningKey) {
    let host = Host::start();
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let body = publication(&manifest("echo", "1.2.0"), &guests::rust("echo"), &key);
    assert_eq!(host.post("/api/v1/registry/capabilities/publish", &body).status, 201);
    (host, key)
}

#[test]
fn a_capability_is_fetched_by_urn_when_its_signer_is_trusted_here_too() {
    let (origin, key) = origin();
    let here = Host::start_with(&[("ECOSYSTEM_REGISTRY_URL", &origin.url)]);
    let refused = here.execute(ECHO, "text-back", json!({ "text": "hi" }));
    assert!(
        (400..500).contains(&refused.status),
        "its signer is nobody here: {}",
        refused.text()
    );
    here.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let answer = here.execute(ECHO, "text-back", json!({ "text": "hi" })).json();
    assert_eq!(
        (&answer["output"], &answer["capsule"]["version"]),
        (&json!("hi"), &json!("1.2.0")),
        "{answer:#}"
    );
    here.execute("urn:tests:actionspace:solver:nobody:v1", "f", json!({}))
        .problem(404);
}

#[test]
fn the_download_route_answers_exactly_the_bytes_of_the_descriptor() {
    let (origin, _) = origin();
    let base = format!("/api/v1/registry/capabilities/{ECHO}");
    let descriptor = origin.get(&base).json();
    let bytes = origin.get(&format!("{base}/download"));
    assert_eq!(bytes.status, 200);
    assert_eq!(json!(Digest::of(&bytes.body)), descriptor["digest"]);
    assert_eq!(json!(bytes.body.len()), descriptor["size_bytes"]);
    assert_eq!(descriptor["version"], json!("1.2.0"));
    origin
        .get("/api/v1/registry/capabilities/urn:tests:actionspace:solver:nobody:v1/download")
        .problem(404);
}

#[test]
fn a_registry_that_cannot_be_reached_is_a_clear_error_and_the_host_goes_on() {
    let here = Host::start_with(&[("ECOSYSTEM_REGISTRY_URL", "http://127.0.0.1:1")]);
    let reply = here.execute(ECHO, "text-back", json!({ "text": "hi" }));
    assert!(reply.status >= 400, "{}", reply.text());
    reply.problem(reply.status);
    assert_eq!(here.announced["capsules"].as_array().unwrap().len(), 4);
}
