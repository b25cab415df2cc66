//! The stream buffer and the silver gate as capsules: swapped, rolled back and kept like any other, while events flow.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kinetic_medallion::files::read_all;
use kinetic_model::Digest;
use kinetic_testkit::batches::numbers;
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use kinetic_testkit::parts::{SILVER_GATE, STREAM_BUFFER, author, good, manifest, stage, swap};
use kinetic_testkit::swappable::{events, operate, process, quarantined, wait_for};
use serde_json::{Value, json};

/// Pushes so many events of workflow `w`, CRITICAL so that none is dropped, with this token, numbered from `first` on.
fn push(host: &Host, first: u64, count: u64, token: &str) -> (u16, Value) {
    let one = |n| {
        json!({ "workflow_id": "w", "intent_id": "i", "node_cid": "n", "sequence": n, "priority": "CRITICAL",
            "token": token, "data": format!("d{n}") })
        .to_string()
            + "\n"
    };
    let lines: String = (first..first + count).map(one).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let reply = host.send("POST", "/api/v1/telemetry/push", &headers, lines);
    (reply.status, reply.json())
}

pub(crate) fn pushed(host: &Host, first: u64, count: u64, token: &str) {
    let (status, said) = push(host, first, count, token);
    assert_eq!((status, &said["kept"]), (200, &json!(count)), "{said:#}");
}

/// Every number below `count` is in bronze and in silver, once.
pub(crate) fn all_there(host: &Host, count: u64) {
    let flushed = host.post("/api/v1/telemetry/flush", &json!({}));
    assert_eq!(flushed.status, 200, "{}", flushed.text());
    for name in ["bronze/events", "silver/events"] {
        let batches = read_all(&host.folder.join("data").join(name)).unwrap();
        let mut found: Vec<_> = batches
            .map(Result::unwrap)
            .flat_map(|batch| {
                let workflows: Vec<_> = kinetic_testkit::batches::texts(&batch, "workflow_id")
                    .into_iter()
                    .map(|workflow| workflow == Some("w"))
                    .collect();
                numbers(&batch, "sequence")
                    .into_iter()
                    .zip(workflows)
                    .filter_map(|(number, ours)| number.filter(|_| ours))
                    .collect::<Vec<_>>()
            })
            .collect();
        found.sort_unstable();
        assert_eq!(found, (0..count).collect::<Vec<_>>(), "{name}");
    }
}

fn version_of(host: &Host, urn: &str) -> Value {
    process(host, urn).unwrap()["version"].clone()
}

/// The digest of what works as stream buffer, as the pipeline says.
pub(crate) fn works(host: &Host) -> Value {
    host.get("/api/v1/telemetry").json()["buffer"]["component"]["digest"].clone()
}

#[test]
fn a_part_is_swapped_by_its_urn_under_push_rolled_back_and_stays_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start_in(folder.path(), &[]);
    let author = author(&host);
    let own = works(&host);
    let shown = process(&host, STREAM_BUFFER).unwrap();
    assert_eq!(
        [&shown["version"], &shown["zone"], &shown["state"], &shown["digest"]],
        [&json!("1.0.0"), &json!("system"), &json!("active"), &own],
        "{shown:#}"
    );
    let component = good("stream-buffer", 1);
    stage(&host, &author, "stream-buffer", "1.1.0", &component);
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                pushed(&host, next, 200, "plain");
                next += 200;
            }
            next
        });
        std::thread::sleep(Duration::from_millis(300));
        let swapped = swap(&host, STREAM_BUFFER, "1.1.0");
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let sent = pushing.join().unwrap();
        assert_eq!(swapped.status, 200, "{}", swapped.text());
        let swapped = swapped.json();
        assert_eq!(swapped["to"]["version"], json!("1.1.0"), "{swapped:#}");
        assert!(swapped["state_bytes"].as_u64() > Some(0), "{swapped:#}");
        sent
    });
    all_there(&host, sent);
    let mine = json!(Digest::of(&component).to_string());
    assert_eq!(
        (version_of(&host, STREAM_BUFFER), works(&host)),
        (json!("1.1.0"), mine.clone())
    );
    assert_eq!(process(&host, STREAM_BUFFER).unwrap()["stands_by"], json!("1.0.0"));
    host.stop();

    let mut host = Host::start_in(folder.path(), &[]);
    pushed(&host, sent, 10, "plain");
    assert_eq!(works(&host), mine, "the choice holds");
    assert!(process(&host, STREAM_BUFFER).unwrap()["counts"]["calls"].as_u64() > Some(0));
    let back = operate(&host, STREAM_BUFFER, "rollback", &json!({}));
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(
        (version_of(&host, STREAM_BUFFER), works(&host)),
        (json!("1.0.0"), own.clone())
    );
    pushed(&host, sent + 10, 10, "plain");
    assert_eq!(
        quarantined(&host, mine.as_str().unwrap()),
        None,
        "nothing is wrong with it"
    );
    let kept: Vec<_> = events(&host, "kinetic.lifecycle.v1")
        .into_iter()
        .filter(|event| event["capsule"]["urn"] == STREAM_BUFFER && event["to"] == "active")
        .map(|event| event["capsule"]["version"].clone())
        .collect();
    assert_eq!(kept, [json!("1.0.0"), json!("1.1.0"), json!("1.1.0"), json!("1.0.0")]);
    host.stop();
    let host = Host::start_in(folder.path(), &[]);
    assert_eq!((version_of(&host, STREAM_BUFFER), works(&host)), (json!("1.0.0"), own));
    all_there(&host, sent + 20);
}

