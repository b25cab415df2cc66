//! What is published while a registry is away is delivered when it is back: nothing is lost, and nothing comes twice.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kinetic_identity::SigningKey;
use kinetic_model::Digest;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, kinetic_in};
use kinetic_testkit::swappable::events;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const QUICK: [(&str, &str); 2] = [
    ("KINETIC_OUTBOX__BACKOFF_MS_MIN", "10"),
    ("KINETIC_OUTBOX__BACKOFF_MS_MAX", "100"),
];

/// What the line between two hosts does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fine,
    /// Nothing gets through.
    Away,
    /// A publication gets through, its answer does not.
    LosesAnswers,
    /// A publication breaks in the middle.
    BreaksUploads,
}

/// A line to a registry that stays where it is when the registry comes back somewhere else.
pub(crate) struct Line {
    pub(crate) url: String,
    now: Arc<Mutex<(Weather, String)>>,
}

impl Line {
    pub(crate) fn to(host: &Host) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let now = Arc::new(Mutex::new((Weather::Fine, String::new())));
        let shared = now.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || carry(&client, &shared));
            }
        });
        let line = Self { url, now };
        line.leads_to(host);
        line
    }

    pub(crate) fn is(&self, weather: Weather) {
        self.now.lock().unwrap().0 = weather;
    }

    pub(crate) fn leads_to(&self, host: &Host) {
        self.now.lock().unwrap().1 = host.url.trim_start_matches("http://").to_string();
    }
}

/// Carries one connection for as long as the weather lets it.
fn carry(client: &TcpStream, now: &Arc<Mutex<(Weather, String)>>) {
    let (weather, to) = now.lock().unwrap().clone();
    if weather == Weather::Away {
        return;
    }
    let Ok(server) = TcpStream::connect(to) else { return };
    let publishes = AtomicBool::new(false);
    let close = || {
        for end in [client, &server] {
            let _ = end.shutdown(Shutdown::Both);
        }
    };
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut piece = [0; 4_096];
            while let Ok(count) = (&mut &*client).read(&mut piece) {
                let bytes = &piece[..count];
                if bytes.starts_with(b"POST ") || bytes.starts_with(b"GET ") {
                    publishes.store(bytes.starts_with(b"POST "), Ordering::SeqCst);
                }
                let weather = now.lock().unwrap().0;
                if count == 0 || weather == Weather::Away {
                    break;
                }
                let breaks = weather == Weather::BreaksUploads && publishes.load(Ordering::SeqCst);
                let passed = if breaks { &bytes[..count / 2] } else { bytes };
                if (&mut &server).write_all(passed).is_err() || breaks {
                    break;
                }
            }
            close();
        });
        let mut piece = [0; 4_096];
        while let Ok(count) = (&mut &server).read(&mut piece) {
            let weather = now.lock().unwrap().0;
            let lost = weather == Weather::LosesAnswers && publishes.load(Ordering::SeqCst);
            if count == 0 || lost || weather == Weather::Away {
                break;
            }
            if (&mut &*client).write_all(&piece[..count]).is_err() {
                break;
            }
        }
        close();
    });
}

fn component(number: u32) -> Vec<u8> {
    guests::text(&format!(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const {number})))
            (core instance $i (instantiate $m))
            (func (export "number") (result u32) (canon lift (core func $i "f"))))"#
    ))
}

pub(crate) fn in_folder(host: &Host, args: &[&str]) -> Value {
    let mut all = vec!["--data", "data"];
    all.extend(args);
    host.kinetic(&all).fine().json()
}

