//! The record of capsules' lives: every transition there was, none that there cannot be.

use std::collections::HashMap;

use kinetic_testkit::host::Host;
use kinetic_testkit::swappable::{Author, COUNTER, Kind, events, operate, swap_to_broken, version, wait_for};
use serde_json::{Value, json};

use super::{counts, created, swap};

const TOPIC: &str = "kinetic.lifecycle.v1";

/// What a version may become: the states of VNES. Everything that is not over can be let go or quarantined; what is over
/// begins anew, as another life.
const LIFE: [(&str, &[&str]); 6] = [
    ("", &["discovered"]),
    ("discovered", &["verified", "unloaded", "quarantined"]),
    ("verified", &["loaded", "unloaded", "quarantined"]),
    ("loaded", &["active", "unloaded", "quarantined"]),
    ("active", &["suspended", "unloaded", "quarantined"]),
    ("suspended", &["active", "unloaded", "quarantined"]),
];

/// The transitions of a URN, oldest first.
pub(super) fn transitions(host: &Host, urn: &str) -> Vec<Value> {
    let mut all = events(host, TOPIC);
    all.retain(|event| event["event"] == "lifecycle" && event["capsule"]["urn"] == urn);
    all
}

/// Replays the record of all lives: each transition is one there is, from a state that the version was in.
pub(crate) fn lawful(host: &Host) {
    let mut states: HashMap<String, Vec<String>> = HashMap::new();
    let mut steps = 0;
    for event in events(host, TOPIC) {
        if event["event"] != "lifecycle" {
            continue;
        }
        steps += 1;
        let (from, to) = (event["from"].as_str().unwrap_or(""), event["to"].as_str().unwrap());
        let next = LIFE.iter().find(|(state, _)| *state == from).map(|(_, next)| *next);
        assert!(next.is_some_and(|next| next.contains(&to)), "{event:#}");
        for name in ["cause", "actor"] {
            assert!(event[name].is_string(), "{event:#}");
        }
        // A version may be in memory more than once, each time with a life of its own.
        let capsule = &event["capsule"];
        let lives = states
            .entry(format!("{} {}", capsule["urn"], capsule["digest"]))
            .or_default();
        if !from.is_empty() {
            let at = lives.iter().position(|state| state == from);
            let at = at.unwrap_or_else(|| panic!("it was {lives:?}: {event:#}"));
            lives.swap_remove(at);
        }
        lives.push(to.to_string());
    }
    assert!(steps > 0, "nothing was recorded");
}

/// What became of a version, as the record has it.
fn step(minor: u64, from: &str, to: &str) -> (Value, Value, Value) {
    let from = if from.is_empty() { Value::Null } else { json!(from) };
    (json!(version(minor)), from, json!(to))
}

/// From nothing to being in memory.
fn admitted(minor: u64) -> [(Value, Value, Value); 3] {
    [
        step(minor, "", "discovered"),
        step(minor, "discovered", "verified"),
        step(minor, "verified", "loaded"),
    ]
}

#[test]
fn every_transition_is_recorded_in_its_order_and_so_is_every_step_of_a_swap() {
    let host = Host::start();
    let author = Author::trusted_by(&host);
    let recorded = || -> Vec<(Value, Value, Value)> {
        let all = transitions(&host, COUNTER).into_iter();
        all.map(|event| {
            (
                event["capsule"]["version"].clone(),
                event["from"].clone(),
                event["to"].clone(),
            )
        })
        .collect()
    };
    let mut expected: Vec<(Value, Value, Value)> = Vec::new();

    created(&author.publish(&host, COUNTER, 0, Kind::Good));
    expected.extend(admitted(0));
    expected.push(step(0, "loaded", "active"));
    assert_eq!(recorded(), expected);

    created(&author.stage(&host, COUNTER, 1, Kind::Good));
    expected.extend(admitted(1));
    expected.push(step(1, "loaded", "unloaded"));
    assert_eq!(recorded(), expected);

    counts(&host, 1, 0);
    swap(&host, COUNTER, 1);
    expected.extend(admitted(1));
    expected.extend([step(0, "active", "suspended"), step(1, "loaded", "active")]);
    assert_eq!(recorded(), expected);

    assert_eq!(operate(&host, COUNTER, "rollback", &json!({})).status, 200);
    expected.extend([step(1, "active", "suspended"), step(0, "suspended", "active")]);
    // It may finish what it does before it goes.
    expected.push(step(1, "suspended", "unloaded"));
    wait_for("the end of 1.1.0", || {
        (recorded().len() == expected.len()).then_some(())
    });
    assert_eq!(recorded(), expected);

    assert_eq!(
        operate(&host, COUNTER, "suspend", &json!({ "reason": "a word" })).status,
        200
    );
    assert_eq!(operate(&host, COUNTER, "resume", &json!({})).status, 200);
    expected.extend([step(0, "active", "suspended"), step(0, "suspended", "active")]);
    assert_eq!(recorded(), expected);

    swap_to_broken(&host, &author, (COUNTER, 2, Kind::OtherShape), || {});
    expected.extend(admitted(2));
    expected.push(step(2, "loaded", "unloaded"));
    expected.extend(admitted(2));
    expected.push(step(2, "loaded", "quarantined"));
    assert_eq!(recorded(), expected);

    swap_to_broken(&host, &author, (COUNTER, 3, Kind::MissingImport), || {});
    expected.extend([
        step(3, "", "discovered"),
        step(3, "discovered", "verified"),
        step(3, "verified", "quarantined"),
    ]);
    assert_eq!(recorded(), expected);
    lawful(&host);

    let all = events(&host, TOPIC);
    let steps = |minor: u64| -> Vec<&str> {
        let about = |event: &&Value| {
            event["event"] == "swap"
                && event["capsule"]["urn"] == COUNTER
                && event["capsule"]["version"] == version(minor)
        };
        all.iter()
            .filter(about)
            .map(|event| event["step"].as_str().unwrap())
            .collect()
    };
    assert_eq!(steps(1), ["prepare", "shadow", "stop-intake", "hand-over"]);
    assert_eq!(steps(2), ["prepare"]);
    let flips = transitions(&host, COUNTER)
        .into_iter()
        .filter(|event| event["to"] == "active");
    let generations: Vec<_> = flips.map(|event| event["capsule"]["generation"].clone()).collect();
    assert_eq!(
        generations,
        [1, 2, 3, 3],
        "each flip has its own, and what is resumed keeps it"
    );
}