#[test]
fn a_stream_buffer_that_traps_goes_back_by_itself_and_no_push_is_refused_for_it() {
    let host = Host::start();
    let author = author(&host);
    pushed(&host, 0, 100, "plain");
    let faulty = guests::rust("faulty");
    stage(&host, &author, "stream-buffer", "1.1.0", &faulty);
    let swapped = swap(&host, STREAM_BUFFER, "1.1.0");
    assert_eq!(swapped.status, 200, "{}", swapped.text());
    pushed(&host, 100, 100, "plain");
    // Every attempt with this token fails, so only another component can take it.
    pushed(&host, 200, 100, "fault:panic");
    assert_eq!(version_of(&host, STREAM_BUFFER), json!("1.0.0"));
    let digest = Digest::of(&faulty).to_string();
    let entry = wait_for("the quarantine", || quarantined(&host, &digest));
    assert_eq!(entry["code"], json!("KIN-KER-0021"), "{entry:#}");
    pushed(&host, 300, 100, "fault:panic");
    all_there(&host, 400);
    let again = swap(&host, STREAM_BUFFER, "1.1.0");
    assert!(again.status >= 400, "its bytes have not changed: {}", again.text());
}

#[test]
fn a_silver_gate_that_traps_goes_back_by_itself_and_what_it_was_given_is_done_by_the_one_before() {
    let host = Host::start();
    let author = author(&host);
    pushed(&host, 0, 100, "plain");
    let faulty = guests::rust("faulty");
    stage(&host, &author, "silver-gate", "1.1.0", &faulty);
    let swapped = swap(&host, SILVER_GATE, "1.1.0");
    assert_eq!(swapped.status, 200, "{}", swapped.text());
    pushed(&host, 100, 100, "fault:panic");
    wait_for("the gate before", || {
        (version_of(&host, SILVER_GATE) == json!("1.0.0")).then_some(())
    });
    all_there(&host, 200);
}