fn entry(host: &Host, id: &str) -> Value {
    let reply = host.get(&format!("/api/v1/outbox/{id}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Waits until an entry is as it is to be.
pub(crate) fn until(host: &Host, id: &str, good: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let entry = entry(host, id);
        if good(&entry) {
            return entry;
        }
        assert!(begun.elapsed() < PATIENCE, "{entry:#}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn is_delivered(entry: &Value) -> bool {
    entry["state"] == "delivered"
}

pub(crate) fn has_failed(entry: &Value) -> bool {
    entry["attempts"].as_u64().unwrap() > 0
}

#[test]
fn soak_what_is_published_in_a_partition_arrives_once_whoever_is_killed() {
    let rounds: u32 = if std::env::var_os("SOAK_SECONDS").is_some() {
        200
    } else {
        20
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |folder: &Path| Host::start_in(folder, &QUICK);
    let (mut sender, mut registry) = (start(folders[0].path()), start(folders[1].path()));
    let key = SigningKey::generate().unwrap();
    for host in [&sender, &registry] {
        in_folder(host, &["keys", "trust", "tests", &key.public().to_string()]);
    }
    let line = Line::to(&registry);
    in_folder(&sender, &["registry", "add", "far", &line.url]);

    let mut published = BTreeMap::new();
    for round in 0..rounds {
        let (version, component) = (format!("1.0.{round}"), component(round));
        let mut body = publication(&manifest("late", &version), &component, &key);
        body["registry"] = json!("far");
        let post = |host: &Host| {
            let reply = host.post("/api/v1/outbox", &body);
            assert_eq!(reply.status, 202, "{}", reply.text());
            reply.json()["id"].as_str().unwrap().to_string()
        };
        let id = match round % 5 {
            0 => {
                line.is(Weather::Away);
                let id = post(&sender);
                until(&sender, &id, has_failed);
                id
            }
            1 => {
                line.is(Weather::LosesAnswers);
                let id = post(&sender);
                until(&sender, &id, is_delivered);
                id
            }
            2 => {
                line.is(Weather::BreaksUploads);
                let id = post(&sender);
                until(&sender, &id, has_failed);
                id
            }
            3 => {
                // Before anything was sent, or in the middle of it.
                if round % 2 == 0 {
                    line.is(Weather::Away);
                }
                let id = post(&sender);
                sender.kill();
                sender = start(folders[0].path());
                assert_eq!(post(&sender), id, "the same again is the same entry");
                id
            }
            _ => {
                let id = post(&sender);
                registry.kill();
                registry = start(folders[1].path());
                line.leads_to(&registry);
                id
            }
        };
        line.is(Weather::Fine);
        until(&sender, &id, is_delivered);
        assert_eq!(published.insert(version, json!(Digest::of(&component))), None);
    }

    let listed = registry.get("/api/v1/registry/capabilities").json();
    let listed = listed["capabilities"].as_array().unwrap().iter();
    let late: Vec<_> = listed
        .filter(|one| one["urn"] == "urn:tests:actionspace:solver:late:v1")
        .collect();
    assert_eq!(late.len(), published.len());
    for one in late {
        assert_eq!(published[one["version"].as_str().unwrap()], one["digest"]);
    }
    let outbox = sender.get("/api/v1/outbox").json();
    assert_eq!(
        (&outbox["waiting"], &outbox["dead"], &outbox["bytes"]),
        (&json!(0), &json!(0), &json!(0)),
        "{outbox:#}"
    );
    assert_eq!(sender.stop().0, Some(0));
    let verified = kinetic_in(
        folders[0].path(),
        &[],
        &["--output", "json", "--data", "data", "verify"],
    );
    assert_eq!(verified.fine().json()["ok"], json!(true));
}

#[test]
fn an_author_hands_a_capsule_to_the_host_and_sees_what_became_of_it() {
    let host = Host::start_with(&QUICK);
    let key = in_folder(&host, &["keys", "new", "tests"]);
    in_folder(&host, &["keys", "trust", "tests", key["public_key"].as_str().unwrap()]);
    let far = host.folder.join("far");
    // As of a store that holds nothing yet; without it the folder may be a disk that is not mounted.
    std::fs::create_dir_all(far.join("capabilities")).unwrap();
    in_folder(&host, &["registry", "add", "far", &format!("dir:{}", far.display())]);
    let capsule = host.folder.join("capsule");
    std::fs::create_dir(&capsule).unwrap();
    std::fs::write(capsule.join("manifest.json"), manifest("late", "1.0.0").to_string()).unwrap();
    std::fs::write(capsule.join("build.json"), "{}").unwrap();
    let built = |number: u32| std::fs::write(capsule.join("component.wasm"), component(number)).unwrap();
    let publish = ["publish", "capsule", "--to", "far", "--via-host"];

    built(1);
    let id = in_folder(&host, &publish)["id"].as_str().unwrap().to_string();
    until(&host, &id, is_delivered);
    let again = in_folder(&host, &publish);
    assert_eq!((again["id"].as_str(), is_delivered(&again)), (Some(&*id), true));
    assert!(far.join("capabilities/tests/solver/late/v1/1.0.0.json").is_file());
    // It was handed on, and is not one of this host's.
    let store = host.get("/api/v1/registry/capabilities").text();
    assert!(!store.contains(":late:"), "{store}");

    // A published version never changes.
    built(2);
    let other = in_folder(&host, &publish)["id"].as_str().unwrap().to_string();
    let dead = until(&host, &other, |entry| entry["state"] == "dead");
    assert_eq!(dead["code"], "KIN-REG-0002", "{dead:#}");
    assert!(host.get("/metrics").text().contains("kinetic_outbox_dead 1"));
    let shown = in_folder(&host, &["outbox", "show", &other]);
    assert_eq!(shown["state"], "dead");
    // Published again it is tried anew, and nobody is told that it waits when it does not.
    let again = in_folder(&host, &publish);
    assert_eq!((&again["id"], &again["state"]), (&json!(other), &json!("waiting")));
    until(&host, &other, |entry| entry["state"] == "dead");
    in_folder(&host, &["outbox", "retry", &other]);
    until(&host, &other, |entry| entry["state"] == "dead");
    in_folder(&host, &["outbox", "drop", &other, "--reason", "a mistake"]);
    let left = in_folder(&host, &["outbox"]);
    assert_eq!(left["entries"].as_array().unwrap().len(), 1, "{left:#}");

    let code = |args: &[&str]| {
        let mut all = vec!["--data", "data"];
        all.extend(args);
        host.kinetic(&all).code()
    };
    assert_eq!(code(&["outbox", "show", &other]), "KIN-KER-0065");
    assert_eq!(code(&["outbox", "retry", &id]), "KIN-KER-0067");
    assert_eq!(
        code(&["publish", "capsule", "--to", "nobody", "--via-host"]),
        "KIN-REG-0030"
    );
    let steps: Vec<_> = events(&host, "kinetic.lifecycle.v1")
        .into_iter()
        .filter(|event| event["event"] == "outbox")
        .map(|event| event["step"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(
        steps,
        [
            "accepted",
            "delivered",
            "accepted",
            "dead",
            "retried",
            "dead",
            "retried",
            "dead",
            "dropped"
        ]
    );
}

#[test]
fn what_nobody_may_sign_for_never_gets_into_the_outbox() {
    let host = Host::start_with(&QUICK);
    in_folder(&host, &["registry", "add", "far", "dir:/nonexistent"]);
    let key = SigningKey::generate().unwrap();
    let mut body = publication(&manifest("late", "1.0.0"), &component(1), &key);
    body["registry"] = json!("far");
    let refused = host.post("/api/v1/outbox", &body);
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    refused.problem(refused.status);
    let outbox = host.get("/api/v1/outbox").json();
    assert_eq!(outbox["entries"], json!([]));
}
