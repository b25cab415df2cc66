//! Root documents on a real host: as many of the right keys as have to sign, keys that change, digests that are revoked.

use std::path::Path;

use kinetic_identity::{
    LockEntry, LockFile, Receipt, Role, RootDocument, RootFolder, RootKey, SignedRoot, SigningKey, Thresholds,
};
use kinetic_model::Digest;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Reply, kinetic_in};
use kinetic_testkit::swappable::{process, quarantined, wait_for};
use serde_json::{Value, json};

const PUBLISH: &str = "/api/v1/registry/capabilities/publish";
const URN: &str = "urn:tests:actionspace:solver:values:v1";

/// A host, and people with a key each in its folder: `0.pem` and so on.
struct Team {
    host: Host,
    keys: Vec<SigningKey>,
}

fn team(count: usize) -> Team {
    team_on(Host::start(), count)
}

fn team_on(host: Host, count: usize) -> Team {
    let keys: Vec<SigningKey> = (0..count).map(|_| SigningKey::generate().unwrap()).collect();
    for (at, key) in keys.iter().enumerate() {
        key.save(&host.folder.join(format!("{at}.pem"))).unwrap();
    }
    Team { host, keys }
}

impl Team {
    /// A root document of these people, two of whom have to sign anything, signed by some; its file in the host's folder.
    fn root(&self, version: u64, people: &[usize], signing: &[usize], more: &[&str]) -> String {
        let (version_text, draft, signed) = (
            version.to_string(),
            format!("{version}.json"),
            format!("{version}.signed.json"),
        );
        let public: Vec<String> = people.iter().map(|at| self.keys[*at].public().to_string()).collect();
        let mut args = vec!["trust", "root", "draft", "tests", "--version", &version_text];
        args.extend(["--threshold", "root=2", "--threshold", "release=2"]);
        args.extend(public.iter().flat_map(|key| ["--key", key.as_str()]));
        args.extend(more);
        let document = self.host.kinetic(&args).fine().stdout;
        std::fs::write(self.host.folder.join(&draft), document).unwrap();
        let mut from = draft.as_str();
        for at in signing {
            let key = format!("{at}.pem");
            self.host
                .kinetic(&["trust", "root", "sign", from, "--key", &key, "--out", &signed])
                .fine();
            from = &signed;
        }
        signed
    }

    fn trust(&self, args: &[&str]) -> kinetic_testkit::host::Said {
        let mut all = vec!["--data", "data", "trust", "root"];
        all.extend(args);
        self.host.kinetic(&all)
    }

    /// Version 1 with the first three people.
    fn pin(&self) {
        let file = self.root(1, &[0, 1, 2], &[0, 1], &[]);
        let shown = self.trust(&["add", &file]);
        assert_eq!(shown.code(), "KIN-IDN-0035");
        let digest = shown.json()["digest"].as_str().unwrap().to_string();
        assert_eq!(
            self.trust(&["add", &file, "--digest", &Digest::EMPTY.to_string()])
                .code(),
            "KIN-IDN-0035"
        );
        assert_eq!(self.trust(&["show"]).fine().json()["roots"], json!([]));
        self.trust(&["add", &file, "--digest", &digest]).fine();
        assert_eq!(
            self.trust(&["show", "tests"]).fine().json()["roots"][0]["digest"],
            json!(digest)
        );
    }

    fn publish(&self, guest: &[u8], people: &[usize]) -> Reply {
        self.publish_as("values", guest, people)
    }

    fn publish_as(&self, name: &str, guest: &[u8], people: &[usize]) -> Reply {
        let (first, others) = people.split_first().unwrap();
        let mut body = publication(&manifest(name, "1.0.0"), guest, &self.keys[*first]);
        let mut receipt = Receipt::from_value(&body["receipt"]).unwrap();
        for at in others {
            receipt.add_signature(&self.keys[*at]).unwrap();
        }
        body["receipt"] = receipt.to_value();
        self.host.post(PUBLISH, &body)
    }
}

fn entry(host: &Host, guest: &[u8], code: &str) -> Value {
    let digest = Digest::of(guest).to_string();
    wait_for(code, || {
        quarantined(host, &digest).filter(|entry| entry["code"] == code)
    })
}

