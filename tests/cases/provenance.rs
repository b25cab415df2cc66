//! What receipts say beyond their subjects, and bundles of cosign in their place, on a real host.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kinetic_identity::{BuildInfo, BuildSubject, Checkout, FolderDigest, Receipt, SigningKey};
use kinetic_model::Digest;
use kinetic_testkit::author::manifest;
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Reply, kinetic_in};
use kinetic_testkit::swappable::{events, process};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

const PUBLISH: &str = "/api/v1/registry/capabilities/publish";
const URN: &str = "urn:tests:actionspace:solver:values:v1";
const BUILDER: &str = "https://example.com/builder";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A host with these settings that trusts one key for the namespace of the tests.
fn host(variables: &[(&str, &str)]) -> (Host, SigningKey) {
    let host = Host::start_with(variables);
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    (host, key)
}

/// What `kinetic build` says of a build in a checkout, of a folder with nothing in it but component and manifest.
fn whole(manifest: &str, component: &[u8]) -> BuildInfo {
    BuildInfo {
        builder_id: BUILDER.into(),
        started_on: Some("2026-01-31T12:00:00Z".into()),
        checkout: Some(Checkout {
            uri: Some("git+https://example.com/acme/values.git".into()),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            dirty: false,
        }),
        folder: Some(FolderDigest::of_two(manifest.as_bytes(), component)),
        ..BuildInfo::default()
    }
}

/// Publishes the guest of that version under a receipt that says this.
fn publish(host: &Host, key: &SigningKey, version: &str, say: impl FnOnce(BuildInfo) -> BuildInfo) -> Reply {
    let component = guests::rust("values");
    let manifest = manifest("values", version).to_string();
    let subject = BuildSubject {
        urn: URN.parse().unwrap(),
        version: version.parse().unwrap(),
        component: Digest::of(&component),
        component_bytes: component.len() as u64,
        manifest: Digest::of(manifest.as_bytes()),
    };
    let info = say(whole(&manifest, &component));
    let receipt = Receipt::sign(&subject, &info, key).unwrap().to_value();
    let body = json!({ "manifest": manifest, "receipt": receipt, "component": BASE64.encode(&component) });
    host.post(PUBLISH, &body)
}

/// What the records say of the step in which a version was believed.
fn verified(host: &Host) -> Value {
    let steps = events(host, "kinetic.lifecycle.v1").into_iter();
    let mut ours = steps.filter(|step| step["capsule"]["urn"] == URN && step["to"] == "verified");
    ours.next_back().unwrap()["reason"].clone()
}

#[test]
fn where_nothing_is_asked_older_receipts_count_and_what_newer_ones_name_is_recorded_and_compared() {
    let (host, key) = host(&[]);
    let older = publish(&host, &key, "1.0.0", |_| BuildInfo::default());
    assert_eq!(older.status, 201, "{}", older.text());
    assert_eq!(verified(&host), Value::Null);
    let newer = publish(&host, &key, "1.1.0", |info| info);
    assert_eq!(newer.status, 201, "{}", newer.text());
    let text = manifest("values", "1.1.0").to_string();
    let folder = FolderDigest::of_two(text.as_bytes(), &guests::rust("values"));
    let recorded = verified(&host);
    assert_eq!(recorded["folder"], json!(folder.digest), "{recorded:#}");
    assert_eq!(recorded["files"], json!(2));

    // A folder of two files is one that the host has whole; of another it has not all parts.
    let another = FolderDigest {
        digest: Digest::of(b"another"),
        files: 2,
    };
    let lie = publish(&host, &key, "1.2.0", |info| BuildInfo {
        folder: Some(another),
        ..info
    });
    assert_eq!(lie.problem(422), "KIN-IDN-0056");
    let larger = publish(&host, &key, "1.3.0", |info| BuildInfo {
        folder: Some(FolderDigest { files: 9, ..another }),
        ..info
    });
    assert_eq!(larger.status, 201, "{}", larger.text());
    assert_eq!(verified(&host)["folder"], json!(another.digest));
}

