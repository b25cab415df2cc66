//! An author's first capability, from nothing to a call.

use std::process::Command;

use kinetic_testkit::host::{Host, binary, kinetic_in};
use serde_json::json;

#[test]
fn new_build_test_publish_and_call_work_one_after_the_other() {
    let host = Host::start();
    let work = &host.folder;
    // The author is the operator of this host: one home.
    let home = work.to_str().unwrap().to_string();
    let home = [("HOME", home.as_str())];
    kinetic_in(work, &[], &["new", "my-tool"]).fine();
    let project = work.join("my-tool");
    let lines = std::fs::read_to_string(project.join("src/lib.rs"))
        .unwrap()
        .lines()
        .count();
    assert!(lines <= 35, "the template is {lines} lines");

    let built = kinetic_in(&project, &[], &["--output", "json", "build"]).fine().json();
    assert!(
        built["size_bytes"].as_u64().is_some_and(|bytes| bytes < 200_000),
        "{built:#}"
    );

    // The template's own tests run the component in the real engine.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args(["test", "--quiet"])
        .current_dir(&project)
        .env("KINETIC_BIN", binary());
    cargo.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let tested = cargo.output().unwrap();
    assert!(
        tested.status.success(),
        "{}{}",
        String::from_utf8_lossy(&tested.stdout),
        String::from_utf8_lossy(&tested.stderr)
    );

    let urn = built["urn"].as_str().unwrap().to_string();
    let published = kinetic_in(
        &project,
        &home,
        &["--output", "json", "--host", &host.url, "publish", "--dev"],
    )
    .fine()
    .json();
    assert_eq!(published["urn"], json!(urn), "{published:#}");
    let args = ["call", &urn, "--arg", "text=to be or not to be", "--arg", "top=2"];
    let called = host.kinetic(&args).fine().json();
    assert_eq!(
        called["output"],
        json!([{ "word": "be", "times": 2 }, { "word": "to", "times": 2 }])
    );

    let again = kinetic_in(&project, &[], &["--output", "json", "new", "my-tool"]);
    again.fine();
    let clash = kinetic_in(work, &[], &["--output", "json", "new", "my-tool"]);
    assert!(
        clash.code().starts_with("KIN-CLI-"),
        "it does not write over what is there: {clash:?}"
    );
    for bad in ["", "../up", "a/b", "1 2"] {
        assert_ne!(
            kinetic_in(work, &[], &["--output", "json", "new", bad]).status,
            0,
            "{bad:?}"
        );
    }
}

#[test]
fn nothing_is_published_without_a_key() {
    let host = Host::start();
    kinetic_in(&host.folder, &[], &["new", "unsigned"]).fine();
    let project = host.folder.join("unsigned");
    let refused = kinetic_in(&project, &[], &["--output", "json", "--host", &host.url, "publish"]);
    assert_ne!(refused.status, 0, "{refused:?}");
}
