//! From a URN to a result over a network that breaks, with a registry that cannot be trusted, and with none at all.

use std::path::Path;

use kinetic_identity::SigningKey;
use kinetic_model::{CapsuleRef, Digest};
use kinetic_registry::{HttpOptions, HttpSource, Source as _, fetch};
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::between::Between;
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Reply};
use kinetic_testkit::swappable::{events, labelled, wait_for};
use serde_json::json;

const ECHO: &str = "urn:tests:actionspace:solver:echo:v1";
/// Downloads that are cut off in every test run, and in a long one.
const CUTS: u64 = 20;
const CUTS_SOAK: u64 = 200;

/// A host that publishes, the key that its capsules are signed with, and somebody between it and all others.
struct Origin {
    host: Host,
    key: SigningKey,
    between: Between,
}

impl Origin {
    fn new() -> Self {
        let host = Host::start();
        let key = SigningKey::generate().unwrap();
        let between = Between::before(&host.url);
        let origin = Self { host, key, between };
        trusts(&origin.host, &origin.key);
        origin.publishes("1.0.0", &guests::rust("echo"));
        origin
    }

    fn publishes(&self, version: &str, component: &[u8]) {
        let body = publication(&manifest("echo", version), component, &self.key);
        let reply = self.host.post("/api/v1/registry/capabilities/publish", &body);
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    /// A host that knows it as its registry.
    fn known_to(&self) -> Host {
        Host::start_with(&[("ECOSYSTEM_REGISTRY_URL", &self.between.url)])
    }
}

fn trusts(host: &Host, key: &SigningKey) {
    let key = key.public().to_string();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key]).fine();
}

fn calls(host: &Host) -> Reply {
    host.execute(ECHO, "text-back", json!({ "text": "hi" }))
}

/// What the host says the capsule came from.
fn source(host: &Host) -> String {
    let inspected = host.kinetic(&["inspect", ECHO]).fine().json();
    inspected["source"].as_str().unwrap().to_string()
}

/// The states that versions of the capsule were in.
fn states(host: &Host) -> Vec<String> {
    let all = events(host, "kinetic.lifecycle.v1").into_iter();
    let of_echo = all.filter(|event| event["event"] == "lifecycle" && event["capsule"]["urn"] == ECHO);
    of_echo.map(|event| event["to"].as_str().unwrap().to_string()).collect()
}

/// How many files there are in a host's cache.
fn cached(folder: &Path) -> usize {
    let Ok(epochs) = std::fs::read_dir(folder.join("data/cache/components")) else {
        return 0;
    };
    let files = epochs.flat_map(|epoch| std::fs::read_dir(epoch.unwrap().path()).into_iter().flatten());
    files.count()
}

