//! Capsules in as many versions as there are ways to swap them in well and badly, and what an operator does with them.

use std::path::Path;
use std::time::{Duration, Instant};

use kinetic_identity::SigningKey;
use kinetic_model::Digest;
use serde_json::{Value, json};

use crate::author::{manifest, publication, receipt};
use crate::guests;
use crate::host::{Host, Reply};

/// Keeps a sum across its calls: `add`.
pub const COUNTER: &str = "urn:tests:actionspace:solver:counter:v1";
/// Keeps nothing and answers the same to the same: `twist`.
pub const PURE: &str = "urn:tests:actionspace:solver:pure:v1";

/// Settings under which a [`Kind::Slow`] version is found out after 16 calls, however long they take, and a machine that
/// is busy is not.
pub const CAREFUL: [(&str, &str); 7] = [
    ("KINETIC_KERNEL__PROBATION_CALLS", "16"),
    ("KINETIC_KERNEL__PROBATION_LATENCY_TIMES", "3"),
    ("KINETIC_KERNEL__PROBATION_LATENCY_MS", "500"),
    ("KINETIC_KERNEL__PROBATION_MS", "3600000"),
    ("KINETIC_KERNEL__SHADOW_CALLS", "4"),
    ("KINETIC_KERNEL__DRAIN_MS", "120000"),
    ("KINETIC_ZONES__SESSION__WAIT_MS_MAX", "120000"),
];

/// More than half a second on any machine: less than a nanosecond each they never take.
const SLOW_ROUNDS: u64 = 600_000_000;
/// How long is waited for what has to come; a slow version takes its time until it is found out.
const PATIENCE: Duration = Duration::from_secs(600);

/// How a version behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it should.
    Good,
    /// As it should, and with 10 MB of state.
    Large,
    /// Its core module traps when an instance is made.
    TrapsWhenMade,
    /// It imports what no host has.
    MissingImport,
    /// Its `add` takes a text.
    OtherShape,
    /// It traps in `start` of its lifecycle.
    StartTraps,
    /// Its `start` says no.
    StartRefuses,
    /// It cannot read the state it writes.
    WritesBadState,
    /// It reads no state but that of its own version.
    ReadsOnlyItsOwn,
    /// It answers as it should, but late.
    Slow,
    /// It traps in every call.
    TrapsInCalls,
    /// It traps in every third call.
    TrapsInSome,
    /// Its `twist` is another one.
    AnswersOtherwise,
}

impl Kind {
    /// Whether it is found out only by the calls it gets.
    pub fn shows_in_service(self) -> bool {
        matches!(self, Self::Slow | Self::TrapsInCalls | Self::TrapsInSome)
    }
}

/// A version's text.
pub fn version(minor: u64) -> String {
    format!("1.{minor}.0")
}

/// The component of a version.
pub fn component(minor: u64, kind: Kind) -> Vec<u8> {
    let more = match kind {
        Kind::Good => String::new(),
        Kind::Large => "padding=10000000".into(),
        Kind::StartTraps => "start=traps".into(),
        Kind::StartRefuses => "start=refuses".into(),
        Kind::WritesBadState => "state=bad".into(),
        Kind::ReadsOnlyItsOwn => "state=own".into(),
        Kind::Slow => format!("calls=slow rounds={SLOW_ROUNDS}"),
        Kind::TrapsInCalls => "calls=trap".into(),
        Kind::TrapsInSome => "calls=third".into(),
        Kind::AnswersOtherwise => "answers=otherwise".into(),
        Kind::TrapsWhenMade => return labelled(&guests::text(TRAPS_WHEN_MADE), minor),
        Kind::MissingImport => return labelled(&guests::text(MISSING_IMPORT), minor),
        Kind::OtherShape => return labelled(&guests::text(OTHER_SHAPE), minor),
    };
    worded(&format!("version={} {more}", version(minor)))
}

/// The digest of a version's component, as the host writes it.
pub fn digest(minor: u64, kind: Kind) -> String {
    Digest::of(&component(minor, kind)).to_string()
}

