//! A topology that was made from recorded calls gets a permanent URN: once, measured, signed, whatever breaks.

use std::collections::BTreeMap;
use std::path::Path;

use kinetic_identity::{Promotion, TrustRoot};
use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::oci::OciRegistry;
use kinetic_testkit::swappable::events;
use serde_json::{Value, json};

use crate::outbox::{Line, QUICK, Weather, has_failed, in_folder, is_delivered, until};

const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";
const URN: &str = "urn:tests:actionspace:node:plan:v1";
const CRYSTALLIZE: &str = "/api/v1/crystallizations";

/// A key for the namespace, that the host has and trusts; the public half.
fn key(host: &Host) -> String {
    let key = in_folder(host, &["keys", "new", "tests"]);
    let public = key["public_key"].as_str().unwrap().to_string();
    trust(host, &public);
    public
}

fn trust(host: &Host, public: &str) {
    in_folder(host, &["keys", "trust", "tests", public]);
}

/// Calls that something can be made from, by the names of their receipts.
fn calls(host: &Host, count: usize) -> Vec<String> {
    let call = |number: usize| {
        let answer = host.execute(REDACT, "scrub", json!({ "text": format!("call {number}") }));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["receipt_id"].as_str().unwrap().to_string()
    };
    (0..count).map(call).collect()
}

fn ask(version: &str, topology: &Value, events: &[String]) -> Value {
    json!({ "urn": URN, "version": version, "topology": topology, "events": events, "registry": "far" })
}

fn topology(number: u32) -> Value {
    json!({ "nodes": [{ "urn": REDACT, "number": number }], "edges": [] })
}

/// Has it crystallized; gives the entry in the outbox.
fn crystallized(host: &Host, body: &Value) -> Value {
    let reply = host.post(CRYSTALLIZE, body);
    assert_eq!(reply.status, 202, "{}", reply.text());
    reply.json()
}

fn id_of(entry: &Value) -> String {
    entry["id"].as_str().unwrap().to_string()
}

fn far_folder(host: &Host) -> std::path::PathBuf {
    let far = host.folder.join("far");
    // As of a store that holds nothing yet.
    std::fs::create_dir_all(far.join("capabilities")).unwrap();
    in_folder(host, &["registry", "add", "far", &format!("dir:{}", far.display())]);
    far
}

