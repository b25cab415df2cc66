//! Starts of the real host: each leaves its phases in the log, and what waits in the store stays there until it is called.

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::swappable::{events, process, wait_for};
use serde_json::{Value, json};

const ECHO: &str = "urn:tests:actionspace:solver:echo:v1";

fn phases(host: &Host, generation: u64) -> Vec<Value> {
    let mut all = events(host, "kinetic.lifecycle.v1");
    all.retain(|event| event["event"] == "boot" && event["generation"] == generation);
    all
}

#[test]
fn each_start_leaves_its_phases_in_the_log_and_what_waits_in_the_store_stays_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start_in(folder.path(), &[]);
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let body = publication(&manifest("echo", "1.0.0"), &guests::rust("echo"), &key);
    let publish = "/api/v1/registry/capabilities/publish?activate=false";
    assert_eq!(host.post(publish, &body).status, 201);
    host.stop();

    let host = Host::start_in(folder.path(), &[]);
    assert_eq!(process(&host, ECHO), None);
    for generation in [1, 2] {
        let recorded = wait_for("all phases", || {
            let recorded = phases(&host, generation);
            (recorded.len() == 5).then_some(recorded)
        });
        let mut names: Vec<_> = recorded.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
        assert_eq!(
            (names[0], names[1], names[4]),
            ("ledger_recovered", "store_scanned", "serving")
        );
        // These two go on side by side.
        names[2..4].sort_unstable();
        assert_eq!(names[2..4], ["capsules_reconciled", "parts_started"]);
        let serving = &recorded[4]["detail"];
        assert_eq!(serving["failed"], json!(0), "{recorded:#?}");
        assert_eq!(serving["wanted"], serving["active"], "{recorded:#?}");
    }
    let shown = kinetic_in(&host.folder, &[], &["--host", &host.url, "events"])
        .fine()
        .stdout;
    assert!(shown.contains("start 2: serving"), "{shown}");

    let answer = host.execute(ECHO, "text-back", json!({ "text": "hello" }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(process(&host, ECHO).is_some());
    let folder = host.kill();
    let host = Host::start_in(&folder, &[]);
    assert!(process(&host, ECHO).is_some(), "it was called, so it is wanted");
    drop(host);
    let verified = kinetic_in(&folder, &[], &["--output", "json", "--data", "data", "verify"]);
    assert_eq!(verified.fine().json()["ok"], json!(true));
}
