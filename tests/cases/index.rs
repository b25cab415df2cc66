//! Signed indexes of a namespace at a folder and at a real OCI registry: what they list is taken, and nothing else; and what
//! is built on them: bringing versions here, checking one, watching registries.

use kinetic_identity::{
    IndexDocument, LockEntry, LockFile, Role, RootDocument, RootFolder, RootKey, SignedIndex, SignedRoot, SigningKey,
    Thresholds,
};
use kinetic_model::Digest;
use kinetic_registry::Registries;
use kinetic_testkit::author::manifest;
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Said, kinetic_in};
use kinetic_testkit::oci::OciRegistry;
use kinetic_testkit::swappable::{
    Kind, PURE, component, digest, events, labelled, process, quarantined, version, wait_for,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const ECHO: &str = "urn:tests:actionspace:solver:echo:v1";

/// The root document of the namespace `tests`, with one key for everything.
fn root(key: &SigningKey) -> SignedRoot {
    let document = RootDocument {
        expires_unix_ms: u64::MAX,
        keys: vec![RootKey {
            key_id: key.public().id(),
            public_key: key.public(),
            roles: Role::ALL.to_vec(),
        }],
        namespace: "tests".into(),
        revoked_digests: Vec::new(),
        thresholds: Thresholds {
            index: 1,
            release: 1,
            root: 1,
        },
        version: 1,
    };
    SignedRoot::sign(document, key).unwrap()
}

/// A folder with a data folder in it, whose trust root has that root document, and a registry called `site`.
struct Somebody {
    folder: TempDir,
}

impl Somebody {
    fn who_trusts(key: &SigningKey, place: &str) -> Self {
        let somebody = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        somebody.kinetic(&["registry", "add", "site", place]).fine();
        let trust = somebody.folder.path().join("data/trust.json");
        RootFolder::beside(&trust).pin(&root(key), 0).unwrap();
        key.save(&somebody.folder.path().join("key.pem")).unwrap();
        somebody
    }

    fn kinetic(&self, args: &[&str]) -> Said {
        let mut all = vec!["--output", "json", "--data", "data"];
        all.extend(args);
        kinetic_in(self.folder.path(), &[], &all)
    }

    fn publishes(&self, manifest: &Value, component: &[u8]) {
        let capsule = self.folder.path().join("capsule");
        std::fs::create_dir_all(&capsule).unwrap();
        std::fs::write(capsule.join("component.wasm"), component).unwrap();
        std::fs::write(capsule.join("manifest.json"), manifest.to_string()).unwrap();
        std::fs::write(capsule.join("build.json"), "{}").unwrap();
        self.kinetic(&["publish", "capsule", "--to", "site", "--key", "key.pem"])
            .fine();
    }

    fn publishes_echo(&self, version: &str, number: u64) {
        self.publishes(&manifest("echo", version), &labelled(&guests::rust("echo"), number));
    }

    fn publishes_pure(&self, minor: u64, kind: Kind) {
        let mut asks = manifest("pure", &version(minor));
        asks["limits"] = json!({ "guest_time_ms": 30_000 });
        self.publishes(&asks, &component(minor, kind));
    }

    fn indexes(&self, more: &[&str]) -> Value {
        let mut args = vec!["registry", "index", "tests", "--registry", "site", "--key", "key.pem"];
        args.extend(more);
        self.kinetic(&args).fine().json()
    }

    fn pulled(&self, reference: &str) -> Value {
        self.kinetic(&["pull", reference]).fine().json()["version"].clone()
    }

    /// Why a pull is refused: the code, and that of what was refused in an index.
    fn refusal(&self, reference: &str) -> (String, String) {
        let said = self.kinetic(&["pull", reference]);
        (said.code(), said.stdout)
    }

    /// Puts up an index of its own making.
    fn puts_up(&self, key: &SigningKey, number: u64, expires_unix_ms: u64) {
        let document = IndexDocument {
            entries: Vec::new(),
            expires_unix_ms,
            namespace: "tests".into(),
            version: number,
        };
        let index = SignedIndex::sign(document, key).unwrap();
        let registries = Registries::new(self.folder.path().join("data/registries.json"), Vec::new());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(registries.put_index("site", &index)).unwrap();
    }
}

/// What holds at a registry of any kind.
fn a_registry_is_held_against_its_index(place: &str) {
    let key = SigningKey::generate().unwrap();
    let (author, reader) = (Somebody::who_trusts(&key, place), Somebody::who_trusts(&key, place));
    author.publishes_echo("1.0.0", 1);
    assert_eq!(reader.refusal(ECHO).0, "KIN-REG-0063", "it has no index");
    assert_eq!(author.indexes(&["--urn", ECHO])["version"], json!(1));
    assert_eq!(reader.pulled(ECHO), json!("1.0.0"));

    author.publishes_echo("1.1.0", 2);
    let unlisted = format!("{ECHO}@1.1.0");
    assert_eq!(reader.refusal(&unlisted).0, "KIN-REG-0060");
    assert_eq!(
        reader.pulled(ECHO),
        json!("1.0.0"),
        "the index says which one is the newest"
    );
    let second = author.indexes(&[]);
    assert_eq!(
        (&second["version"], &second["added"]),
        (&json!(2), &json!(1)),
        "{second:#}"
    );
    assert_eq!(reader.pulled(ECHO), json!("1.1.0"));

    let yank = format!("{ECHO}@1.1.0=it forgets words");
    author.indexes(&["--yank", &yank]);
    assert_eq!(reader.pulled(ECHO), json!("1.0.0"), "what is yanked is passed over");
    assert_eq!(reader.pulled(&unlisted), json!("1.1.0"), "unless it is pinned");
    let checked = reader.kinetic(&["verify", &unlisted, "--from", "site"]).fine().json();
    let of = |name: &str| {
        let mut checks = checked["checks"].as_array().unwrap().iter();
        checks.find(|check| check["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(checked["ok"], json!(true), "{checked:#}");
    for name in [
        "source",
        "index",
        "digest",
        "receipt",
        "manifest",
        "policy",
        "quarantine",
    ] {
        assert_eq!(of(name)["outcome"], json!("passed"), "{checked:#}");
    }
    let said = of("index")["detail"].as_str().unwrap().to_string();
    assert!(
        said.contains("version 3") && said.contains("it forgets words"),
        "{said}"
    );
    assert!(
        of("receipt")["detail"]
            .as_str()
            .unwrap()
            .contains("1 of 1 release keys"),
        "{checked:#}"
    );

    author.puts_up(&key, 1, u64::MAX);
    let (code, said) = reader.refusal(ECHO);
    assert!(
        code == "KIN-REG-0065" && said.contains("KIN-IDN-0043"),
        "rolled back: {said}"
    );
    let refused = reader.kinetic(&["verify", ECHO, "--from", "site"]);
    assert_eq!(refused.code(), "KIN-CLI-0042");
    assert_eq!(refused.json()["checks"][0]["code"], json!("KIN-REG-0065"));
    author.puts_up(&key, 9, 1);
    let (code, said) = reader.refusal(ECHO);
    assert!(
        code == "KIN-REG-0065" && said.contains("KIN-IDN-0045"),
        "frozen: {said}"
    );
    author.puts_up(&key, 9, u64::MAX);
    let (code, said) = reader.refusal(ECHO);
    assert!(
        code == "KIN-REG-0065" && said.contains("KIN-IDN-0046"),
        "rewritten: {said}"
    );
}

#[test]
fn what_a_folder_holds_is_taken_as_its_index_lists_it_and_not_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    a_registry_is_held_against_its_index(&format!("dir:{}", folder.path().join("site").display()));
}

#[test]
fn what_an_oci_registry_holds_is_taken_as_its_index_lists_it_and_not_otherwise() {
    let registry = OciRegistry::start();
    a_registry_is_held_against_its_index(&registry.place());
    assert_eq!(registry.tags("team/tests/kinetic-index"), ["index"]);
}

#[test]
fn what_a_lock_file_means_is_brought_once_and_a_registry_is_mirrored_with_its_index() {
    let parent = tempfile::tempdir().unwrap();
    let place = |name: &str| format!("dir:{}", parent.path().join(name).display());
    let key = SigningKey::generate().unwrap();
    let author = Somebody::who_trusts(&key, &place("site"));
    author.publishes_echo("1.0.0", 1);
    author.publishes_echo("1.1.0", 2);
    author.indexes(&[]);

    let reader = Somebody::who_trusts(&key, &place("site"));
    let mut lock = LockFile::default();
    let entry = LockEntry {
        component: Digest::of(&labelled(&guests::rust("echo"), 1)),
        manifest: Digest::of(manifest("echo", "1.0.0").to_string().as_bytes()),
        root_version: None,
        version: "1.0.0".parse().unwrap(),
    };
    lock.put(ECHO.parse().unwrap(), entry.clone()).unwrap();
    let file = reader.folder.path().join("kinetic.lock");
    std::fs::write(&file, lock.to_json()).unwrap();
    let counts = |said: &Value| ["new", "would_come", "present", "refused"].map(|name| said[name].as_u64().unwrap());
    assert_eq!(
        counts(&reader.kinetic(&["sync", "--dry-run"]).fine().json()),
        [0, 1, 0, 0]
    );
    assert_eq!(counts(&reader.kinetic(&["sync"]).fine().json()), [1, 0, 0, 0]);
    assert_eq!(counts(&reader.kinetic(&["sync"]).fine().json()), [0, 0, 1, 0]);
    let other = LockEntry {
        component: Digest::of(b"other"),
        version: "1.1.0".parse().unwrap(),
        ..entry
    };
    lock.put(ECHO.parse().unwrap(), other).unwrap();
    std::fs::write(&file, lock.to_json()).unwrap();
    let refused = reader.kinetic(&["sync"]);
    assert_eq!(refused.code(), "KIN-CLI-0043");
    assert_eq!(
        refused.json()["versions"][0]["code"],
        json!("KIN-IDN-0049"),
        "{refused:?}"
    );
    std::fs::remove_file(&file).unwrap();

    std::fs::create_dir_all(parent.path().join("mirror/capabilities")).unwrap();
    reader.kinetic(&["registry", "add", "mirror", &place("mirror")]).fine();
    let mirror = ["sync", "--all", "--from", "site", "--to", "mirror"];
    assert_eq!(
        counts(&reader.kinetic(&mirror).fine().json())[0],
        3,
        "two versions and their index"
    );
    assert_eq!(counts(&reader.kinetic(&mirror).fine().json()), [0, 0, 2, 0]);
    let stranger = Somebody::who_trusts(&key, &place("mirror"));
    assert_eq!(stranger.pulled(ECHO), json!("1.1.0"));

    // Its own store has none of it.
    let found = author.kinetic(&["search", "echo", "--registry", "all"]).fine().json();
    let hits = found["hits"].as_array().unwrap();
    assert!(
        hits.iter()
            .any(|hit| hit["urn"] == ECHO && hit["version"] == "1.1.0" && hit["registry"] == "site"),
        "{found:#}"
    );
    let nowhere = format!("dir:{}", parent.path().join("nowhere").display());
    author.kinetic(&["registry", "add", "away", &nowhere]).fine();
    let found = author.kinetic(&["search", "echo", "--registry", "all"]).fine().json();
    assert_eq!(found["unsearched"][0]["registry"], json!("away"), "{found:#}");
}

#[test]
fn a_newer_version_at_a_watched_registry_takes_its_place_and_a_broken_one_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("dir:{}", folder.path().join("site").display());
    let key = SigningKey::generate().unwrap();
    let author = Somebody::who_trusts(&key, &place);
    author.publishes_pure(0, Kind::Good);
    author.indexes(&[]);
    let host = Host::start_in(
        folder.path(),
        &[
            ("KINETIC_KERNEL__WATCH_REGISTRIES", "tests"),
            ("KINETIC_KERNEL__WATCH_REGISTRIES_EVERY_S", "1"),
            ("KINETIC_REGISTRY__INDEX_MAX_AGE_S", "0"),
        ],
    );
    RootFolder::beside(&host.folder.join("data/trust.json"))
        .pin(&root(&key), 0)
        .unwrap();
    host.kinetic(&["--data", "data", "registry", "add", "site", &place])
        .fine();
    let called = host.execute(PURE, "twist", json!({ "text": "abc" }));
    assert_eq!(called.status, 200, "{}", called.text());
    let entry = format!("registries/{PURE}");
    let stands = |state: &str, minor: u64| {
        wait_for(&format!("{entry} to be {state} as {minor}"), || {
            let listed = host.get("/api/v1/capsules").json();
            let mut all = listed["watched"].as_array().unwrap().iter();
            let is = |watched: &&Value| {
                watched["entry"] == entry && watched["state"] == state && watched["version"] == version(minor)
            };
            all.find(is).cloned()
        })
    };
    let is_active = |minor: u64| {
        wait_for(&format!("version {minor}"), || {
            process(&host, PURE).filter(|process| process["version"] == version(minor))
        })
    };
    author.publishes_pure(1, Kind::Good);
    author.indexes(&[]);
    is_active(1);

    let broken = digest(2, Kind::TrapsWhenMade);
    author.publishes_pure(2, Kind::TrapsWhenMade);
    author.indexes(&[]);
    let refused = stands("refused", 2);
    assert!(quarantined(&host, &broken).is_some(), "{refused:#}");
    // Another one in between shows that it was looked many times.
    author.publishes_pure(3, Kind::Good);
    author.indexes(&[]);
    is_active(3);
    let recorded = events(&host, "kinetic.lifecycle.v1");
    let said = recorded
        .iter()
        .filter(|event| event["event"] == "watched" && event["capsule"]["digest"] == broken);
    assert_eq!(said.count(), 1, "{recorded:#?}");
    let from_there = recorded.iter().filter(|event| {
        let source = event["reason"]["source"].as_str().unwrap_or_default();
        event["to"] == "discovered" && event["cause"] == "watched" && source.starts_with("site (")
    });
    assert!(from_there.count() >= 3, "two that were taken and one that was not");

    let (first, last) = (format!("{PURE}@1.2.0=it traps"), format!("{PURE}@1.3.0=it forgets"));
    author.indexes(&["--yank", &first, "--yank", &last]);
    let yanked = stands("yanked", 3);
    assert_eq!(yanked["code"], json!("KIN-REG-0061"), "{yanked:#}");
    assert_eq!(process(&host, PURE).unwrap()["version"], json!(version(3)), "it stays");
    let shown = host.kinetic(&["ps"]);
    assert!(shown.stdout.contains("it forgets"), "{shown:?}");
}