#[test]
fn two_of_three_have_to_sign_and_a_dropped_key_or_a_revoked_digest_takes_a_capsule_out() {
    let mut team = team(4);
    let guest = guests::rust("values");
    team.pin();
    assert_eq!(team.publish(&guest, &[0]).problem(403), "KIN-IDN-0040");
    assert_eq!(team.publish(&guest, &[0, 3]).problem(403), "KIN-IDN-0040");
    let published = team.publish(&guest, &[0, 1]);
    assert_eq!(published.status, 201, "{}", published.text());
    let listed = team.host.get(&format!("/api/v1/capabilities/{URN}")).json();
    assert_eq!(listed["signer"].as_str().map(str::len), Some(33), "{listed:#}");

    // The first person leaves and a fourth one comes; who stays signs for both versions.
    let alone = team.root(2, &[1, 2, 3], &[1, 3], &[]);
    assert_eq!(team.trust(&["update", &alone]).code(), "KIN-IDN-0032");
    let second = team.root(2, &[1, 2, 3], &[1, 2], &[]);
    team.trust(&["update", &second]).fine();
    let out = entry(&team.host, &guest, "KIN-KER-0025");
    assert_eq!(out["step"], json!("revoked"), "{out:#}");
    wait_for("nothing to answer", || process(&team.host, URN).is_none().then_some(()));
    assert_eq!(team.publish(&guest, &[0, 1]).problem(403), "KIN-IDN-0040");
    let again = team.publish(&guest, &[1, 3]);
    assert_eq!(again.status, 201, "{}", again.text());

    // What was signed anew is what a restart finds.
    team.host.stop();
    let (folder, keys) = (team.host.folder.clone(), team.keys);
    let restarted = Team {
        host: Host::start_in(&folder, &[]),
        keys,
    };
    assert!(process(&restarted.host, URN).is_some());

    let digest = Digest::of(&guest).to_string();
    let third = restarted.root(3, &[1, 2, 3], &[1, 2], &["--revoke", &digest]);
    restarted.trust(&["update", &third]).fine();
    entry(&restarted.host, &guest, "KIN-IDN-0041");
    assert_eq!(restarted.publish(&guest, &[1, 2]).problem(403), "KIN-IDN-0041");
    assert_eq!(restarted.trust(&["update", &second]).code(), "KIN-IDN-0033");
}

#[test]
fn several_people_sign_one_build_and_it_is_published_with_their_signatures() {
    let team = team(3);
    team.pin();
    let capsule = team.host.folder.join("capsule");
    write_capsule(&capsule, &manifest("values", "1.0.0"));
    let sign = |key: &str, more: &[&str]| {
        let mut args = vec!["sign", "capsule", "--key", key];
        args.extend(more);
        team.host.kinetic(&args)
    };
    let first = sign("0.pem", &[]).fine().json();
    let early = team.host.kinetic(&["publish", "capsule"]);
    assert!(early.status != 0 && early.stdout.contains("KIN-IDN-0040"), "{early:?}");
    let other = Digest::EMPTY.to_string();
    assert_eq!(sign("1.pem", &["--expect", &other]).code(), "KIN-IDN-0028");
    let second = sign("1.pem", &["--expect", first["digest"].as_str().unwrap()])
        .fine()
        .json();
    assert_eq!(second["signers"].as_str().map(str::len), Some(33), "{second:#}");
    // Twice by the same one is once.
    assert_eq!(sign("1.pem", &[]).fine().json()["signers"], second["signers"]);
    let published = team.host.kinetic(&["publish", "capsule"]).fine().json();
    assert_eq!(published["signer"], second["signers"]);
    assert!(process(&team.host, URN).is_some());

    // Signatures of something else are neither added to nor sent.
    write_capsule(&capsule, &manifest("values", "1.1.0"));
    assert_eq!(sign("2.pem", &[]).code(), "KIN-IDN-0028");
    assert_eq!(team.host.kinetic(&["publish", "capsule"]).code(), "KIN-IDN-0028");
}

fn write_capsule(folder: &Path, manifest: &Value) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("component.wasm"), guests::rust("values")).unwrap();
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    std::fs::write(folder.join("build.json"), "{}").unwrap();
}

