//! A capsule's own state: a call is a transaction, and nobody else's keys are reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinetic_identity::SigningKey;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::Host;
use serde_json::{Value, json};

const COUNTERS: &str = "urn:tests:actionspace:solver:counters:v1";

fn trusted(host: &Host) -> SigningKey {
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    key
}

fn asking(name: &str, owners: &[&str]) -> Value {
    let mut asks = manifest(name, "1.0.0");
    asks["capabilities"]["provides"] = json!(["tests:stateful@1.0.0"]);
    asks["imports"] = json!([{ "interface": "kinetic:state/store", "owners": owners }]);
    asks
}

fn publish(host: &Host, manifest: &Value, key: &SigningKey) {
    let reply = host.post(
        "/api/v1/registry/capabilities/publish",
        &publication(manifest, &guests::rust("stateful"), key),
    );
    assert_eq!(reply.status, 201, "{}", reply.text());
}

fn with_counters(owners: &[&str]) -> (Host, SigningKey) {
    let host = Host::start();
    let key = trusted(&host);
    publish(&host, &asking("counters", owners), &key);
    (host, key)
}

/// The function's own result.
fn call(host: &Host, function: &str, intent: Value) -> Value {
    let reply = host.execute(COUNTERS, function, intent);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["output"].clone()
}

/// The record that comes next.
fn now(host: &Host) -> u64 {
    host.get("/api/v1/state-changes").json()["next"].as_u64().unwrap()
}

#[test]
fn what_a_call_wrote_the_next_one_reads_also_after_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let key = trusted(&host);
    publish(&host, &asking("counters", &[]), &key);
    for expected in 1..=5 {
        assert_eq!(call(&host, "add", json!({ "name": "a", "amount": 1 })), json!(expected));
    }
    host.kill();
    let host = Host::start_in(folder.path(), &[]);
    assert_eq!(call(&host, "read", json!({ "name": "a" })), json!(5));
    let past = call(&host, "past", json!({ "name": "a", "at": 0 }));
    assert_eq!(
        past,
        json!([null, 5]),
        "nothing before the first record, and five writes"
    );
}

#[test]
fn a_call_that_fails_leaves_nothing() {
    let (host, _) = with_counters(&[]);
    call(&host, "add", json!({ "name": "a", "amount": 7 }));
    let reply = host
        .execute(COUNTERS, "add-and-err", json!({ "name": "a", "amount": 1 }))
        .json();
    assert_eq!(reply["success"], json!(false));
    let reply = host.execute(COUNTERS, "add-and-panic", json!({ "name": "a", "amount": 1 }));
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert_eq!(call(&host, "read", json!({ "name": "a" })), json!(7));
}

#[test]
fn many_calls_at_once_add_up_as_if_they_had_run_one_after_the_other() {
    let (host, _) = with_counters(&[]);
    let host = Arc::new(host);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let host = host.clone();
            std::thread::spawn(move || {
                (0..50)
                    .filter(|_| {
                        host.execute(COUNTERS, "add", json!({ "name": "hot", "amount": 1 }))
                            .status
                            == 200
                    })
                    .count()
            })
        })
        .collect();
    let done: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(call(&host, "read", json!({ "name": "hot" })), json!(done));
    assert!(done > 150, "most are made again until they fit: {done}");
}

#[test]
fn two_calls_that_read_a_range_and_write_into_it_do_not_both_pass() {
    let (host, _) = with_counters(&[]);
    let host = Arc::new(host);
    for round in 0..20 {
        let threads: Vec<_> = (0..2)
            .map(|side| {
                let host = host.clone();
                let intent =
                    json!({ "of": format!("skew-{round}-"), "to": format!("skew-{round}-{side}"), "limit": 1 });
                std::thread::spawn(move || call(&host, "add-below", intent))
            })
            .collect();
        let passed = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(passed.filter(|below| *below == json!(true)).count(), 1, "round {round}");
    }
}

#[test]
fn keys_of_others_are_out_of_reach_without_a_grant_and_read_only_with_one() {
    let (host, key) = with_counters(&[]);
    call(&host, "add", json!({ "name": "secret", "amount": 3 }));
    publish(&host, &asking("stranger", &[]), &key);
    publish(&host, &asking("friend", &[COUNTERS, "type"]), &key);
    let peek = |who: &str| {
        let urn = format!("urn:tests:actionspace:solver:{who}:v1");
        host.execute(&urn, "peek", json!({ "urn": COUNTERS, "name": "secret" }))
            .json()
    };
    let refused = peek("stranger");
    assert_eq!(refused["success"], json!(false));
    assert!(
        refused["output"].to_string().contains("owners"),
        "it says what to add: {refused:#}"
    );
    assert_eq!(peek("friend")["output"], json!("Mw=="), "base64 of 3");
    let share = |who: &str| {
        let urn = format!("urn:tests:actionspace:solver:{who}:v1");
        host.execute(&urn, "share", json!({ "name": "k", "value": "v" })).json()["success"].clone()
    };
    assert_eq!((share("stranger"), share("friend")), (json!(false), json!(true)));
}

#[test]
fn an_owner_that_is_none_is_refused_at_admission() {
    let host = Host::start();
    let key = trusted(&host);
    let body = publication(&asking("counters", &["everybody"]), &guests::rust("stateful"), &key);
    let reply = host.post("/api/v1/registry/capabilities/publish", &body);
    assert!(
        reply.status >= 400 && reply.text().contains("everybody"),
        "{}",
        reply.text()
    );
}