#[test]
fn soak_a_pull_that_is_cut_off_goes_on_and_no_byte_comes_twice() {
    let origin = Origin::new();
    let component = guests::rust("echo");
    let size = component.len() as u64;
    let cuts = if std::env::var_os("SOAK_SECONDS").is_some() {
        CUTS_SOAK
    } else {
        CUTS
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    kinetic_registry::install_ring_provider_once();
    let source = HttpSource::new(&origin.between.url, &HttpOptions::default()).unwrap();
    let what: CapsuleRef = ECHO.parse().unwrap();
    let descriptor = runtime.block_on(source.describe(&what)).unwrap();
    for round in 0..cuts {
        // Once in its midst, and once more right behind that; at the very beginning and before the very end, too.
        let first = size * round / (cuts - 1);
        origin.between.cut([first, round]);
        let fetched = runtime.block_on(fetch(&source, &descriptor, size)).unwrap();
        assert_eq!(fetched, component);
        let mut at = 0;
        for passed in origin.between.downloads() {
            assert_eq!(passed.from, at, "what came is not fetched again");
            at += passed.bytes;
        }
        assert_eq!(at, size);
    }
    // One that is cut off each time before anything came is given up, and nothing of it is left.
    origin.between.cut([0; 16]);
    let here = origin.known_to();
    trusts(&here, &origin.key);
    let refused = calls(&here);
    assert_eq!(refused.problem(refused.status), "KIN-REG-0015");
    assert_eq!(states(&here), Vec::<String>::new());
    assert_eq!(cached(&here.folder), 0);
    origin.between.cut([]);
    assert_eq!(calls(&here).json()["output"], json!("hi"));
}

#[test]
fn a_receipt_that_is_not_good_here_costs_no_download() {
    let origin = Origin::new();
    let here = origin.known_to();
    let refused = calls(&here);
    assert!(
        (400..500).contains(&refused.status),
        "its signer is nobody here: {}",
        refused.text()
    );
    trusts(&here, &SigningKey::generate().unwrap());
    let key = origin.key.public().to_string();
    here.kinetic(&["--data", "data", "keys", "trust", "others", &key])
        .fine();
    assert!(
        (400..500).contains(&calls(&here).status),
        "its key is trusted for another namespace"
    );
    assert!(origin.between.downloads().is_empty());
    assert_eq!(
        states(&here),
        ["discovered", "quarantined", "discovered", "quarantined"]
    );
    assert_eq!(cached(&here.folder), 0);
    trusts(&here, &origin.key);
    assert_eq!(calls(&here).json()["output"], json!("hi"));
    assert_eq!(origin.between.downloads().len(), 1);
}

#[test]
fn an_older_version_under_a_newer_number_is_refused_before_it_is_downloaded() {
    let origin = Origin::new();
    origin.between.tell("1.0.0", "1.9.0");
    let here = origin.known_to();
    trusts(&here, &origin.key);
    let refused = calls(&here);
    let code = refused.problem(refused.status);
    assert!(code.starts_with("KIN-IDN-"), "{}", refused.text());
    assert!(origin.between.downloads().is_empty());
    assert_eq!(states(&here), ["discovered", "quarantined"]);
    origin.between.tell("1.0.0", "1.0.0");
    assert_eq!(calls(&here).json()["capsule"]["version"], json!("1.0.0"));
}

#[test]
fn what_a_watched_registry_offers_is_judged_before_it_is_downloaded() {
    let origin = Origin::new();
    let here = Host::start_with(&[
        ("ECOSYSTEM_REGISTRY_URL", origin.between.url.as_str()),
        ("KINETIC_KERNEL__WATCH_REGISTRIES", "tests"),
        ("KINETIC_KERNEL__WATCH_REGISTRIES_EVERY_S", "1"),
    ]);
    trusts(&here, &origin.key);
    assert_eq!(calls(&here).json()["output"], json!("hi"));
    assert_eq!(origin.between.downloads().len(), 1);
    origin.between.tell("1.0.0", "1.9.0");
    let refused = wait_for("what is no newer version to be refused", || {
        let listed = here.get("/api/v1/capsules").json();
        let mut watched = listed["watched"].as_array()?.iter();
        watched.find(|watched| watched["state"] == "refused").cloned()
    });
    assert!(refused["code"].as_str().unwrap().starts_with("KIN-IDN-"), "{refused:#}");
    assert!(origin.between.downloads().is_empty());
    assert_eq!(calls(&here).json()["capsule"]["version"], json!("1.0.0"));
}

#[test]
fn what_was_called_runs_after_a_restart_without_any_registry() {
    let mut origin = Origin::new();
    let mut here = origin.known_to();
    trusts(&here, &origin.key);
    assert_eq!(calls(&here).json()["output"], json!("hi"));
    assert!(source(&here).starts_with("ecosystem ("));
    assert_eq!(cached(&here.folder), 2, "kept before the call was answered");
    let folder = here.folder.clone();
    let registry = [("ECOSYSTEM_REGISTRY_URL", "http://127.0.0.1:1")];
    here.stop();
    // Another registry than the one that said it: it counts for nothing.
    let mut elsewhere = Host::start_in(&folder, &registry);
    let refused = calls(&elsewhere);
    assert_eq!(refused.problem(refused.status), "KIN-REG-0015");
    elsewhere.stop();
    // The network is cut, and the code that was compiled is gone as well.
    origin.host.stop();
    std::fs::remove_dir_all(folder.join("data/code-cache")).unwrap();
    let here = Host::start_in(&folder, &[("ECOSYSTEM_REGISTRY_URL", &origin.between.url)]);
    let answer = calls(&here).json();
    assert_eq!(
        (&answer["output"], &answer["capsule"]["version"]),
        (&json!("hi"), &json!("1.0.0")),
        "{answer:#}"
    );
    assert_eq!(source(&here), "cache");
    let found = events(&here, "kinetic.lifecycle.v1");
    let mut found = found.iter().filter(|event| event["to"] == "discovered");
    assert!(found.any(|event| event["reason"]["source"] == json!("cache")));
}

#[test]
fn what_is_kept_goes_when_somebody_else_is_believed() {
    let mut origin = Origin::new();
    let here = origin.known_to();
    trusts(&here, &origin.key);
    assert_eq!(calls(&here).json()["output"], json!("hi"));
    assert_eq!(cached(&here.folder), 2, "kept before the call was answered");
    trusts(&here, &SigningKey::generate().unwrap());
    wait_for("an empty cache", || (cached(&here.folder) == 0).then_some(()));
    // What runs goes on; after a restart there is nobody to ask.
    assert_eq!(calls(&here).json()["output"], json!("hi"));
    let folder = here.folder.clone();
    origin.host.stop();
    let mut here = here;
    here.stop();
    let again = Host::start_in(&folder, &[("ECOSYSTEM_REGISTRY_URL", &origin.between.url)]);
    assert!(calls(&again).status >= 400);
}

#[test]
fn what_was_compiled_here_before_is_not_downloaded_again() {
    let mut origin = Origin::new();
    let mut here = origin.known_to();
    trusts(&here, &origin.key);
    assert_eq!(calls(&here).json()["output"], json!("hi"));
    assert_eq!(origin.between.downloads().len(), 1);
    let folder = here.folder.clone();
    here.stop();
    std::fs::remove_dir_all(folder.join("data/cache")).unwrap();
    let here = Host::start_in(&folder, &[("ECOSYSTEM_REGISTRY_URL", &origin.between.url)]);
    assert_eq!(calls(&here).json()["output"], json!("hi"));
    assert!(
        source(&here).starts_with("ecosystem ("),
        "a registry that answers is believed before the cache"
    );
    assert!(origin.between.downloads().is_empty());
    // A newer version is another component.
    let newer = labelled(&guests::rust("echo"), 2);
    origin.publishes("1.1.0", &newer);
    let pinned = format!("{ECHO}@{}", Digest::of(&newer));
    let answer = here.execute(&pinned, "text-back", json!({ "text": "hi" })).json();
    assert_eq!(answer["output"], json!("hi"), "{answer:#}");
    assert_eq!(origin.between.downloads().len(), 1);
    // With nobody to ask the URN means what it meant last, and not what somebody asked for by its digest.
    origin.host.stop();
    let mut here = here;
    here.stop();
    let again = Host::start_in(&folder, &[("ECOSYSTEM_REGISTRY_URL", &origin.between.url)]);
    assert_eq!(calls(&again).json()["capsule"]["version"], json!("1.0.0"));
}
