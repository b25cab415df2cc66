//! Swaps on a real host: what callers and operators see when a version takes the place of another one.

mod crowd;
mod life;
mod load;

use std::time::{Duration, Instant};

use kinetic_identity::{SigningKey, sign_statement};
use kinetic_kernel::{Quarantined, override_statement};
use kinetic_testkit::author::manifest;
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Reply};
use kinetic_testkit::swappable::{
    Author, CAREFUL, COUNTER, Kind, PURE, digest, labelled, operate, process, quarantined, swap_to_broken, version,
    wait_for,
};
use serde_json::{Value, json};

pub(crate) use self::life::lawful;
use crate::ledger::Caller;

const LATECOMER: &str = "urn:tests:actionspace:solver:latecomer:v1";

/// A host with version 1.0.0 of a capsule.
fn with(urn: &str, kind: Kind, variables: &[(&str, &str)]) -> (Host, Author) {
    let host = Host::start_with(variables);
    let author = Author::trusted_by(&host);
    created(&author.publish(&host, urn, 0, kind));
    (host, author)
}

fn created(reply: &Reply) {
    assert_eq!(reply.status, 201, "{}", reply.text());
}

/// Swaps to a version; gives what the host says it did.
fn swap(host: &Host, urn: &str, minor: u64) -> Value {
    let reply = operate(host, urn, "swap", &json!({ "to": version(minor) }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn add(host: &Host) -> Reply {
    host.execute(COUNTER, "add", json!({ "n": 1 }))
}

/// What a good answer holds, and which version gave it.
fn good(reply: &Reply) -> (Value, Value) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    (answer["output"].clone(), answer["capsule"]["version"].clone())
}

/// Adds one; the sum has to be this, and this version has to answer.
fn counts(host: &Host, sum: u64, minor: u64) {
    assert_eq!(good(&add(host)), (json!(sum), json!(version(minor))));
}

fn twist(host: &Host, text: &str) -> Reply {
    host.execute(PURE, "twist", json!({ "text": text }))
}

/// Calls the pure capsule with texts of all lengths modulo three; each answer has to be right.
fn twists_rightly(host: &Host) {
    for text in ["parts live", "stressed", "stripped!"] {
        let backwards: String = text.chars().rev().collect();
        assert_eq!(good(&twist(host, text)).0, json!(backwards));
    }
}

#[test]
fn a_swap_takes_the_sum_along_and_a_rollback_takes_it_back() {
    let (host, author) = with(COUNTER, Kind::Good, &[]);
    counts(&host, 1, 0);
    created(&author.stage(&host, COUNTER, 1, Kind::Good));
    counts(&host, 2, 0);
    let swapped = swap(&host, COUNTER, 1);
    assert_eq!(
        (&swapped["from"]["generation"], &swapped["to"]["generation"]),
        (&json!(1), &json!(2)),
        "{swapped:#}"
    );
    assert!(swapped["state_bytes"].as_u64() > Some(0), "{swapped:#}");
    counts(&host, 3, 1);
    assert_eq!(
        host.execute(COUNTER, "version", json!({})).json()["output"],
        json!("1.1.0")
    );
    assert_eq!(process(&host, COUNTER).unwrap()["stands_by"], json!("1.0.0"));

    let back = operate(&host, COUNTER, "rollback", &json!({}));
    assert_eq!(back.status, 200, "{}", back.text());
    assert_eq!(
        (&back.json()["to"]["version"], &back.json()["to"]["generation"]),
        (&json!("1.0.0"), &json!(3))
    );
    counts(&host, 4, 0);
    let again = operate(&host, COUNTER, "rollback", &json!({}));
    assert_eq!(again.problem(409), "KIN-KER-0020");
    // What went by hand is no worse for it.
    swap(&host, COUNTER, 1);
    counts(&host, 5, 1);
    let itself = operate(&host, COUNTER, "swap", &json!({ "to": "1.1.0" }));
    assert_eq!(itself.problem(409), "KIN-KER-0014");
}

#[test]
fn a_rollback_after_the_probation_is_a_swap_back_to_the_version_before() {
    let (host, author) = with(COUNTER, Kind::Good, &[("KINETIC_KERNEL__PROBATION_MS", "200")]);
    counts(&host, 1, 0);
    created(&author.stage(&host, COUNTER, 1, Kind::Good));
    swap(&host, COUNTER, 1);
    counts(&host, 2, 1);
    wait_for("the end of the probation", || {
        process(&host, COUNTER).unwrap()["stands_by"].is_null().then_some(())
    });
    let back = operate(&host, COUNTER, "rollback", &json!({}));
    assert_eq!(back.status, 200, "{}", back.text());
    counts(&host, 3, 0);
}

#[test]
fn a_plan_and_a_swap_to_a_version_that_is_not_there_change_nothing() {
    let (host, author) = with(COUNTER, Kind::Good, &[]);
    created(&author.stage(&host, COUNTER, 1, Kind::Good));
    counts(&host, 1, 0);
    let before = process(&host, COUNTER).unwrap();
    let plan = operate(&host, COUNTER, "swap", &json!({ "to": "1.1.0", "plan": true }));
    assert_eq!(plan.status, 200, "{}", plan.text());
    let plan = plan.json();
    assert_eq!(
        (
            &plan["from"]["version"],
            &plan["to"]["version"],
            &plan["to"]["generation"]
        ),
        (&json!("1.0.0"), &json!("1.1.0"), &json!(2)),
        "{plan:#}"
    );
    assert!(
        plan["steps"].as_array().is_some_and(|steps| steps.len() >= 4),
        "{plan:#}"
    );

    let written = life::transitions(&host, COUNTER).len();
    for ask in [json!({ "to": "1.9.0" }), json!({ "to": "1.9.0", "plan": true })] {
        let nowhere = operate(&host, COUNTER, "swap", &ask);
        assert_eq!(nowhere.problem(404), "KIN-KER-0007");
    }
    assert_eq!(life::transitions(&host, COUNTER).len(), written, "not even begun");
    let after = process(&host, COUNTER).unwrap();
    for name in ["version", "digest", "generation", "state", "activated_unix_ms"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    counts(&host, 2, 0);
}

#[test]
fn what_is_suspended_answers_503_also_after_a_restart_until_it_is_resumed() {
    let (mut host, _author) = with(PURE, Kind::Good, &[]);
    twists_rightly(&host);
    let asked = operate(&host, PURE, "suspend", &json!({ "reason": "the disk is full" }));
    assert_eq!(asked.status, 200, "{}", asked.text());
    let suspended = |host: &Host| {
        let reply = twist(host, "no");
        assert_eq!(reply.problem(503), "KIN-KER-0022");
        assert!(reply.text().contains("the disk is full"), "{}", reply.text());
        assert_eq!(process(host, PURE).unwrap()["state"], json!("suspended"));
    };
    suspended(&host);
    host.stop();
    let restarted = Host::start_in(&host.folder, &[]);
    suspended(&restarted);
    let resumed = operate(&restarted, PURE, "resume", &json!({}));
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    twists_rightly(&restarted);
    let again = operate(&restarted, PURE, "resume", &json!({}));
    assert_eq!(again.problem(409), "KIN-KER-0012");
}

#[test]
fn a_lowered_limit_reaches_the_next_call_and_none_can_be_raised() {
    let (host, _author) = with(PURE, Kind::Good, &[]);
    let limits = |word: Value| {
        let path = format!("/api/v1/capsules/{PURE}/limits");
        host.send("PUT", &path, &[("content-type", "application/json")], word.to_string())
    };
    twists_rightly(&host);
    let most = process(&host, PURE).unwrap()["limits"]["fuel"].as_u64().unwrap();
    assert_eq!(limits(json!({ "fuel": 10 })).status, 200);
    assert_eq!(twist(&host, "much").problem(422), "KIN-ENG-0014");
    assert_eq!(process(&host, PURE).unwrap()["limits"]["fuel"], json!(10));
    assert_eq!(limits(json!({ "fuel": most + 1 })).status, 400);
    assert_eq!(limits(json!({})).status, 200);
    twists_rightly(&host);
}

#[test]
fn a_key_that_is_trusted_no_more_takes_its_capsules_out_of_service() {
    let (host, author) = with(COUNTER, Kind::Good, &[]);
    counts(&host, 1, 0);
    let public = author.key.public().to_string();
    author.trust(&host, &["distrust", "tests", &public]);
    let entry = wait_for("the quarantine", || quarantined(&host, &digest(0, Kind::Good)));
    assert_eq!(
        (&entry["step"], &entry["code"]),
        (&json!("revoked"), &json!("KIN-KER-0025")),
        "{entry:#}"
    );
    wait_for("nothing to answer", || process(&host, COUNTER).is_none().then_some(()));
    assert!(add(&host).status >= 400);
    author.trust(&host, &["trust", "tests", &public]);
    counts(&host, 1, 0);
}

#[test]
fn only_a_trusted_keys_word_lets_quarantined_bytes_back_in_and_each_word_counts_once() {
    let (host, author) = with(PURE, Kind::Good, &[]);
    twists_rightly(&host);
    let fails = (PURE, 1, Kind::TrapsInCalls);
    swap_to_broken(&host, &author, fails, || twists_rightly(&host));
    let again = operate(
        &host,
        PURE,
        "swap",
        &json!({ "to": "1.1.0", "accept_differences": true }),
    );
    assert_eq!(again.problem(403), "KIN-KER-0008");

    let path = format!("/api/v1/quarantine/{}", digest(1, Kind::TrapsInCalls));
    let entry: Quarantined = serde_json::from_slice(&host.get(&path).body).unwrap();
    let release = |envelope: &Value| host.post(&format!("{path}/release"), envelope);
    let statement = override_statement(&entry, "the input was bad");
    let signed = sign_statement(&statement, &author.key);
    let mut unsigned = signed.clone();
    unsigned["signatures"] = json!([]);
    let earlier = Quarantined {
        at_unix_ms: entry.at_unix_ms - 1,
        ..entry
    };
    let of_earlier = sign_statement(&override_statement(&earlier, "the input was bad"), &author.key);
    let mut altered = signed.clone();
    altered["payload"] = of_earlier["payload"].clone();
    let strangers = sign_statement(&statement, &SigningKey::generate().unwrap());
    for refused in [&unsigned, &altered, &of_earlier, &strangers, &json!({})] {
        assert_eq!(release(refused).problem(403), "KIN-KER-0027", "{refused}");
        assert!(quarantined(&host, &digest(1, Kind::TrapsInCalls)).is_some());
    }
    let released = release(&signed);
    assert_eq!(released.status, 200, "{}", released.text());
    assert_eq!(release(&signed).problem(404), "KIN-KER-0026");
    // The same bytes fail the same way, and the word was for the first time.
    swap_to_broken(&host, &author, fails, || twists_rightly(&host));
    assert_eq!(release(&signed).problem(403), "KIN-KER-0027");
}

#[test]
fn what_a_version_writes_after_its_time_is_refused() {
    let host = Host::start_with(&[
        ("KINETIC_KERNEL__PROBATION_MS", "0"),
        ("KINETIC_KERNEL__DRAIN_MS", "50"),
    ]);
    let author = Author::trusted_by(&host);
    let component = guests::rust("latecomer");
    let asks = |minor: u64| {
        let mut asks = manifest("latecomer", &version(minor));
        // It sleeps, and so can promise nothing.
        asks["governance"]["determinism"] = json!("NX_experimental");
        asks["imports"] = json!([{ "interface": "kinetic:state/store" }]);
        asks["limits"] = json!({ "wall_time_ms": 300_000 });
        asks
    };
    created(&author.send(&host, "", &asks(0), &component));
    created(&author.send(&host, "?activate=false", &asks(1), &labelled(&component, 1)));
    let writes = |key: &str, before_ms: u64, after_ms: u64| {
        let intent = json!({ "key": key, "before-ms": before_ms, "after-ms": after_ms });
        let url = host.url.clone();
        move || {
            Caller::connect(&url)
                .unwrap()
                .execute(LATECOMER, "writes", &intent)
                .unwrap()
        }
    };
    let is_written = |key: &str| good(&host.execute(LATECOMER, "is-written", json!({ "key": key })));
    assert_eq!(writes("in time", 10, 10)()["success"], json!(true));

    // One has not written yet when its time is over, the other has and has not returned.
    let late = [("before", 100_000, 0), ("after", 0, 100_000)]
        .map(|(key, before_ms, after_ms)| std::thread::spawn(writes(key, before_ms, after_ms)));
    wait_for("both to run", || {
        (process(&host, LATECOMER).unwrap()["calls_running"] == json!(2)).then_some(())
    });
    let begun = Instant::now();
    swap(&host, LATECOMER, 1);
    assert!(
        begun.elapsed() < Duration::from_secs(90),
        "they would have ended by themselves"
    );
    for late in late {
        let answer = late.join().unwrap();
        assert_eq!(answer["code"], json!("KIN-ENG-0040"), "{answer:#}");
    }
    assert_eq!(is_written("in time"), (json!(true), json!("1.1.0")));
    for key in ["before", "after"] {
        assert_eq!(is_written(key), (json!(false), json!("1.1.0")), "{key}");
    }
    let ended = wait_for("the record of its end", || {
        let mut all = life::transitions(&host, LATECOMER).into_iter();
        all.find(|step| step["to"] == "unloaded" && step["cause"] == "retired")
    });
    assert_eq!(ended["reason"], json!({ "drained": false, "calls_cut_off": 2 }));
}

#[test]
fn a_counter_that_fails_on_probation_gives_its_place_and_the_sum_back() {
    let (host, author) = with(COUNTER, Kind::Good, &[]);
    counts(&host, 1, 0);
    counts(&host, 2, 0);
    // Its instance stays, so nobody can make its failed calls again: they fail, and leave nothing.
    let mut failed = 0;
    let entry = swap_to_broken(&host, &author, (COUNTER, 1, Kind::TrapsInCalls), || {
        if failed < 3 {
            let reply = add(&host);
            assert!([422, 503].contains(&reply.status), "{}", reply.text());
            failed += u32::from(reply.status == 422);
        }
    });
    assert_eq!(
        (failed, &entry["step"], &entry["code"]),
        (3, &json!("probation"), &json!("KIN-KER-0021"))
    );
    counts(&host, 3, 0);
}

#[test]
fn ten_megabytes_of_state_go_along_and_calls_wait_only_a_moment() {
    let (host, author) = with(COUNTER, Kind::Large, &[]);
    counts(&host, 1, 0);
    created(&author.stage(&host, COUNTER, 1, Kind::Large));
    let swapped = swap(&host, COUNTER, 1);
    assert!(swapped["state_bytes"].as_u64() > Some(10_000_000), "{swapped:#}");
    let pause_us = swapped["pause_us"].as_u64().unwrap();
    println!("10 MB of state: calls waited at most {pause_us} us");
    // How long it is on a machine of its own is measured beside the tests.
    assert!(pause_us < 30_000_000, "{swapped:#}");
    counts(&host, 2, 1);
}

#[test]
fn state_that_cannot_be_handed_over_is_lost_only_by_somebodys_word() {
    let (host, author) = with(COUNTER, Kind::Good, &[]);
    counts(&host, 1, 0);
    created(&author.stage(&host, COUNTER, 1, Kind::ReadsOnlyItsOwn));
    let refused = operate(&host, COUNTER, "swap", &json!({ "to": "1.1.0" }));
    assert_eq!(refused.problem(422), "KIN-KER-0019");
    counts(&host, 2, 0);
    let ask = json!({ "to": "1.1.0", "discard_state": true });
    let swapped = operate(&host, COUNTER, "swap", &ask);
    assert_eq!(swapped.status, 200, "{}", swapped.text());
    counts(&host, 1, 1);
}

#[test]
fn a_pure_version_that_answers_otherwise_needs_somebodys_word() {
    let (host, author) = with(PURE, Kind::Good, &CAREFUL);
    twists_rightly(&host);
    created(&author.stage(&host, PURE, 1, Kind::Good));
    let swapped = swap(&host, PURE, 1);
    assert_eq!(
        (&swapped["shadow"]["calls"], &swapped["shadow"]["differences"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(swapped["pause_us"], json!(0));
    let broken = (PURE, 2, Kind::AnswersOtherwise);
    swap_to_broken(&host, &author, broken, || twists_rightly(&host));
    let ask = json!({ "to": "1.2.0", "accept_differences": true });
    let swapped = operate(&host, PURE, "swap", &ask);
    assert_eq!(swapped.status, 200, "{}", swapped.text());
    assert_eq!(good(&twist(&host, "ab")), (json!("ab"), json!("1.2.0")));
}

#[test]
fn every_broken_version_of_a_counter_is_refused_or_rolled_back_with_its_reason_and_the_sum_goes_on() {
    let (host, author) = with(COUNTER, Kind::Good, &CAREFUL);
    let mut sum = 0;
    let mut next = || {
        sum += 1;
        counted(&host, sum);
    };
    for _ in 0..20 {
        next();
    }
    let kinds = [
        (Kind::TrapsWhenMade, "probe", None),
        (Kind::MissingImport, "link", None),
        (Kind::OtherShape, "swap", Some("KIN-KER-0015")),
        (Kind::StartTraps, "swap", Some("KIN-KER-0019")),
        (Kind::StartRefuses, "swap", Some("KIN-KER-0019")),
        (Kind::WritesBadState, "swap", Some("KIN-KER-0019")),
        (Kind::ReadsOnlyItsOwn, "swap", Some("KIN-KER-0019")),
        (Kind::Slow, "probation", Some("KIN-KER-0021")),
    ];
    for (minor, (kind, step, code)) in (1..).zip(kinds) {
        let entry = swap_to_broken(&host, &author, (COUNTER, minor, kind), &mut next);
        judged(&entry, step, code);
        next();
    }
    lawful(&host);
}

/// Adds one to the counter, whichever version answers.
fn counted(host: &Host, sum: u64) {
    assert_eq!(good(&add(host)).0, json!(sum));
}

#[test]
fn every_broken_version_of_a_pure_capsule_is_refused_or_rolled_back_and_no_caller_gets_a_wrong_answer() {
    let (host, author) = with(PURE, Kind::Good, &CAREFUL);
    let kinds = [
        (Kind::TrapsWhenMade, "probe", None),
        (Kind::MissingImport, "link", None),
        (Kind::OtherShape, "swap", Some("KIN-KER-0015")),
        (Kind::AnswersOtherwise, "swap", Some("KIN-KER-0016")),
        (Kind::TrapsInCalls, "probation", Some("KIN-KER-0021")),
        (Kind::TrapsInSome, "probation", Some("KIN-KER-0021")),
        (Kind::Slow, "probation", Some("KIN-KER-0021")),
    ];
    for (minor, (kind, step, code)) in (1..).zip(kinds) {
        // So many that how long they take can be compared.
        for _ in 0..6 {
            twists_rightly(&host);
        }
        let entry = swap_to_broken(&host, &author, (PURE, minor, kind), || twists_rightly(&host));
        judged(&entry, step, code);
    }
    lawful(&host);
}

fn judged(entry: &Value, step: &str, code: Option<&str>) {
    assert_eq!(entry["step"], json!(step), "{entry:#}");
    if let Some(code) = code {
        assert_eq!(entry["code"], json!(code), "{entry:#}");
    }
}
