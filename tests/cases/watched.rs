//! A host that watches folders: what is laid into one answers, what changes in it is swapped in, what is broken is not.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use kinetic_testkit::author::manifest;
use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::swappable::{
    Author, Kind, PURE, component, digest, events, process, quarantined, version, wait_for,
};
use serde_json::{Value, json};

const WATCHING: [(&str, &str); 2] = [
    ("KINETIC_KERNEL__WATCH", "capsules"),
    ("KINETIC_KERNEL__WATCH_INTERVAL_MS", "50"),
];

/// How an entry of the watched folders stands.
fn entry(host: &Host, name: &str) -> Option<Value> {
    let listed = host.get("/api/v1/capsules").json();
    let mut all = listed["watched"].as_array().unwrap().iter();
    all.find(|watched| watched["entry"] == name).cloned()
}

fn wait_for_state(host: &Host, name: &str, state: &str) -> Value {
    wait_for(&format!("{name} to be {state}"), || {
        entry(host, name).filter(|watched| watched["state"] == state)
    })
}

fn wait_for_version(host: &Host, minor: u64) {
    wait_for(&format!("version {minor}"), || {
        process(host, PURE).filter(|process| process["version"] == version(minor))
    });
}

/// Sets it when a thread that others wait for is done, however it ended.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_laid_into_a_watched_folder_answers_and_calls_go_on_while_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start_in(folder.path(), &WATCHING);
    let lost = wait_for_state(&host, "capsules", "lost");
    assert_eq!(lost["code"], json!("KIN-KER-0058"), "it is not there yet: {lost:#}");
    let author = Author::trusted_by(&host);
    let pure = folder.path().join("capsules/pure");
    author.lay(&pure, PURE, 0, Kind::Good);
    wait_for_version(&host, 0);
    let done = AtomicBool::new(false);
    let calls = std::thread::scope(|scope| {
        let calling = scope.spawn(|| {
            let mut calls = 0;
            while !done.load(Ordering::Relaxed) {
                let reply = host.execute(PURE, "twist", json!({ "text": "abc" }));
                assert_eq!(reply.status, 200, "{}", reply.text());
                calls += 1;
            }
            calls
        });
        let _done = Done(&done);
        author.lay(&pure, PURE, 1, Kind::Good);
        wait_for_version(&host, 1);
        author.lay(&pure, PURE, 2, Kind::TrapsWhenMade);
        let refused = wait_for_state(&host, "capsules/pure", "refused");
        assert_eq!(refused["version"], json!(version(2)), "{refused:#}");
        assert!(quarantined(&host, &digest(2, Kind::TrapsWhenMade)).is_some());
        done.store(true, Ordering::Relaxed);
        calling.join().unwrap()
    });
    assert!(calls > 0);
    let now = process(&host, PURE).unwrap();
    assert_eq!(
        (&now["version"], &now["state"]),
        (&json!(version(1)), &json!("active")),
        "{now:#}"
    );

    let shown = kinetic_in(&host.folder, &[], &["--host", &host.url, "ps"])
        .fine()
        .stdout;
    assert!(shown.contains("capsules/pure: refused, KIN-"), "{shown}");
    let recorded = events(&host, "kinetic.lifecycle.v1");
    let count = |is: &dyn Fn(&Value) -> bool| recorded.iter().filter(|event| is(event)).count();
    assert_eq!(
        count(&|event| event["event"] == "watched" && event["entry"] == "capsules/pure"),
        1
    );
    assert_eq!(
        count(&|event| event["to"] == "active" && event["cause"] == "watched"),
        2
    );
    let found = |event: &Value| event["to"] == "discovered" && event["reason"]["entry"] == "capsules/pure";
    assert!(count(&found) >= 3, "{recorded:#?}");
    let here = folder.path().display().to_string();
    assert!(
        !json!(recorded).to_string().contains(&here),
        "no folder of this machine is in the record"
    );

    host.stop();
    let host = Host::start_in(folder.path(), &WATCHING);
    wait_for_state(&host, "capsules/pure", "refused");
    let after = process(&host, PURE).unwrap();
    assert_eq!(
        (&after["version"], &after["generation"]),
        (&now["version"], &now["generation"]),
        "{after:#}"
    );
}

#[test]
fn what_is_half_written_is_left_alone_until_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &WATCHING);
    let author = Author::trusted_by(&host);
    let pure = folder.path().join("capsules/pure");
    author.lay(&pure, PURE, 0, Kind::Good);
    wait_for_version(&host, 0);
    let next = component(1, Kind::Good);
    std::fs::write(pure.join("component.wasm"), &next[..next.len() / 2]).unwrap();
    let waits = wait_for_state(&host, "capsules/pure", "waiting");
    assert_eq!(waits["code"], json!("KIN-KER-0057"), "{waits:#}");
    assert_eq!(process(&host, PURE).unwrap()["version"], json!(version(0)));
    author.lay(&pure, PURE, 1, Kind::Good);
    wait_for_version(&host, 1);
    wait_for_state(&host, "capsules/pure", "taken");
    std::fs::remove_dir_all(&pure).unwrap();
    wait_for("the entry to be gone", || {
        entry(&host, "capsules/pure").is_none().then_some(())
    });
    let reply = host.execute(PURE, "twist", json!({ "text": "abc" }));
    assert_eq!(reply.status, 200, "nothing is unloaded: {}", reply.text());
}

/// A folder as `kinetic build` leaves one.
fn built(folder: &Path, manifest: &Value, component: &[u8]) {
    std::fs::create_dir(folder).unwrap();
    std::fs::write(folder.join("component.wasm"), component).unwrap();
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    std::fs::write(folder.join("build.json"), "{}").unwrap();
}

#[test]
fn publishing_into_a_watched_folder_is_one_command() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &WATCHING);
    let mut asks = manifest("pure", "1.0.0");
    asks["limits"] = json!({ "guest_time_ms": 30_000 });
    built(&folder.path().join("mine"), &asks, &component(0, Kind::Good));
    let laid = host
        .kinetic(&["publish", "mine", "--into", "capsules/pure", "--dev"])
        .fine()
        .json();
    assert_eq!(laid["urn"], json!(PURE), "{laid:#}");
    wait_for_version(&host, 0);
}