#[test]
fn an_expired_document_admits_nothing_more_and_what_runs_goes_on() {
    let team = team(1);
    let (key, guest) = (&team.keys[0], guests::rust("values"));
    team.host
        .kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    let publish = |version: &str| {
        team.host
            .post(PUBLISH, &publication(&manifest("values", version), &guest, key))
    };
    assert_eq!(publish("1.0.0").status, 201);
    let document = RootDocument {
        expires_unix_ms: 1,
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
    let roots = RootFolder::beside(&team.host.folder.join("data/trust.json"));
    roots.pin(&SignedRoot::sign(document, key).unwrap(), 0).unwrap();
    assert_eq!(publish("1.1.0").problem(403), "KIN-IDN-0034");
    let called = team.host.execute(URN, "text-back", json!({ "text": "a" }));
    assert_eq!(called.status, 200, "{}", called.text());
    // Keys listed by themselves cannot be put beside it.
    let stranger = SigningKey::generate().unwrap().public().to_string();
    let added = team
        .host
        .kinetic(&["--data", "data", "keys", "trust", "tests", &stranger]);
    assert_eq!(added.code(), "KIN-IDN-0039");
    team.trust(&["remove", "tests"]).fine();
    assert_eq!(publish("1.1.0").status, 201);
}

#[test]
fn a_locked_host_admits_only_what_its_lock_file_holds() {
    let mut team = team(1);
    let public = team.keys[0].public().to_string();
    team.host
        .kinetic(&["--data", "data", "keys", "trust", "tests", &public])
        .fine();
    let guest = guests::rust("values");
    let body = |version: &str| publication(&manifest("values", version), &guest, &team.keys[0]);
    assert_eq!(team.host.post(PUBLISH, &body("1.0.0")).status, 201);
    let locked = team.host.kinetic(&["lock"]).fine().json();
    assert_eq!(locked["locked"], locked["entries"]);
    let file = team.host.folder.join("kinetic.lock");
    let first = std::fs::read(&file).unwrap();
    team.host.kinetic(&["lock", URN]).fine();
    assert_eq!(
        std::fs::read(&file).unwrap(),
        first,
        "the same answers are the same bytes"
    );
    let (newer, same) = (body("1.1.0"), body("1.0.0"));

    team.host.stop();
    let folder = team.host.folder.clone();
    let path = file.display().to_string();
    let mut host = Host::start_in(&folder, &[("KINETIC_KERNEL__LOCK", path.as_str())]);
    assert_eq!(process(&host, URN).unwrap()["version"], json!("1.0.0"));
    assert_eq!(host.post(PUBLISH, &newer).problem(403), "KIN-IDN-0049");
    assert_eq!(host.post(PUBLISH, &same).status, 201);
    assert_eq!(process(&host, URN).unwrap()["version"], json!("1.0.0"));
    host.stop();

    std::fs::write(&file, "{}").unwrap();
    let args = [
        "--output",
        "json",
        "up",
        "--listen",
        "127.0.0.1:0",
        "--data",
        "data",
        "--locked",
        "kinetic.lock",
    ];
    let refused = kinetic_in(&folder, &[], &args);
    assert_eq!(refused.code(), "KIN-IDN-0048");
}

#[test]
fn a_locked_host_takes_the_locked_version_from_a_registry_that_has_a_newer_one() {
    let mut team = team(1);
    let here = |args: &[&str]| {
        let mut all = vec!["--data", "data"];
        all.extend(args);
        team.host.kinetic(&all)
    };
    here(&["keys", "trust", "tests", &team.keys[0].public().to_string()]).fine();
    here(&["registry", "add", "site", "dir:site"]).fine();
    let (guest, capsule) = (guests::rust("values"), team.host.folder.join("capsule"));
    for version in ["1.0.0", "1.1.0"] {
        write_capsule(&capsule, &manifest("values", version));
        here(&["publish", "capsule", "--to", "site", "--key", "0.pem"]).fine();
    }
    let mut lock = LockFile::default();
    let entry = LockEntry {
        component: Digest::of(&guest),
        manifest: Digest::of(manifest("values", "1.0.0").to_string().as_bytes()),
        root_version: None,
        version: "1.0.0".parse().unwrap(),
    };
    lock.put(URN.parse().unwrap(), entry).unwrap();
    let file = team.host.folder.join("kinetic.lock");
    std::fs::write(&file, lock.to_json()).unwrap();

    team.host.stop();
    let (folder, path) = (team.host.folder.clone(), file.display().to_string());
    let variables = [("KINETIC_KERNEL__LOCK", path.as_str())];
    let mut host = Host::start_in(&folder, &variables);
    let called = host.execute(URN, "text-back", json!({ "text": "a" })).json();
    assert_eq!(called["capsule"]["version"], json!("1.0.0"), "{called:#}");
    let newer = host.execute(&format!("{URN}@1.1.0"), "text-back", json!({ "text": "a" }));
    assert_eq!(newer.problem(403), "KIN-IDN-0049");
    host.stop();

    // No host is needed for it to count.
    let pull = |what: &str| {
        kinetic_in(
            &folder,
            &variables,
            &["--output", "json", "--data", "data", "pull", what],
        )
    };
    assert_eq!(pull(&format!("{URN}@1.1.0")).code(), "KIN-IDN-0049");
    assert_eq!(pull(URN).fine().json()["version"], json!("1.0.0"));
}

#[test]
fn what_lies_in_a_watched_folder_is_taken_when_its_root_document_lets_it_and_again_when_it_is_signed_anew() {
    let watching = [
        ("KINETIC_KERNEL__WATCH", "capsules"),
        ("KINETIC_KERNEL__WATCH_INTERVAL_MS", "50"),
    ];
    let team = team_on(Host::start_with(&watching), 3);
    team.pin();
    let guest = guests::rust("values");
    let capsule = team.host.folder.join("capsules/values");
    let sign = |by: usize| {
        let signed = publication(&manifest("values", "1.0.0"), &guest, &team.keys[by]);
        std::fs::write(capsule.join("receipt.json"), signed["receipt"].to_string()).unwrap();
    };
    write_capsule(&capsule, &manifest("values", "1.0.0"));
    sign(0);
    wait_for("one signature to be too few", || {
        let listed = team.host.get("/api/v1/capsules").json();
        let watched = listed["watched"].as_array().unwrap().clone();
        let refused = |one: &Value| one["entry"] == "capsules/values" && one["code"] == "KIN-IDN-0040";
        watched.iter().any(refused).then_some(())
    });

    // Nothing in the folder changes.
    let second = team.root(2, &[0, 1, 2], &[0, 1], &["--threshold", "release=1"]);
    team.trust(&["update", &second]).fine();
    wait_for("it to answer", || process(&team.host, URN));

    let third = team.root(3, &[1, 2], &[1, 2], &["--threshold", "release=1"]);
    team.trust(&["update", &third]).fine();
    entry(&team.host, &guest, "KIN-KER-0025");
    wait_for("nothing to answer", || process(&team.host, URN).is_none().then_some(()));
    sign(1);
    wait_for("it to answer again", || process(&team.host, URN));
    let inspected = team.host.get(&format!("/api/v1/capabilities/{URN}")).json();
    assert_eq!(inspected["signer"], json!(team.keys[1].public().id()), "{inspected:#}");
}

#[test]
fn what_was_signed_anew_before_a_key_goes_stays_when_it_is_gone() {
    let team = team(4);
    team.pin();
    let (stays, goes) = (guests::rust("echo"), guests::rust("values"));
    let urn = URN.replace("values", "echo");
    for (name, guest, people) in [
        ("echo", &stays, [0, 1]),
        ("values", &goes, [0, 1]),
        ("echo", &stays, [1, 2]),
    ] {
        let published = team.publish_as(name, guest, &people);
        assert_eq!(published.status, 201, "{}", published.text());
    }
    let before = process(&team.host, &urn).unwrap();
    let second = team.root(2, &[1, 2, 3], &[1, 2], &[]);
    team.trust(&["update", &second]).fine();
    // Judged in the order of their URNs: where this one is out the other one was looked at.
    entry(&team.host, &goes, "KIN-KER-0025");
    let after = process(&team.host, &urn).unwrap();
    assert_eq!(after["generation"], before["generation"], "{after:#}");
    assert_eq!(quarantined(&team.host, &Digest::of(&stays).to_string()), None);
}