#[test]
fn a_branch_is_apart_until_somebody_merges_it() {
    let (host, _) = with_counters(&[]);
    call(&host, "add", json!({ "name": "a", "amount": 10 }));
    call(&host, "fork", json!({ "branch": "try" }));
    let on_branch = call(&host, "add-on", json!({ "branch": "try", "name": "a", "amount": 5 }));
    assert_eq!(on_branch, json!(15));
    assert_eq!(call(&host, "read", json!({ "name": "a" })), json!(10));
}

#[test]
fn calls_with_state_replay_without_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let key = trusted(&host);
    publish(&host, &asking("counters", &[]), &key);
    for n in 0..20 {
        call(&host, "add", json!({ "name": format!("c{}", n % 3), "amount": n }));
        call(&host, "sum", json!({ "prefix": "c" }));
    }
    let said = host.kinetic(&["--data", "data", "replay", "--capsule", COUNTERS]);
    let replayed = said.fine().json();
    assert_eq!(replayed["same"], json!(40), "{replayed:#}");
}

#[test]
fn a_capsule_is_told_what_it_may_read_and_nothing_of_others() {
    let (host, key) = with_counters(&[]);
    let from = now(&host);
    call(&host, "add", json!({ "name": "a", "amount": 3 }));
    call(&host, "add", json!({ "name": "b", "amount": 1 }));
    let deleted = host.kinetic(&["state", "delete", COUNTERS, "a"]).fine().json()["seq"].clone();
    let ask = |urn: Value| json!({ "urn": urn, "prefix": "a", "start": from, "wait-ms": 0 });
    let told = call(&host, "changes", ask(Value::Null));
    let first = told[0][0][2].as_u64().unwrap();
    assert_eq!(told[0], json!([["a", "3", first], ["a", null, deleted]]));
    assert!(first >= from && told[1].as_u64() > deleted.as_u64(), "{told}");

    publish(&host, &asking("stranger", &[]), &key);
    publish(&host, &asking("friend", &[COUNTERS]), &key);
    let of = |who: &str| {
        let urn = format!("urn:tests:actionspace:solver:{who}:v1");
        host.execute(&urn, "changes", ask(json!(COUNTERS))).json()
    };
    assert_eq!(of("friend")["output"][0], told[0]);
    let refused = of("stranger");
    assert_eq!(refused["success"], json!(false));
    assert!(refused["output"].to_string().contains("owners"), "{refused:#}");
    let future = host.execute(
        COUNTERS,
        "changes",
        json!({ "urn": null, "prefix": "", "start": 999_999, "wait-ms": 0 }),
    );
    assert!(future.json()["output"].to_string().contains("not written yet"));
}

#[test]
fn a_capsule_is_told_nothing_newer_than_what_it_reads_and_waits_only_before_it_reads() {
    let (host, _) = with_counters(&[]);
    call(&host, "add", json!({ "name": "a", "amount": 1 }));
    let start = now(&host);
    let ask = json!({ "name": "a", "start": start });
    std::thread::scope(|scope| {
        let host = &host;
        let waiting = {
            let ask = ask.clone();
            scope.spawn(move || call(host, "changes-then-read", ask))
        };
        std::thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished(), "nothing came");
        let wrote = Instant::now();
        assert_eq!(call(host, "add", json!({ "name": "a", "amount": 1 })), json!(2));
        let answer = waiting.join().unwrap();
        assert!(wrote.elapsed() < Duration::from_secs(10), "{:?}", wrote.elapsed());
        let seq = answer[0][0][0][2].as_u64().unwrap();
        assert_eq!(answer[0][0], json!([["a", "2", seq]]));
        // The host may have written other records by then.
        assert!(answer[0][1].as_u64() > Some(seq), "{answer}");
        assert_eq!(answer[1], json!(2), "what it was told, it reads");
        assert!(answer[2].as_u64().unwrap() > seq, "{answer}");
    });
    let begun = Instant::now();
    let answer = call(&host, "read-then-changes", ask);
    assert_eq!((&answer[0], answer[1][0].as_array().unwrap().len()), (&json!(2), 1));
    let start = answer[1][1].clone();
    let answer = call(&host, "read-then-changes", json!({ "name": "a", "start": start }));
    assert_eq!((&answer[0], &answer[1][0]), (&json!(2), &json!([])));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "it waited: {:?}",
        begun.elapsed()
    );
}

#[test]
fn calls_that_were_told_changes_replay_without_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start_in(folder.path(), &[]);
    let key = trusted(&host);
    publish(&host, &asking("counters", &[]), &key);
    let start = now(&host);
    for round in 1..=5 {
        call(&host, "add", json!({ "name": "a", "amount": 1 }));
        let told = call(
            &host,
            "changes",
            json!({ "urn": null, "prefix": "", "start": start, "wait-ms": 100 }),
        );
        assert_eq!(told[0].as_array().unwrap().len(), round);
        let told = call(&host, "read-then-changes", json!({ "name": "a", "start": start }));
        assert_eq!(told[1][0].as_array().unwrap().len(), round);
    }
    // From here on the same questions have other answers.
    call(&host, "add", json!({ "name": "a", "amount": 1 }));
    let said = host.kinetic(&["--data", "data", "replay", "--capsule", COUNTERS]);
    let replayed = said.fine().json();
    assert_eq!(replayed["same"], json!(16), "{replayed:#}");
}
