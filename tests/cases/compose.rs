//! Two capsules put together, published and called, from the command line alone.

use std::path::Path;

use kinetic_testkit::author::manifest;
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use serde_json::{Value, json};

const APP: &str = "urn:tests:actionspace:solver:app:v1";

/// A folder as `kinetic build` leaves one.
fn built(folder: &Path, name: &str, capabilities: Value, component: &str) {
    let folder = folder.join(name);
    let mut manifest = manifest(name, "1.0.0");
    manifest["capabilities"] = capabilities;
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("component.wasm"), guests::text(component)).unwrap();
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    std::fs::write(folder.join("build.json"), "{}").unwrap();
}

/// `app` asks for a number and gives 1000 more; `db` has one.
fn app_and_db(folder: &Path) {
    built(
        folder,
        "app",
        json!({ "provides": ["tests:app/api@1.0.0"], "requires": ["tests:db/source@1.0.0"] }),
        r#"(component
            (import "tests:db/source@1.0.0" (instance $source (export "number" (func (result u64)))))
            (core func $number (canon lower (func $source "number")))
            (core module $m
                (import "source" "number" (func $number (result i64)))
                (func (export "sum") (result i64) (i64.add (call $number) (i64.const 1000))))
            (core instance $i (instantiate $m (with "source" (instance (export "number" (func $number))))))
            (func $sum (result u64) (canon lift (core func $i "sum")))
            (instance $api (export "sum" (func $sum)))
            (export "tests:app/api@1.0.0" (instance $api)))"#,
    );
    built(
        folder,
        "db",
        json!({ "provides": ["tests:db/source@1.1.0"] }),
        r#"(component
            (core module $m (func (export "number") (result i64) (i64.const 7)))
            (core instance $i (instantiate $m))
            (func $number (result u64) (canon lift (core func $i "number")))
            (instance $source (export "number" (func $number)))
            (export "tests:db/source@1.1.0" (instance $source)))"#,
    );
}

#[test]
fn two_capsules_are_composed_published_and_called_as_one() {
    let host = Host::start();
    app_and_db(&host.folder);
    let alone = host.kinetic(&["publish", "app", "--dev"]);
    assert_eq!(alone.code(), "KIN-KER-0039", "nobody provides what it requires");
    let fix = alone.json()["error"]["fix"].as_str().unwrap().to_string();
    assert!(fix.contains("provides it") && !fix.contains("version"), "{fix}");

    let composed = host
        .kinetic(&["compose", "app", "--with", "db", "-o", "composed"])
        .fine()
        .json();
    assert_eq!(
        (&composed["urn"], &composed["requires"]),
        (&json!(APP), &json!([])),
        "{composed:#}"
    );
    let published = host.kinetic(&["publish", "composed"]).fine().json();
    assert_eq!(published["digest"], composed["digest"], "{published:#}");
    let called = host.kinetic(&["call", APP]).fine().json();
    assert_eq!(called["output"], json!(1_007), "{called:#}");
    let shown = host.get("/api/v1/capsules").json();
    let all = shown["capsules"].as_array().unwrap();
    assert!(
        all.iter()
            .all(|capsule| capsule["urn"] != "urn:tests:actionspace:solver:db:v1")
    );

    let again = host.kinetic(&["compose", "app", "--with", "db", "-o", "composed"]);
    assert!(again.code().starts_with("KIN-CLI-"), "nothing is written over");
}