/// The files that a store has of promotions of the URN.
fn files(store: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(store.join("promotions/tests/node/plan/v1")) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn soak_a_crystallized_topology_gets_its_urn_once_whoever_is_away_or_killed() {
    let rounds: u32 = if std::env::var_os("SOAK_SECONDS").is_some() {
        100
    } else {
        10
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |folder: &Path| Host::start_in(folder, &QUICK);
    let (mut sender, mut registry) = (start(folders[0].path()), start(folders[1].path()));
    let public = key(&sender);
    trust(&registry, &public);
    let line = Line::to(&registry);
    in_folder(&sender, &["registry", "add", "far", &line.url]);
    let sources = calls(&sender, 3);

    let mut promoted = BTreeMap::new();
    for round in 0..rounds {
        let version = format!("1.0.{round}");
        let body = ask(&version, &topology(round), &sources);
        let post = |host: &Host| crystallized(host, &body);
        let entry = match round % 5 {
            0 => {
                line.is(Weather::Away);
                let entry = post(&sender);
                until(&sender, &id_of(&entry), has_failed);
                entry
            }
            1 => {
                line.is(Weather::LosesAnswers);
                let entry = post(&sender);
                until(&sender, &id_of(&entry), is_delivered);
                entry
            }
            2 => {
                line.is(Weather::BreaksUploads);
                let entry = post(&sender);
                until(&sender, &id_of(&entry), has_failed);
                entry
            }
            3 => {
                // Before anything was sent, or in the middle of it.
                if round % 2 == 0 {
                    line.is(Weather::Away);
                }
                let entry = post(&sender);
                sender.kill();
                sender = start(folders[0].path());
                assert_eq!(id_of(&post(&sender)), id_of(&entry), "the same again is the same entry");
                entry
            }
            _ => {
                let entry = post(&sender);
                registry.kill();
                registry = start(folders[1].path());
                line.leads_to(&registry);
                entry
            }
        };
        line.is(Weather::Fine);
        let delivered = until(&sender, &id_of(&entry), is_delivered);
        assert_eq!(promoted.insert(version, delivered), None);
    }

    let root = TrustRoot::load(&folders[1].path().join("data/trust.json")).unwrap();
    for (version, entry) in &promoted {
        let path = format!("/api/v1/registry/promotions/{URN}@{version}");
        let there = registry.get(&path).json();
        let promotion = Promotion::from_value(&there).unwrap();
        promotion.verify(&root).unwrap();
        assert_eq!(json!(promotion.digest()), entry["payload"]["digest"]);
        assert_eq!(json!(promotion.event().event_cid), entry["payload"]["event_cid"]);
        let mut sorted = sources.clone();
        sorted.sort();
        assert_eq!(promotion.event().source_episodic_event_cids, sorted);
        // What was delivered can be had here, too.
        assert_eq!(sender.get(&path).json(), there);
    }
    let mut versions: Vec<_> = promoted.keys().map(|version| format!("{version}.json")).collect();
    versions.sort();
    for folder in &folders {
        assert_eq!(files(&folder.path().join("data/store")), versions);
    }
    // Each was accepted once, and delivered once.
    let mut steps: BTreeMap<(String, String), u32> = BTreeMap::new();
    for event in events(&sender, "kinetic.lifecycle.v1") {
        if event["event"] == "outbox" && event["promotion"]["urn"] == URN {
            let (entry, step) = (event["entry"].as_str().unwrap(), event["step"].as_str().unwrap());
            *steps.entry((entry.into(), step.into())).or_default() += 1;
        }
    }
    for entry in promoted.values() {
        for step in ["accepted", "delivered"] {
            assert_eq!(steps.get(&(id_of(entry), step.into())), Some(&1), "{step} {entry:#}");
        }
    }
    let outbox = sender.get("/api/v1/outbox").json();
    assert_eq!(
        (&outbox["waiting"], &outbox["dead"], &outbox["bytes"]),
        (&json!(0), &json!(0), &json!(0)),
        "{outbox:#}"
    );
    assert_eq!(sender.stop().0, Some(0));
    let args = ["--output", "json", "--data", "data", "verify"];
    let verified = kinetic_in(folders[0].path(), &[], &args).fine().json();
    assert_eq!(verified["ok"], json!(true));
}

#[test]
fn an_oci_registry_gives_a_topology_its_urn_and_another_one_under_it_is_a_dead_letter() {
    let oci = OciRegistry::start();
    let (mine, theirs) = (Host::start_with(&QUICK), Host::start_with(&QUICK));
    for host in [&mine, &theirs] {
        in_folder(host, &["registry", "add", "far", &oci.place()]);
    }
    let public = key(&mine);
    let sources = calls(&mine, 4);
    std::fs::write(mine.folder.join("plan.json"), topology(1).to_string()).unwrap();
    let mut args = vec![
        "crystallize",
        "plan.json",
        "--urn",
        URN,
        "--version",
        "1.0.0",
        "--to",
        "far",
    ];
    args.extend(["--workflow", "thread-9"]);
    for source in &sources {
        args.extend(["--event", source.as_str()]);
    }
    let entry = in_folder(&mine, &args);
    let id = id_of(&entry);
    let delivered = until(&mine, &id, is_delivered);
    assert_eq!(oci.tags("team/tests/node/plan/v1"), ["1.0.0"]);
    assert_eq!(id_of(&in_folder(&mine, &args)), id, "the same again is the same entry");
    let shown = in_folder(&mine, &["outbox", "show", &id]);
    assert_eq!(shown["payload"]["kind"], "promotion");

    // From the registry and from the host's own store, by people who trust the key, and by nobody else.
    let from_far = ["promotion", "show", URN, "--from", "far"];
    let promotion = in_folder(&mine, &from_far);
    assert_eq!(promotion["digest"], delivered["payload"]["digest"]);
    assert_eq!(promotion["topology"], topology(1));
    assert_eq!(promotion["provenance"]["workflow_id"], "thread-9");
    let event = &promotion["event"];
    assert_eq!(event["source_episodic_event_cids"].as_array().unwrap().len(), 4);
    let ratio = event["compression_ratio"].as_f64().unwrap();
    let size = |name: &str| promotion["provenance"][name].as_f64().unwrap();
    let measured = size("topology_bytes") / size("events_bytes");
    assert!(
        ratio > 0.0 && ratio < 1.0 && (ratio - measured).abs() < 1.1e-6,
        "{promotion:#}"
    );
    assert_eq!(size("topology_bytes"), topology(1).to_string().len() as f64);
    assert_eq!(
        in_folder(&mine, &["promotion", "show", &format!("{URN}@1.0.0")]),
        promotion
    );
    let mut all = vec!["--data", "data"];
    all.extend(from_far);
    assert_eq!(theirs.kinetic(&all).code(), "KIN-IDN-0024");
    trust(&theirs, &public);
    assert_eq!(in_folder(&theirs, &from_far), promotion);

    // The other host has the same key now, and another topology.
    let keys = theirs.folder.join("data/keys");
    std::fs::create_dir_all(&keys).unwrap();
    std::fs::copy(mine.folder.join("data/keys/tests.pem"), keys.join("tests.pem")).unwrap();
    let late = crystallized(&theirs, &ask("1.0.0", &topology(2), &calls(&theirs, 4)));
    let dead = until(&theirs, &id_of(&late), |entry| entry["state"] == "dead");
    assert_eq!(dead["code"], "KIN-REG-0070", "{dead:#}");
    assert!(
        dead["reason"]
            .as_str()
            .unwrap()
            .contains(promotion["digest"].as_str().unwrap())
    );
    assert_eq!(in_folder(&theirs, &from_far), promotion, "what is there stays");
    // The same topology, made from other calls elsewhere, is the same.
    let same = crystallized(&theirs, &ask("1.0.0", &topology(1), &calls(&theirs, 4)));
    let same = until(&theirs, &id_of(&same), is_delivered);
    assert!(same["reason"].as_str().unwrap().contains("already"), "{same:#}");
    assert_eq!(oci.tags("team/tests/node/plan/v1"), ["1.0.0"]);
}

#[test]
fn a_folder_takes_a_topology_once_and_the_same_host_makes_no_other_of_its_name() {
    let host = Host::start_with(&QUICK);
    key(&host);
    let far = far_folder(&host);
    let sources = calls(&host, 2);
    let entry = crystallized(&host, &ask("1.0.0", &topology(1), &sources));
    until(&host, &id_of(&entry), is_delivered);
    assert_eq!(files(&far), ["1.0.0.json"]);
    assert_eq!(files(&host.folder.join("data/store")), ["1.0.0.json"]);
    let other = host.post(CRYSTALLIZE, &ask("1.0.0", &topology(2), &sources));
    assert_eq!(other.problem(409), "KIN-REG-0070");
    let entry = crystallized(&host, &ask("1.1.0", &topology(2), &sources));
    until(&host, &id_of(&entry), is_delivered);
    assert_eq!(files(&far), ["1.0.0.json", "1.1.0.json"]);
    let shown = in_folder(&host, &["promotion", "show", URN]);
    assert_eq!(shown["version"], "1.1.0");
    // It is no capsule.
    let store = host.get("/api/v1/registry/capabilities").text();
    assert!(!store.contains(":plan:"), "{store}");
    let missing = host.get(&format!("/api/v1/registry/promotions/{URN}@1.9.0"));
    assert_eq!(missing.problem(404), "KIN-REG-0001");
}

#[test]
fn what_is_not_real_not_smaller_or_not_ones_own_is_refused_before_anything_is_kept() {
    let host = Host::start_with(&QUICK);
    far_folder(&host);
    let sources = calls(&host, 2);
    let code = |body: &Value| {
        let reply = host.post(CRYSTALLIZE, body);
        assert!((400..500).contains(&reply.status), "{}", reply.text());
        reply.problem(reply.status)
    };
    let with = |member: &str, value: Value| {
        let mut body = ask("1.0.0", &topology(1), &sources);
        body[member] = value;
        body
    };
    let good = with("version", json!("1.0.0"));
    // No key to sign with; then one that nobody trusts.
    assert_eq!(code(&good), "KIN-IDN-0002");
    let made = in_folder(&host, &["keys", "new", "tests"]);
    in_folder(&host, &["keys", "distrust", "tests", made["id"].as_str().unwrap()]);
    assert_eq!(code(&good), "KIN-IDN-0024");
    let public = std::fs::read_to_string(host.folder.join("data/ledger/key.pub")).unwrap();
    trust(&host, public.trim());
    assert_eq!(code(&good), "KIN-IDN-0027");

    let lifecycle = sources[0].split_once('-').unwrap().1;
    for unknown in ["999999-0123456789abcdef", &format!("0-{lifecycle}"), "nothing", ""] {
        let events = json!([sources[0], unknown]);
        assert_eq!(code(&with("events", events)), "KIN-KER-0075", "{unknown}");
    }
    assert_eq!(code(&with("events", json!([]))), "KIN-KER-0076");
    let large = json!({ "nodes": "x".repeat(100_000) });
    assert_eq!(code(&with("topology", large)), "KIN-IDN-0067");
    assert_eq!(code(&with("topology", json!({}))), "KIN-IDN-0065");
    assert_eq!(code(&with("topology", json!([]))), "KIN-GWY-0016");
    assert_eq!(code(&with("version", json!("2.0.0"))), "KIN-IDN-0065");
    assert_eq!(code(&with("registry", json!("nobody"))), "KIN-REG-0030");
    assert_eq!(code(&with("trusted", json!(true))), "KIN-GWY-0016");
    let outbox = host.get("/api/v1/outbox").json();
    assert_eq!(outbox["entries"], json!([]));

    // Nor does a registry take what nobody trusted signed, or what is none.
    let publish = "/api/v1/registry/promotions/publish";
    let refused = host.post(publish, &json!({ "promotion": {} }));
    assert_eq!(refused.problem(refused.status), "KIN-IDN-0065");
    assert_eq!(files(&host.folder.join("data/store")), [] as [String; 0]);
}