#[test]
fn where_provenance_is_required_a_receipt_that_does_not_say_enough_is_refused_before_anything_is_compiled() {
    let (host, key) = host(&[("KINETIC_KERNEL__PROVENANCE", "complete")]);
    let silent = publish(&host, &key, "1.0.0", |_| BuildInfo::default());
    assert_eq!(silent.problem(403), "KIN-KER-0085");
    let odd = publish(&host, &key, "1.0.0", |info| BuildInfo {
        started_on: Some("yesterday".into()),
        ..info
    });
    assert_eq!(odd.problem(403), "KIN-KER-0085");
    let part = publish(&host, &key, "1.0.0", |info| BuildInfo { folder: None, ..info });
    assert_eq!(part.problem(403), "KIN-KER-0088");
    let stranger = SigningKey::generate().unwrap();
    let unsigned = publish(&host, &stranger, "1.0.0", |info| info);
    assert_eq!(unsigned.problem(403), "KIN-IDN-0027");
    assert!(process(&host, URN).is_none());
    let good = publish(&host, &key, "1.0.0", |info| info);
    assert_eq!(good.status, 201, "{}", good.text());
    // The capsules that the program brings along say enough, too.
    let own = "urn:kinetic:actionspace:solver:redact:v1";
    assert_eq!(host.get(&format!("/api/v1/capabilities/{own}")).status, 200);
}

#[test]
fn only_listed_builders_and_sources_count_where_some_are_listed() {
    let (host, key) = host(&[
        ("KINETIC_KERNEL__BUILDERS", BUILDER),
        ("KINETIC_KERNEL__SOURCES", "git+https://example.com/acme/"),
    ]);
    let other = publish(&host, &key, "1.0.0", |info| BuildInfo {
        builder_id: format!("{BUILDER}s"),
        ..info
    });
    assert_eq!(other.problem(403), "KIN-KER-0086");
    let nowhere = publish(&host, &key, "1.0.0", |info| BuildInfo { checkout: None, ..info });
    assert_eq!(nowhere.problem(403), "KIN-KER-0087");
    let good = publish(&host, &key, "1.0.0", |info| info);
    assert_eq!(good.status, 201, "{}", good.text());
}

/// A key as `cosign generate-key-pair` makes them, and what `cosign attest-blob --key --statement` makes with it.
struct Cosign(EcdsaKeyPair);

impl Cosign {
    fn new() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap())
    }

    fn der(&self) -> Vec<u8> {
        let head = BASE64.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=").unwrap();
        [&head[..], self.0.public_key().as_ref()].concat()
    }

    fn write_public(&self, path: &Path) {
        let encoded = BASE64.encode(self.der());
        let (first, second) = encoded.split_at(64);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n");
        std::fs::write(path, pem).unwrap();
    }

    fn attest(&self, statement: &str) -> Value {
        let message = format!(
            "DSSEv1 {} {PAYLOAD_TYPE} {} {statement}",
            PAYLOAD_TYPE.len(),
            statement.len()
        );
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": { "publicKey": { "hint": BASE64.encode(Digest::of(&self.der()).as_bytes()) } },
            "dsseEnvelope": {
                "payload": BASE64.encode(statement),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{ "sig": BASE64.encode(signature.as_ref()) }],
            },
        })
    }
}

fn write_capsule(folder: &Path, version: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("component.wasm"), guests::rust("values")).unwrap();
    std::fs::write(folder.join("manifest.json"), manifest("values", version).to_string()).unwrap();
    std::fs::write(folder.join("build.json"), r#"{"toolchain":"rustc"}"#).unwrap();
}

