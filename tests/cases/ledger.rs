//! The ledger of a real host: receipts that prove themselves, records that survive a kill, changes that are found.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use kinetic_identity::{PublicKey, SigningKey};
use kinetic_ledger::{Checkpoint, Hash, Reader, SystemDisk, verify_consistency, verify_inclusion};
use kinetic_model::Digest;
use kinetic_testkit::author::{manifest, publication};
use kinetic_testkit::guests;
use kinetic_testkit::host::{Host, Said, binary, kinetic_in};
use serde_json::{Value, json};
use sha2::Digest as _;

const REDACT: &str = "urn:kinetic:actionspace:solver:redact:v1";
const HOSTILE: &str = "urn:tests:actionspace:solver:hostile:v1";
const HEADER: usize = 64;

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
    let verifier = VerifyingKey::from_bytes(key.as_bytes()).unwrap();
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
            let receipt = record.receipt()?.unwrap_or_default();
            let mut statement: Value = serde_json::from_slice(&receipt).unwrap();
            found.push(statement["predicate"].take());
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
    let of = |value: &Value| json!(Digest::of(value.to_string().as_bytes()));
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
        let last = (0..count).map(|_| call()).last().unwrap();
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
    std::thread::sleep(Duration::from_millis(300));
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
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "no record of the call that was dropped"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    let cancelled = all.iter().find(|one| one["verdict"]["status"] == "cancelled").unwrap();
    assert_eq!(
        (&cancelled["event"], &cancelled["function"]),
        (&json!("execution"), &json!("sleeps"))
    );
    let steps = |name: &str| -> Vec<Value> {
        let of = |one: &&Value| one["capsule"]["urn"].as_str().is_some_and(|urn| urn.contains(name));
        let steps = all.iter().filter(of).filter(|one| one["event"] != "execution");
        steps
            .map(|one| json!([one["event"], one["verdict"]["status"], one["verdict"]["code"]]))
            .collect()
    };
    assert_eq!(steps("broken"), [json!(["quarantine", "refused", code])]);
    assert_eq!(
        steps("hostile"),
        [json!(["admission", "ok", null]), json!(["activation", "ok", null])]
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

/// A log's files as bytes, read apart from the host's own code.
#[derive(Clone, PartialEq)]
struct Files {
    segments: Vec<(PathBuf, Vec<u8>)>,
    checkpoints: String,
    leaves: Vec<u8>,
}

/// Where a record's frame lies.
#[derive(Clone, Debug)]
struct Frame {
    seq: u64,
    segment: usize,
    place: Range<usize>,
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// The whole frames of a segment.
fn frames(segment: usize, bytes: &[u8]) -> Vec<Frame> {
    let (mut at, mut found) = (HEADER, Vec::new());
    while at + HEADER <= bytes.len() {
        let body = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        let (seq, end) = (number(&bytes[at + 8..]), at + HEADER + body);
        if end > bytes.len() || seq != number(&bytes[8..]) + found.len() as u64 {
            break;
        }
        found.push(Frame {
            seq,
            segment,
            place: at..end,
        });
        at = end;
    }
    found
}

/// Nothing, or bytes, and what follows.
fn option(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (mut count, mut at) = (0_usize, 0);
    loop {
        count |= usize::from(bytes[at] & 0x7f) << (7 * at);
        at += 1;
        if bytes[at - 1] & 0x80 == 0 {
            return bytes[at..].split_at(count.saturating_sub(1));
        }
    }
}

fn leaf_of(seq: u64, body: &[u8]) -> Hash {
    let (receipt, rest) = option(body);
    let (call, parts) = option(rest);
    let mut hasher = sha2::Sha256::new();
    hasher.update([0]);
    hasher.update(seq.to_be_bytes());
    for section in [receipt, call, parts] {
        hasher.update(sha256(section));
    }
    hasher.finalize().into()
}

fn repair_checksum(frame: &mut [u8]) {
    let crc = crc32c::crc32c(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

impl Files {
    fn read(folder: &Path) -> Self {
        let ledger = folder.join("data/ledger");
        let names = fs::read_dir(ledger.join("segments")).unwrap();
        let mut segments: Vec<_> = names
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        segments.sort_unstable();
        Self {
            segments,
            checkpoints: fs::read_to_string(ledger.join("checkpoints")).unwrap(),
            leaves: fs::read(ledger.join("tree/leaves")).unwrap(),
        }
    }

    fn write(&self, folder: &Path) {
        let ledger = folder.join("data/ledger");
        for entry in fs::read_dir(ledger.join("segments")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (path, bytes) in &self.segments {
            fs::write(path, bytes).unwrap();
        }
        fs::write(ledger.join("checkpoints"), &self.checkpoints).unwrap();
        fs::write(ledger.join("tree/leaves"), &self.leaves).unwrap();
    }

    fn frames(&self) -> Vec<Frame> {
        let each = self.segments.iter().enumerate();
        each.flat_map(|(i, (_, bytes))| frames(i, bytes)).collect()
    }

    fn bytes(&mut self, frame: &Frame) -> &mut [u8] {
        &mut self.segments[frame.segment].1[frame.place.clone()]
    }

    /// Makes every hash and checksum from a record on fit again, as somebody without the signing key would.
    fn repair_from(&mut self, seq: u64) {
        let frames = self.frames();
        let mut chain: Hash = match seq.checked_sub(1) {
            None => [0; 32],
            Some(before) => self.bytes(&frames[before as usize])[32..64].try_into().unwrap(),
        };
        let mut segment = frames[seq as usize].segment;
        for frame in &frames[seq as usize..] {
            if frame.segment != segment {
                segment = frame.segment;
                let header = &mut self.segments[segment].1[..HEADER];
                header[16..48].copy_from_slice(&chain);
                let crc = crc32c::crc32c(&header[..48]);
                header[48..52].copy_from_slice(&crc.to_le_bytes());
            }
            let bytes = self.bytes(frame);
            let leaf = leaf_of(frame.seq, &bytes[HEADER..]);
            chain = sha256(&[&[2], &chain[..], &leaf].concat());
            bytes[32..64].copy_from_slice(&chain);
            repair_checksum(bytes);
        }
    }
}

/// A log of several segments and checkpoints that no host writes any more.
struct Sealed {
    folder: tempfile::TempDir,
    files: Files,
    frames: Vec<Frame>,
}

impl Sealed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ("KINETIC_LEDGER__SEGMENT_BYTES", "65536"),
            ("KINETIC_LEDGER__CHECKPOINT_RECORDS", "50"),
        ];
        let mut host = Host::start_in(folder.path(), &variables);
        let mut caller = Caller::connect(&host.url).unwrap();
        for i in 0..400 {
            let text = json!({ "text": format!("{i:06} a@example.com") });
            caller.execute(REDACT, "scrub", &text).unwrap();
        }
        drop(caller);
        host.stop();
        drop(host);
        let files = Files::read(folder.path());
        let frames = files.frames();
        assert!(files.segments.len() >= 5 && frames.len() > 400);
        assert!(frames.iter().enumerate().all(|(i, frame)| frame.seq == i as u64));
        let clean = verify(folder.path(), &[]).fine().json();
        assert_eq!(
            (&clean["records"], &clean["covered"], &clean["findings"]),
            (&json!(frames.len()), &json!(frames.len()), &json!([])),
            "{clean:#}"
        );
        assert!(clean["checkpoints"].as_u64().unwrap() >= 5, "{clean:#}");
        Self { folder, files, frames }
    }

    fn last(&self) -> u64 {
        self.frames.len() as u64 - 1
    }

    /// Two records of equal length, some way apart, in one segment.
    fn twins(&self) -> (Frame, Frame) {
        let pairs = self.frames.iter().skip(100).zip(self.frames.iter().skip(103));
        let mut equal = pairs.filter(|(a, b)| a.segment == b.segment && a.place.len() == b.place.len());
        let (one, two) = equal.next().expect("two records of equal length");
        (one.clone(), two.clone())
    }

    /// Verifies the changed files: exit status 3, and the first finding is about this record.
    fn finds(&self, changed: &Files, seq: u64, what: &str) {
        self.finds_with(changed, seq, what, &[]);
    }

    fn finds_with(&self, changed: &Files, seq: u64, what: &str, args: &[&str]) {
        changed.write(self.folder.path());
        let said = verify(self.folder.path(), args);
        assert_eq!(said.status, 3, "{what}, record {seq}: {said:?}");
        let document = said.json();
        assert_eq!(document["findings"][0]["seq"], json!(seq), "{what}: {document:#}");
        assert_eq!(document["ok"], json!(false));
    }
}

#[test]
fn a_flipped_bit_is_found_in_the_very_record_it_is_in() {
    let (sealed, mut random) = (Sealed::new(), Random::new());
    for _ in 0..100 {
        let frame = &sealed.frames[random.below(sealed.last() + 1) as usize];
        let bit = random.below(frame.place.len() as u64 * 8);
        let mut changed = sealed.files.clone();
        changed.bytes(frame)[bit as usize / 8] ^= 1 << (bit % 8);
        sealed.finds(
            &changed,
            frame.seq,
            &format!("bit {bit} of {} bytes", frame.place.len()),
        );
    }
    for i in 0..sealed.files.segments.len() {
        let mut changed = sealed.files.clone();
        let first = number(&changed.segments[i].1[8..]);
        changed.segments[i].1[random.below(52) as usize] ^= 4;
        sealed.finds(&changed, first, "a segment's header");
    }
}

#[test]
fn records_that_were_dropped_swapped_or_cut_off_are_named() {
    let sealed = Sealed::new();
    let middle = &sealed.frames[sealed.frames.len() / 2];

    let mut changed = sealed.files.clone();
    changed.segments[middle.segment].1.drain(middle.place.clone());
    sealed.finds(&changed, middle.seq, "dropped");

    let mut changed = sealed.files.clone();
    changed.bytes(middle).fill(0);
    sealed.finds(&changed, middle.seq, "zeroed");

    let (one, two) = sealed.twins();
    let (first, second) = (
        sealed.files.clone().bytes(&one).to_vec(),
        sealed.files.clone().bytes(&two).to_vec(),
    );
    let mut changed = sealed.files.clone();
    changed.bytes(&one).copy_from_slice(&second);
    changed.bytes(&two).copy_from_slice(&first);
    sealed.finds(&changed, one.seq, "swapped whole, each with its own checksum");

    let mut changed = sealed.files.clone();
    for (frame, other) in [(&one, &second), (&two, &first)] {
        let bytes = changed.bytes(frame);
        bytes[HEADER..].copy_from_slice(&other[HEADER..]);
        repair_checksum(bytes);
    }
    sealed.finds(&changed, one.seq, "bodies swapped, checksums repaired");
    changed.repair_from(one.seq);
    sealed.finds(&changed, one.seq, "bodies swapped, all later hashes repaired");

    let last = sealed.frames.last().unwrap();
    let mut changed = sealed.files.clone();
    changed.segments[last.segment].1.truncate(last.place.start);
    sealed.finds(&changed, last.seq, "the last record cut off");
    changed = sealed.files.clone();
    changed.segments[last.segment].1.truncate(last.place.start + 70);
    sealed.finds(&changed, last.seq, "the last record cut in two");
}

#[test]
fn a_record_written_anew_with_all_later_hashes_is_named_by_the_tree_and_bounded_by_the_checkpoints() {
    let sealed = Sealed::new();
    let victim = &sealed.frames[sealed.frames.len() / 3];
    let mut changed = sealed.files.clone();
    let bytes = changed.bytes(victim);
    let text = String::from_utf8_lossy(bytes).into_owned();
    assert!(text.contains("\"status\":\"ok\""), "{text}");
    let at = bytes.windows(12).position(|window| window == b"\"output_hash").unwrap() + 30;
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    changed.repair_from(victim.seq);
    sealed.finds(&changed, victim.seq, "its receipt tells another output");

    // The tree's own file made to agree: only the signatures are left, which name the span between two checkpoints.
    let place = victim.seq as usize * 32;
    let leaf = leaf_of(victim.seq, &changed.bytes(victim)[HEADER..]);
    changed.leaves[place..place + 32].copy_from_slice(&leaf);
    changed.write(sealed.folder.path());
    let said = verify(sealed.folder.path(), &[]);
    assert_eq!(said.status, 3, "{said:?}");
    let finding = &said.json()["findings"][0];
    let from = finding["seq"].as_u64().unwrap();
    assert!(from <= victim.seq && victim.seq - from < 200, "{finding:#}");
}

#[test]
fn a_removed_segment_is_missed_whichever_it_was() {
    let sealed = Sealed::new();
    for i in (0..sealed.files.segments.len()).rev() {
        let mut changed = sealed.files.clone();
        let (_, bytes) = changed.segments.remove(i);
        sealed.finds(&changed, number(&bytes[8..]), &format!("segment {i} removed"));
    }
}

#[test]
fn a_kept_checkpoint_finds_what_was_cut_off_together_with_its_checkpoints() {
    let sealed = Sealed::new();
    let all = &sealed.files.checkpoints;
    // Each note's last line is its signature.
    let (mut ends, mut at) = (Vec::new(), 0);
    for line in all.split_inclusive('\n') {
        at += line.len();
        if line.starts_with('\u{2014}') {
            ends.push(at);
        }
    }
    let newest = &all[ends[ends.len() - 2]..];
    let half = ends[ends.len() / 2];
    let start = ends[ends.len() / 2 - 1];
    let size: u64 = all[start..half].lines().nth(1).unwrap().parse().unwrap();
    let mut cut = sealed.files.clone();
    cut.checkpoints.truncate(half);
    let from = &sealed.frames[size as usize];
    cut.segments[from.segment].1.truncate(from.place.start);
    cut.segments.truncate(from.segment + 1);
    cut.leaves.truncate(size as usize * 32);
    let kept = sealed.folder.path().join("kept.txt");
    fs::write(&kept, newest).unwrap();
    let kept = kept.to_str().unwrap();

    verify(sealed.folder.path(), &["--checkpoint", kept]).fine();
    sealed.finds_with(&cut, size, "cut off with its checkpoints", &["--checkpoint", kept]);

    let other = format!("{}", SigningKey::generate().unwrap().public());
    sealed.files.write(sealed.folder.path());
    assert_eq!(
        verify(sealed.folder.path(), &["--key", &other]).status,
        3,
        "another key"
    );
}

/// Calls until the host is gone; the names of the receipts that came.
fn call_until_killed(url: &str, salt: u64) -> Vec<String> {
    let mut names = Vec::new();
    let Ok(mut caller) = Caller::connect(url) else {
        return names;
    };
    for i in 0_u64.. {
        let intent = json!({ "text": format!("{salt}-{i}: a@example.com {}", "x".repeat((i % 7 * 300) as usize)) });
        match caller.execute(REDACT, "scrub", &intent) {
            Ok(answer) => names.push(
                answer["receipt_id"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{answer:#}"))
                    .into(),
            ),
            Err(_) => break,
        }
    }
    names
}

/// The names of the receipts of all records from `from` on, made from the files' bytes.
fn receipts_from(folder: &Path, from: u64) -> HashSet<String> {
    let mut names = HashSet::new();
    for entry in fs::read_dir(folder.join("data/ledger/segments")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for frame in frames(0, &bytes).iter().filter(|frame| frame.seq >= from) {
            let leaf = leaf_of(frame.seq, &bytes[frame.place.clone()][HEADER..]);
            let short: String = leaf[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            names.insert(format!("{}-{short}", frame.seq));
        }
    }
    names
}

/// Starts a host and kills it before it may be ready.
fn kill_while_starting(folder: &Path, after: Duration) {
    let mut child = Command::new(binary())
        .args(["--output", "json", "up", "--listen", "127.0.0.1:0", "--data", "data"])
        .current_dir(folder)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// KILLS says how often; a soak without it means 500.
fn kills() -> u64 {
    let set = |name: &str| std::env::var(name).ok();
    let count = set("KILLS").map(|text| text.parse().expect("KILLS is a number"));
    count.unwrap_or(if set("SOAK_SECONDS").is_some() { 500 } else { 30 })
}

#[test]
fn soak_no_receipt_is_lost_however_often_the_host_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("KINETIC_LEDGER__SEGMENT_BYTES", "1048576"),
        ("KINETIC_LEDGER__CHECKPOINT_RECORDS", "200"),
        ("KINETIC_LEDGER__CHECKPOINT_WITHIN_MS", "20"),
    ];
    let mut random = Random::new();
    let started = Instant::now();
    let (mut records, mut told) = (0, 0);
    let mut host = Host::start_in(folder.path(), &variables);
    let kills = kills();
    for round in 0..kills {
        let life = Duration::from_micros(random.below(150_000));
        let names: Vec<String> = std::thread::scope(|scope| {
            let url = host.url.clone();
            let callers: Vec<_> = (0..3)
                .map(|salt| {
                    let url = url.clone();
                    scope.spawn(move || call_until_killed(&url, salt))
                })
                .collect();
            std::thread::sleep(life);
            host.kill();
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
        });
        if round % 3 == 2 {
            kill_while_starting(folder.path(), Duration::from_micros(random.below(60_000)));
        }
        host = Host::start_in(folder.path(), &variables);
        let after = host.get("/api/v1/ledger").json();
        let count = after["records"].as_u64().unwrap();
        assert!(
            count >= records + names.len() as u64,
            "round {round}: {records} then {after:#}"
        );
        let there = receipts_from(folder.path(), records);
        let lost: Vec<_> = names.iter().filter(|name| !there.contains(*name)).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        for name in names.iter().rev().take(2) {
            proven(&receipt(&host, &json!({ "receipt_id": name })));
        }
        let verified = verify(folder.path(), &[]).fine().json();
        assert_eq!(verified["first"], json!(0), "round {round}: {verified:#}");
        assert!(
            verified["records"].as_u64().unwrap() >= count,
            "round {round}: {verified:#}"
        );
        told += names.len();
        records = count;
    }
    println!(
        "{kills} kills in {:.1?}: {told} receipts that callers had were all there among {records} records",
        started.elapsed()
    );
    assert!(told > 0);
}
