//! Finding a capability by words, over HTTP and on the command line, whether it is active or only stored.

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, kinetic_in};
use serde_json::{Value, json};

const SEARCH: &str = "/api/v1/discovery/search";
const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";
const PARROT: &str = "urn:tests:actionspace:solver:parrot:v1";

fn search(host: &Host, query: &str) -> Value {
    let reply = host.post(SEARCH, &json!({ "query": query }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// A capsule that echoes, under another name and with words of its own.
fn parrot() -> Value {
    let mut manifest = manifest("parrot", "1.0.0");
    manifest["description"] = json!("Squawks back whatever it hears.");
    manifest
}

#[test]
fn the_examples_are_found_by_what_they_do_and_by_what_was_almost_typed() {
    let host = Host::start();
    for (query, name) in [
        ("redact", "redact"),
        ("payment cards", "redact"),
        ("paymnet", "redact"),
        ("markdown retrieval", "chunk"),
        ("csv columns", "profile"),
        ("web page", "fetch"),
    ] {
        let found = search(&host, query);
        let urn = found["hits"][0]["urn"]
            .as_str()
            .unwrap_or_else(|| panic!("{query}: {found:#}"));
        assert!(urn.contains(&format!(":{name}:")), "{query}: {found:#}");
        assert_eq!(found["hits"][0]["active"], json!(true));
        assert_eq!((&found["searched"], &found["left_out"]), (&json!(4), &json!(0)));
    }
    let why = &search(&host, "paymnet")["hits"][0]["why"][0];
    assert_eq!(
        (&why["word"], &why["spelled_like"]),
        (&json!("paymnet"), &json!("payment"))
    );
}

#[test]
fn what_is_published_without_becoming_active_is_found_also_after_a_restart() {
    let mut host = Host::start();
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let publish = "/api/v1/registry/capabilities/publish";
    let echo = guests::rust("echo");
    let body = publication(&parrot(), &echo, &key);
    assert_eq!(host.post(&format!("{publish}?activate=false"), &body).status, 201);
    let hit = search(&host, "squawks")["hits"][0].clone();
    assert_eq!(
        (&hit["urn"], &hit["active"]),
        (&json!(PARROT), &json!(false)),
        "{hit:#}"
    );

    host.execute(PARROT, "text-back", json!({ "text": "hello" }));
    let hit = search(&host, "squawks")["hits"][0].clone();
    assert_eq!(hit["active"], json!(true), "a call makes it active: {hit:#}");
    // What only its component says is known now.
    assert_eq!(search(&host, "bytes back")["hits"][0]["urn"], json!(PARROT));

    host.stop();
    let host = Host::start_in(&host.folder, &[]);
    assert_eq!(search(&host, "squawks")["hits"][0]["active"], json!(true));
}

#[test]
fn the_command_line_shows_why_and_needs_no_running_host() {
    let host = Host::start();
    let said = host
        .kinetic(&["search", "payment", "cards", "--limit", "1"])
        .fine()
        .json();
    assert_eq!(said["hits"][0]["urn"], json!(REDACT));
    assert_eq!(
        said,
        host.post(SEARCH, &json!({ "query": "payment cards", "limit": 1 }))
            .json()
    );

    let folder = tempfile::tempdir().unwrap();
    let shown = kinetic_in(folder.path(), &[], &["--data", "data", "search", "paymnet"])
        .fine()
        .stdout;
    for part in [
        REDACT,
        "active",
        "why:",
        "\"paymnet\" spelled like \"payment\" in description",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let same = kinetic_in(
        folder.path(),
        &[],
        &["--data", "data", "search", "payment", "--output", "json"],
    )
    .fine()
    .json();
    assert_eq!(same["hits"][0]["urn"], json!(REDACT));
    let refused = kinetic_in(
        folder.path(),
        &[],
        &["search", "--output", "json", "--limit", "101", "x"],
    );
    assert_eq!(refused.code(), "KIN-KER-0030");
}

#[test]
fn what_cannot_be_looked_for_is_refused_with_what_can() {
    let host = Host::start();
    for body in [
        json!({ "query": "" }),
        json!({ "query": "?!" }),
        json!({ "query": "x".repeat(1_025) }),
        json!({ "query": "x", "limit": 0 }),
        json!({ "query": "x", "limit": 101 }),
    ] {
        assert_eq!(host.post(SEARCH, &body).problem(400), "KIN-KER-0030", "{body}");
    }
    assert_eq!(
        host.post(SEARCH, &json!({ "query": "x", "page": 2 })).problem(400),
        "KIN-GWY-0016"
    );
}