#[test]
fn what_cosign_signs_is_published_as_it_is_and_stands_beside_our_own_signatures() {
    let host = Host::start();
    let cosign = Cosign::new();
    cosign.write_public(&host.folder.join("cosign.pub"));
    let trust = ["--data", "data", "keys", "trust", "tests", "--cosign-key", "cosign.pub"];
    let trusted = host.kinetic(&trust).fine().json();
    let capsule = host.folder.join("capsule");
    write_capsule(&capsule, "1.0.0");
    let statement = host.kinetic(&["sign", "capsule", "--statement"]).fine().stdout;
    let bundle = cosign.attest(&statement);

    // The bundle itself in the receipt's place, by whoever publishes.
    let body = json!({
        "manifest": std::fs::read_to_string(capsule.join("manifest.json")).unwrap(),
        "receipt": bundle,
        "component": BASE64.encode(guests::rust("values")),
    });
    let mut keyless = body.clone();
    keyless["receipt"]["verificationMaterial"] = json!({ "certificate": { "rawBytes": "MIIC" } });
    assert_eq!(host.post(PUBLISH, &keyless).problem(403), "KIN-IDN-0052");
    let mut tampered = body.clone();
    let other = statement.replace("rustc", "other");
    assert_ne!(other, statement);
    tampered["receipt"]["dsseEnvelope"]["payload"] = json!(BASE64.encode(other));
    assert_eq!(host.post(PUBLISH, &tampered).problem(422), "KIN-IDN-0026");
    let published = host.post(PUBLISH, &body);
    assert_eq!(published.status, 201, "{}", published.text());
    assert_eq!(
        host.get(&format!("/api/v1/capabilities/{URN}")).json()["signer"],
        trusted["id"]
    );

    // The command line puts it beside the signature of one of ours.
    write_capsule(&capsule, "1.1.0");
    let own = SigningKey::generate().unwrap();
    own.save(&host.folder.join("own.pem")).unwrap();
    host.kinetic(&["sign", "capsule", "--key", "own.pem"]).fine();
    let statement = host.kinetic(&["sign", "capsule", "--statement"]).fine().stdout;
    std::fs::write(host.folder.join("bundle.json"), cosign.attest(&statement).to_string()).unwrap();
    let signed = host
        .kinetic(&["sign", "capsule", "--bundle", "bundle.json"])
        .fine()
        .json();
    assert_eq!(signed["signer"], trusted["id"], "{signed:#}");
    assert_eq!(
        signed["signers"],
        json!(format!("{}+{}", own.public().id(), trusted["id"].as_str().unwrap()))
    );
    host.kinetic(&["publish", "capsule"]).fine();
    let live = host.get(&format!("/api/v1/capabilities/{URN}")).json();
    assert_eq!((&live["version"], &live["signer"]), (&json!("1.1.0"), &trusted["id"]));

    // One that is about something else is not attached.
    write_capsule(&capsule, "1.2.0");
    std::fs::remove_file(capsule.join("receipt.json")).unwrap();
    let refused = host.kinetic(&["sign", "capsule", "--bundle", "bundle.json"]);
    assert_eq!(refused.code(), "KIN-IDN-0028");
    assert!(!capsule.join("receipt.json").exists());
}

#[test]
fn who_verifies_a_version_hears_of_provenance_what_a_host_would_say() {
    let (mut host, key) = host(&[]);
    let older = publish(&host, &key, "1.0.0", |_| BuildInfo::default());
    assert_eq!(older.status, 201, "{}", older.text());
    host.stop();
    let verify = |variables: &[(&str, &str)]| {
        let args = ["--output", "json", "--data", "data", "verify", URN];
        kinetic_in(&host.folder, variables, &args)
    };
    verify(&[]).fine();
    let refused = verify(&[("KINETIC_KERNEL__PROVENANCE", "required")]);
    assert_eq!(refused.code(), "KIN-CLI-0042");
    let checked = refused.json();
    let mut checks = checked["checks"].as_array().unwrap().iter();
    let provenance = checks.find(|check| check["name"] == "provenance").unwrap();
    assert_eq!(provenance["code"], json!("KIN-KER-0085"), "{checked:#}");
}