/// The guest `swappable` with these words in place of its own.
fn worded(words: &str) -> Vec<u8> {
    const BYTES: usize = 128;
    let field = |words: &str| format!("{:BYTES$}", format!("swappable {words}")).into_bytes();
    let (own, new) = (field("version=0.0.0"), field(words));
    assert_eq!((own.len(), new.len()), (BYTES, BYTES), "{words}");
    let mut bytes = guests::rust("swappable");
    let found: Vec<_> = bytes
        .windows(BYTES)
        .enumerate()
        .filter(|(_, part)| *part == own)
        .collect();
    let [(at, _)] = found[..] else {
        panic!("its words are in it {} times", found.len())
    };
    bytes[at..at + BYTES].copy_from_slice(&new);
    bytes
}

/// The same component with other bytes, and so another digest.
pub fn labelled(component: &[u8], number: u64) -> Vec<u8> {
    let label = format!("number {number}");
    let bytes = u8::try_from(label.len()).unwrap();
    // A custom section of a name alone.
    [component, &[0, bytes + 1, bytes][..], label.as_bytes()].concat()
}

const TRAPS_WHEN_MADE: &str = r#"(component
    (core module $m
        (func $begin unreachable)
        (start $begin)
        (func (export "add") (param i64) (result i64) (local.get 0)))
    (core instance $i (instantiate $m))
    (func (export "add") (param "n" u64) (result u64) (canon lift (core func $i "add"))))"#;

const MISSING_IMPORT: &str = r#"(component
    (import "tests:nowhere/things@1.0.0" (instance $things (export "thing" (func))))
    (core func $thing (canon lower (func $things "thing")))
    (core module $m
        (import "things" "thing" (func $thing))
        (func (export "add") (param i64) (result i64) (call $thing) (local.get 0)))
    (core instance $i (instantiate $m (with "things" (instance (export "thing" (func $thing))))))
    (func (export "add") (param "n" u64) (result u64) (canon lift (core func $i "add"))))"#;

