//! The ledger of a real host: receipts that prove themselves, records that survive a kill, changes that are found.

mod files;
mod kills;
mod tampering;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use kinetic_identity::{PublicKey, SigningKey};
use kinetic_ledger::{Checkpoint, Hash, Reader, SystemDisk, verify_consistency, verify_inclusion};
use kinetic_model::{Digest, Sorted};
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Said, binary, kinetic_in};
use kinetic_testkit::live::PATIENCE;
use kinetic_testkit::swappable::{process, wait_for};
use serde_json::{Value, json};

const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";
const HOSTILE: &str = "urn:tests:actionspace:solver:hostile:v1";

/// One connection that makes calls, each after the answer of the one before.
pub(crate) struct Caller {
    stream: BufReader<TcpStream>,
}

impl Caller {
    pub(crate) fn connect(url: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(url.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a call and reads no answer.
    pub(crate) fn send(&mut self, urn: &str, function: &str, intent: &Value) -> io::Result<()> {
        let body = json!({ "toolName": urn, "function": function, "intent": intent }).to_string();
        let request = format!(
            "POST /api/v1/capabilities/execute HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())
    }

    pub(crate) fn execute(&mut self, urn: &str, function: &str, intent: &Value) -> io::Result<Value> {
        self.send(urn, function, intent)?;
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let head = line.trim_end().to_ascii_lowercase();
            if head.is_empty() {
                break;
            }
            if let Some(value) = head.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(serde_json::from_slice(&body).unwrap())
    }
}

/// The record that an answer's receipt names.
pub(crate) fn seq_of(answer: &Value) -> u64 {
    let id = answer["receipt_id"].as_str().unwrap_or_else(|| panic!("{answer:#}"));
    id.split_once('-').unwrap().0.parse().unwrap()
}

fn verify(folder: &Path, args: &[&str]) -> Said {
    let mut all = vec!["--output", "json", "--data", "data", "verify"];
    all.extend(args);
    kinetic_in(folder, &[], &all)
}

fn sha256(bytes: &[u8]) -> Hash {
    *Digest::of(bytes).as_bytes()
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn hash(text: &Value) -> Hash {
    unhex(text).try_into().unwrap()
}

/// A checkpoint, opened with the key the host names.
fn opened(note: &Value, key: &PublicKey) -> Checkpoint {
    let note = note.as_str().unwrap();
    let origin = format!("kinetic/ledger/{}", key.id());
    Checkpoint::open(note, &origin, key).unwrap()
}

/// Checks a receipt from the outside: signature, leaf, inclusion. Gives its statement.
fn proven(document: &Value) -> Value {
    let envelope = &document["envelope"];
    let payload = BASE64.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let kind = envelope["payloadType"].as_str().unwrap();
    assert_eq!(kind, "application/vnd.in-toto+json");
    let key: PublicKey = document["proof"]["key"].as_str().unwrap().parse().unwrap();
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend_from_slice(&payload);
    let signature = BASE64
        .decode(envelope["signatures"][0]["sig"].as_str().unwrap())
        .unwrap();
    let verifier = VerifyingKey::from_bytes(key.as_bytes().try_into().unwrap()).unwrap();
    verifier
        .verify_strict(&signed, &Signature::from_slice(&signature).unwrap())
        .unwrap();

    let proof = &document["proof"];
    let (index, size) = (
        proof["leaf_index"].as_u64().unwrap(),
        proof["tree_size"].as_u64().unwrap(),
    );
    let data = unhex(&proof["leaf_data"]);
    assert_eq!(data[..8], index.to_be_bytes());
    assert_eq!(data[8..40], sha256(&payload), "the leaf is of this statement");
    let leaf = sha256(&[&[0], &data[..]].concat());
    assert_eq!(leaf, hash(&proof["leaf_hash"]));
    let checkpoint = opened(&proof["checkpoint"], &key);
    assert_eq!((checkpoint.size, checkpoint.root), (size, hash(&proof["root_hash"])));
    let path: Vec<Hash> = proof["audit_path"].as_array().unwrap().iter().map(hash).collect();
    assert!(verify_inclusion(&leaf, index, size, &path, &checkpoint.root));
    let id = document["receipt_id"].as_str().unwrap();
    assert_eq!(id, format!("{index}-{}", &proof["leaf_hash"].as_str().unwrap()[..16]));
    serde_json::from_slice(&payload).unwrap()
}

fn receipt(host: &Host, answer: &Value) -> Value {
    let id = answer["receipt_id"].as_str().unwrap_or_else(|| panic!("{answer:#}"));
    let reply = host.get(&format!("/api/v1/receipts/{id}"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// The predicates of all receipts there are.
fn predicates(folder: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    let disk = std::sync::Arc::new(SystemDisk);
    Reader::open(disk, &folder.join("data/ledger"), 0)
        .unwrap()
        .each(|record| {
            // Records of telemetry have none.
            if let Some(receipt) = record.receipt()? {
                let mut statement: Value = serde_json::from_slice(&receipt).unwrap();
                found.push(statement["predicate"].take());
            }
            Ok::<_, kinetic_ledger::LedgerError>(true)
        })
        .unwrap();
    found
}

fn author(host: &Host) -> SigningKey {
    let key = SigningKey::generate().unwrap();
    host.kinetic(&["--data", "data", "keys", "trust", "tests", &key.public().to_string()])
        .fine();
    key
}

#[test]
fn an_answer_names_its_receipt_and_the_receipt_proves_itself() {
    let host = Host::start();
    let intent = json!({ "text": "write to a@example.com" });
    let answer = host.execute(REDACT, "scrub", intent.clone()).json();
    let document = receipt(&host, &answer);
    let statement = proven(&document);
    assert_eq!(statement["_type"], json!("https://in-toto.io/Statement/v1"));
    assert_eq!(statement["subject"][0]["name"], json!(REDACT));
    let predicate = &statement["predicate"];
    let of = |value: &Value| json!(Digest::of(&serde_json::to_vec(&Sorted(value)).unwrap()));
    assert_eq!(predicate["input_hash"], of(&intent), "{predicate:#}");
    assert_eq!(predicate["output_hash"], of(&answer["output"]), "{predicate:#}");
    assert_eq!(predicate["capsule"]["digest"], answer["capsule"]["digest"]);
    assert_eq!(predicate["fuel"], answer["telemetry"]["fuel"]);
    assert_eq!(predicate["verdict"], json!({ "status": "ok" }));
    assert_eq!(
        format!(
            "sha256:{}",
            statement["subject"][0]["digest"]["sha256"].as_str().unwrap()
        ),
        answer["capsule"]["digest"]
    );
    let program = Digest::of(&fs::read(binary()).unwrap());
    assert_eq!(predicate["host"], json!(program), "the very executable");
    let said = host
        .kinetic(&["receipt", answer["receipt_id"].as_str().unwrap()])
        .fine();
    assert_eq!(proven(&said.json()), statement);
    let forged = format!("{}-{}", seq_of(&answer), "0".repeat(16));
    host.get(&format!("/api/v1/receipts/{forged}")).problem(404);
    host.get("/api/v1/receipts/999999999-0000000000000000").problem(404);
}

#[test]
fn the_log_of_before_is_a_beginning_of_the_log_of_now() {
    let host = Host::start();
    let call = || host.execute(REDACT, "scrub", json!({ "text": "x" })).json();
    let mut seen: Vec<Checkpoint> = Vec::new();
    let key: PublicKey = host.get("/api/v1/ledger").json()["key"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    for count in [1, 2, 5, 30] {
        let mut last = call();
        for _ in 1..count {
            last = call();
        }
        // A proof about the last record needs a checkpoint that covers it.
        let document = receipt(&host, &last);
        seen.push(opened(&document["proof"]["checkpoint"], &key));
        for old in &seen {
            let reply = host
                .get(&format!("/api/v1/ledger/consistency?from={}", old.size))
                .json();
            let new = opened(&reply["checkpoint"], &key);
            assert!(new.size >= seen.last().unwrap().size);
            let path: Vec<Hash> = reply["proof"].as_array().unwrap().iter().map(hash).collect();
            assert!(
                verify_consistency(old.size, &old.root, new.size, &new.root, &path),
                "{reply:#}"
            );
            let mut other = old.root;
            other[7] ^= 1;
            assert!(!verify_consistency(old.size, &other, new.size, &new.root, &path));
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0].size < pair[1].size));
    let ahead = host.get("/api/v1/ledger/consistency?from=1000000");
    assert!((400..500).contains(&ahead.status), "{}", ahead.text());
}

#[test]
fn what_failed_was_refused_or_was_given_up_has_its_record_too() {
    let host = Host::start();
    let key = author(&host);
    let mut asks = manifest("hostile", "1.0.0");
    asks["governance"]["determinism"] = json!("NX_experimental");
    asks["limits"] = json!({ "fuel": 10_000_000 });
    let body = publication(&asks, &guests::rust("hostile"), &key);
    let publish = |body: &Value| host.post("/api/v1/registry/capabilities/publish", body);
    assert_eq!(publish(&body).status, 201);

    let failed = host.execute(HOSTILE, "spins", json!({})).json();
    assert_eq!(failed["code"], json!("KIN-ENG-0014"), "{failed:#}");
    let statement = proven(&receipt(&host, &failed));
    let predicate = &statement["predicate"];
    assert_eq!(
        predicate["verdict"],
        json!({ "status": "failed", "code": "KIN-ENG-0014" })
    );
    assert_eq!(predicate["output_hash"], Value::Null);
    assert_eq!(predicate["fuel"], failed["telemetry"]["fuel"]);

    let broken = publication(&manifest("broken", "1.0.0"), &guests::text("(module)"), &key);
    let refused = publish(&broken);
    let code = refused.problem(refused.status);

    let mut caller = Caller::connect(&host.url).unwrap();
    caller.send(HOSTILE, "sleeps", &json!({ "ms": 25_000 })).unwrap();
    wait_for("the call to run", || {
        (process(&host, HOSTILE)?["calls_running"] == json!(1)).then_some(())
    });
    drop(caller);
    let started = Instant::now();
    let all = loop {
        let all = predicates(&host.folder);
        if all
            .iter()
            .any(|predicate| predicate["verdict"]["status"] == "cancelled")
        {
            break all;
        }
        assert!(started.elapsed() < PATIENCE, "no record of the call that was dropped");
        std::thread::sleep(Duration::from_millis(20));
    };
    let cancelled = all.iter().find(|one| one["verdict"]["status"] == "cancelled").unwrap();
    assert_eq!(
        (&cancelled["event"], &cancelled["function"]),
        (&json!("execution"), &json!("sleeps"))
    );
    let steps = |name: &str| -> Vec<Value> {
        let of = |one: &&Value| one["capsule"]["urn"].as_str().is_some_and(|urn| urn.contains(name));
        let steps = all.iter().filter(of).filter(|one| one["event"] == "lifecycle");
        steps.map(|one| json!([one["to"], one["reason"]["code"]])).collect()
    };
    let without_fault = |states: &[&str]| -> Vec<Value> { states.iter().map(|to| json!([to, null])).collect() };
    assert_eq!(steps("broken").last(), Some(&json!(["quarantined", code])));
    assert_eq!(
        steps("hostile"),
        without_fault(&["discovered", "verified", "loaded", "active"])
    );
    verify(&host.folder, &[]).fine();
}

/// A generator for picking places; its seed is printed, so that a failure can be made again with SEED.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var("SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(now | 1);
        println!("SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
