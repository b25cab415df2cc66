//! Stopping, dying and starting again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::live::LONG_DRAIN;
use kinetic_testkit::swappable::{process, wait_for};
use serde_json::json;

fn with_hostile_guest(host: &Host) {
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let mut asks = manifest("hostile", "1.0.0");
    // It sleeps and is ended by time, and so can promise nothing.
    asks["governance"]["determinism"] = json!("NX_experimental");
    let body = publication(&asks, &guests::rust("hostile"), &key);
    let reply = host.post("/api/v1/registry/capabilities/publish", &body);
    assert_eq!(reply.status, 201, "{}", reply.text());
}

const HOSTILE: &str = "urn:tests:actionspace:solver:hostile:v1";

#[test]
fn what_was_published_survives_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    with_hostile_guest(&host);
    host.kill();
    let host = Host::start_in(folder.path(), &[]);
    assert_eq!(host.announced["refused"], json!([]));
    let answer = host.execute(HOSTILE, "behaves", json!({ "text": "back" })).json();
    assert_eq!(answer["output"], json!("back"));
}

#[test]
fn a_component_changed_on_disk_never_runs() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    with_hostile_guest(&host);
    host.kill();
    let blobs = walk(&folder.path().join("data"));
    let size = guests::rust("hostile").len() as u64;
    let blob = blobs
        .iter()
        .find(|path| fs::metadata(path).unwrap().len() == size)
        .unwrap();
    let mut bytes = fs::read(blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(blob, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(blob, bytes).unwrap();
    // The code that was made of the true one still runs; without it, what lies there is looked at, and refused.
    fs::remove_dir_all(folder.path().join("data/code-cache")).unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let reply = host.execute(HOSTILE, "behaves", json!({ "text": "back" }));
    assert!(reply.status >= 400, "{}", reply.text());
    let examples = host.announced["capsules"].as_array().unwrap().len();
    assert_eq!(examples, 4, "the others are served: {:#}", host.announced);
}

#[test]
fn hostile_calls_over_http_have_their_own_codes_and_the_host_lives() {
    let host = Host::start();
    with_hostile_guest(&host);
    let attacks = [
        ("panics", json!({ "message": "why" }), "KIN-ENG-0020"),
        ("recurses", json!({ "depth": 100_000_000 }), "KIN-ENG-0019"),
        ("allocates", json!({}), "KIN-ENG-0018"),
        ("returns-bytes", json!({ "count": 20_000_000 }), "KIN-ENG-0022"),
        ("spins", json!({}), "KIN-ENG-0016"),
    ];
    for (function, intent, code) in attacks {
        let reply = host.execute(HOSTILE, function, intent);
        assert_eq!(reply.problem(reply.status), code, "{function}");
        let problem = reply.json();
        assert!(
            problem["telemetry"]["fuel"].as_u64().is_some_and(|fuel| fuel > 0),
            "{function}: {problem:#}"
        );
        assert_eq!(
            host.execute(HOSTILE, "behaves", json!({ "text": "next" })).json()["output"],
            json!("next")
        );
    }
}

#[test]
fn a_host_that_is_told_to_stop_finishes_what_it_began() {
    let mut host = Host::start_with(&LONG_DRAIN);
    with_hostile_guest(&host);
    let url = host.url.clone();
    let calling = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let body = json!({ "toolName": HOSTILE, "function": "sleeps", "intent": { "ms": 4000 } }).to_string();
        runtime.block_on(async {
            let request = reqwest::Client::new().post(format!("{url}/api/v1/capabilities/execute"));
            request
                .header("content-type", "application/json")
                .body(body)
                .send()
                .await
                .map(|reply| reply.status().as_u16())
        })
    });
    wait_for("the call to run", || {
        (process(&host, HOSTILE)?["calls_running"] == json!(1)).then_some(())
    });
    let (status, took) = host.stop();
    assert_eq!(status, Some(0));
    assert!(
        took < Duration::from_secs(60),
        "it waits for no more than the call: {took:?}"
    );
    assert_eq!(calling.join().unwrap().unwrap(), 200);
}

#[test]
fn two_hosts_cannot_share_a_data_folder() {
    let host = Host::start();
    let args = ["--output", "json", "up", "--listen", "127.0.0.1:0", "--data", "data"];
    let second = kinetic_in(&host.folder, &[], &args);
    assert!(second.code().starts_with("KIN-CLI-"), "{second:?}");
    assert_eq!(host.get("/healthz").status, 200);
}

#[test]
fn the_data_folder_is_its_owners_alone() {
    let host = Host::start();
    for path in walk(&host.folder.join("data")) {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let secret = (name.contains("key") && !name.ends_with(".pub")) || name == "trust.json";
        assert!(!secret || mode & 0o077 == 0, "{} {mode:o}", path.display());
    }
    assert_eq!(
        fs::metadata(host.folder.join("data")).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}