#[test]
fn what_is_no_part_is_refused_and_a_part_is_neither_called_nor_suspended_nor_limited() {
    let host = Host::start();
    let author = author(&host);
    let gate = guests::subsystem("silver_gate");
    // Right by its manifest's zone, wrong by what it exports.
    let mut claims = manifest("stream-buffer", "1.1.0");
    claims["capabilities"]["provides"] = json!(["kinetic:silver/gate@0.1.0"]);
    let staged = author.send(&host, "?activate=false", &claims, &gate);
    assert_eq!(staged.status, 201, "{}", staged.text());
    let refused = swap(&host, STREAM_BUFFER, "1.1.0");
    assert!(refused.status >= 400, "{}", refused.text());
    let mut tenant = manifest("stream-buffer", "1.2.0");
    tenant["governance"]["trust_zone"] = json!("tenant");
    let staged = author.send(&host, "?activate=false", &tenant, &good("stream-buffer", 2));
    assert_eq!(staged.status, 201, "{}", staged.text());
    assert_eq!(
        swap(&host, STREAM_BUFFER, "1.2.0").json()["code"],
        json!("KIN-KER-0052")
    );
    let taken = author.send(
        &host,
        "?activate=false",
        &manifest("stream-buffer", "1.0.0"),
        &good("stream-buffer", 3),
    );
    assert_eq!(taken.problem(409), "KIN-REG-0002", "the program carries that version");

    assert_eq!(
        host.execute(STREAM_BUFFER, "level", json!({})).problem(409),
        "KIN-KER-0050"
    );
    for (what, body) in [("suspend", json!({ "reason": "a word" })), ("resume", json!({}))] {
        assert_eq!(
            operate(&host, STREAM_BUFFER, what, &body).problem(409),
            "KIN-KER-0050",
            "{what}"
        );
    }
    let listed = host.get("/api/v1/capabilities").text();
    assert!(!listed.contains(STREAM_BUFFER), "{listed}");
    let shown = host.kinetic(&["inspect", STREAM_BUFFER]).fine().json();
    assert_eq!(shown["digest"], works(&host), "it can be looked at: {shown:#}");
    let pinned = host.kinetic(&["inspect", &format!("{STREAM_BUFFER}@1.1.0")]).fine();
    assert_eq!(
        pinned.json()["version"],
        json!("1.1.0"),
        "also a version that does no work"
    );
    pushed(&host, 0, 10, "plain");
    all_there(&host, 10);
}

#[test]
fn a_part_that_is_gone_or_not_trusted_any_more_gives_way_to_the_hosts_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start_in(folder.path(), &[]);
    let own = works(&host);
    let author = author(&host);
    let upgrade = |host: &Host, version: &str, number: u64| {
        stage(host, &author, "stream-buffer", version, &good("stream-buffer", number));
        let swapped = swap(host, STREAM_BUFFER, version);
        assert_eq!(swapped.status, 200, "{}", swapped.text());
        assert_ne!(works(host), own);
    };
    upgrade(&host, "1.1.0", 1);
    pushed(&host, 0, 10, "plain");
    host.stop();
    remove_store(folder.path());
    let host = Host::start_in(folder.path(), &[("KINETIC_KERNEL__PROBATION_MS", "0")]);
    pushed(&host, 10, 10, "plain");
    assert_eq!(
        (version_of(&host, STREAM_BUFFER), works(&host)),
        (json!("1.0.0"), own.clone())
    );
    let back = events(&host, "kinetic.lifecycle.v1")
        .into_iter()
        .any(|event| event["capsule"]["urn"] == STREAM_BUFFER && event["cause"] == "rolled-back");
    assert!(back, "it is recorded");

    upgrade(&host, "1.2.0", 2);
    pushed(&host, 20, 10, "plain");
    author.trust(&host, &["distrust", "kinetic", &author.key.public().id().to_string()]);
    wait_for("the host's own", || (works(&host) == own).then_some(()));
    assert_eq!(version_of(&host, STREAM_BUFFER), json!("1.0.0"));
    pushed(&host, 30, 10, "plain");
    all_there(&host, 40);
}

fn remove_store(folder: &Path) {
    std::fs::remove_dir_all(folder.join("data/store")).unwrap();
}

#[test]
fn a_built_component_takes_a_parts_place_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let component = good("stream-buffer", 7);
    let mine = folder.path().join("mine");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("component.wasm"), &component).unwrap();
    std::fs::write(mine.join("build.json"), "{}").unwrap();
    std::fs::write(
        mine.join("manifest.json"),
        manifest("stream-buffer", "1.7.0").to_string(),
    )
    .unwrap();
    let said = host
        .kinetic(&["swap", STREAM_BUFFER, "--to", "mine/component.wasm"])
        .fine()
        .json();
    assert_eq!(
        said["to"]["digest"],
        json!(Digest::of(&component).to_string()),
        "{said:#}"
    );
    assert_eq!(works(&host), said["to"]["digest"]);
    let back = host.kinetic(&["rollback", STREAM_BUFFER]).fine().json();
    assert_eq!(back["to"]["version"], json!("1.0.0"), "{back:#}");
    pushed(&host, 0, 10, "plain");
    all_there(&host, 10);
}