const OTHER_SHAPE: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "add") (param i32 i32) (result i64) (i64.const 0)))
    (core instance $i (instantiate $m))
    (func (export "add") (param "n" string) (result u64)
        (canon lift (core func $i "add") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#;

/// An author of the namespace `tests`.
pub struct Author {
    /// What signs.
    pub key: SigningKey,
}

impl Author {
    /// A new one, whom a host trusts.
    pub fn trusted_by(host: &Host) -> Self {
        let author = Self {
            key: SigningKey::generate().unwrap(),
        };
        author.trust(host, &["trust", "tests", &author.key.public().to_string()]);
        author
    }

    /// `kinetic keys ...` on the data folder of a host.
    pub fn trust(&self, host: &Host, args: &[&str]) {
        let all = [&["--data", "data", "keys"][..], args].concat();
        host.kinetic(&all).fine();
    }

    /// Publishes a version, which takes its place at once if it is the newest.
    pub fn publish(&self, host: &Host, urn: &str, minor: u64, kind: Kind) -> Reply {
        self.send(host, "", &asks(urn, minor), &component(minor, kind))
    }

    /// Publishes a version that waits for a swap.
    pub fn stage(&self, host: &Host, urn: &str, minor: u64, kind: Kind) -> Reply {
        self.send(host, "?activate=false", &asks(urn, minor), &component(minor, kind))
    }

    /// Writes a version into a folder, file by file, each whole, as `kinetic publish --into` does.
    pub fn lay(&self, folder: &Path, urn: &str, minor: u64, kind: Kind) {
        let (manifest, component) = (asks(urn, minor).to_string(), component(minor, kind));
        let receipt = receipt(&manifest, &component, &self.key).to_string();
        std::fs::create_dir_all(folder).unwrap();
        for (name, bytes) in [
            ("component.wasm", component.as_slice()),
            ("manifest.json", manifest.as_bytes()),
            ("receipt.json", receipt.as_bytes()),
        ] {
            let beside = folder.join(format!(".{name}.new"));
            std::fs::write(&beside, bytes).unwrap();
            std::fs::rename(beside, folder.join(name)).unwrap();
        }
    }

    /// Publishes this component under this manifest.
    pub fn send(&self, host: &Host, query: &str, manifest: &Value, component: &[u8]) -> Reply {
        let path = format!("/api/v1/registry/capabilities/publish{query}");
        host.post(&path, &publication(manifest, component, &self.key))
    }
}

/// The manifest of a version of [`COUNTER`] or [`PURE`].
fn asks(urn: &str, minor: u64) -> Value {
    let mut asks = manifest(urn.split(':').nth(4).unwrap(), &version(minor));
    // A slow version is to be slow, not to be ended by a limit.
    asks["limits"] = json!({ "fuel": 200_000_000_000_u64, "guest_time_ms": 30_000, "wall_time_ms": 300_000 });
    if urn == COUNTER {
        asks["instance"] = json!("resident");
        asks["governance"]["determinism"] = json!("D2_soft_deterministic");
    }
    asks
}

/// `POST /api/v1/capsules/{urn}/{what}`.
pub fn operate(host: &Host, urn: &str, what: &str, body: &Value) -> Reply {
    host.post(&format!("/api/v1/capsules/{urn}/{what}"), body)
}

/// How the one version stands that calls of a URN reach; none when there is none.
pub fn process(host: &Host, urn: &str) -> Option<Value> {
    let listed = host.get("/api/v1/capsules").json();
    let all = listed["capsules"].as_array().unwrap().iter();
    let meant: Vec<_> = all
        .filter(|process| process["urn"] == urn && process["pinned"] == json!(false))
        .collect();
    assert!(meant.len() <= 1, "{meant:#?}");
    meant.first().map(|process| (*process).clone())
}

/// Why a component is in quarantine, if it is.
pub fn quarantined(host: &Host, digest: &str) -> Option<Value> {
    let listed = host.get("/api/v1/quarantine").json();
    let mut all = listed["quarantined"].as_array().unwrap().iter();
    all.find(|entry| entry["digest"] == digest).cloned()
}

/// Swaps to a version that is broken, and waits until it is refused or rolled back and the version before answers; gives
/// its entry in the quarantine. `meanwhile` may make the calls that it shows itself by.
pub fn swap_to_broken(
    host: &Host,
    author: &Author,
    (urn, minor, kind): (&str, u64, Kind),
    mut meanwhile: impl FnMut(),
) -> Value {
    let before = process(host, urn).unwrap();
    let staged = author.stage(host, urn, minor, kind);
    if staged.status == 201 {
        let ask = json!({ "to": version(minor), "accept_differences": kind.shows_in_service() });
        let swapped = operate(host, urn, "swap", &ask);
        assert_eq!(
            swapped.status == 200,
            kind.shows_in_service(),
            "{kind:?} {}",
            swapped.text()
        );
    }
    let digest = digest(minor, kind);
    let entry = wait_for(&format!("the quarantine of {kind:?} {minor}"), || {
        meanwhile();
        quarantined(host, &digest)
    });
    assert!(
        ["code", "message", "fix"]
            .iter()
            .all(|name| entry[name].as_str().is_some_and(|text| !text.is_empty())),
        "{entry:#}"
    );
    let after = process(host, urn).unwrap();
    assert_eq!(
        (&after["version"], &after["digest"], &after["state"]),
        (&before["version"], &before["digest"], &json!("active")),
        "{kind:?} {after:#}"
    );
    entry
}

/// Looks until something is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The data of all events of a topic, oldest first.
pub fn events(host: &Host, topic: &str) -> Vec<Value> {
    let (mut from, mut all) = ("earliest".to_string(), Vec::new());
    loop {
        let reply = host.get(&format!("/api/v1/topics/{topic}/events?from={from}&limit=1000"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let page = reply.json();
        let shown = page["events"].as_array().unwrap();
        if shown.is_empty() {
            return all;
        }
        all.extend(shown.iter().map(|shown| shown["event"]["data"].clone()));
        let next = page["next"].as_object().unwrap().iter();
        from = next
            .map(|(partition, offset)| format!("{partition}:{offset}"))
            .collect::<Vec<_>>()
            .join(",");
    }
}
