//! Runtime events as in-toto statements: what the log's receipts say.
//!
//! Predicate type `urn:kinetic:predicate:runtime-event:v1`. Wall time is not part of it: the record carries it as an
//! annotation outside the hash. Digests of inputs and outputs: of JSON, over its compact form with sorted members; of
//! bytes, over the bytes; of bytes with further arguments, over those as JSON, a zero byte, and the bytes.

use std::io::Write as _;

use bytes::Bytes;
use kinetic_engine::{Answer, EngineError, Input, Outcome, Output, PeerCalls};
use kinetic_model::{Coded, Determinism, Digest, Sorted, SortedMap, Usage};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::Capsule;
use crate::executors::CalledBy;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What the receipts of runtime events are.
pub const RUNTIME_EVENT: &str = "urn:kinetic:predicate:runtime-event:v1";

/// Room for what a note says of a call itself: two digests, its fuel, how it ended, the name of a receipt.
const NOTE_BYTES: usize = 320;

/// What runs: part of every receipt, so that a result can be traced to the very program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// SHA-256 of the host's executable.
    pub host: Digest,
    /// SHA-256 of the engine's settings and version: what decides what code is compiled to.
    pub engine: Digest,
}

#[derive(Serialize)]
struct Statement<'a, P> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Subject<'a>; 1],
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: P,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'a str,
    digest: Sha256<'a>,
}

#[derive(Serialize)]
struct Sha256<'a> {
    sha256: &'a str,
}

/// What is the same for all calls of a capsule.
#[derive(Serialize)]
struct Begin<'a> {
    event: &'static str,
    capsule: CapsuleView<'a>,
    determinism: Determinism,
    engine: &'a Digest,
    host: &'a Digest,
    /// The record that says which policy was in force.
    policy_epoch: u64,
}

#[derive(Serialize)]
struct Execution<'a> {
    function: &'a str,
    /// Absent when somebody asked for the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    called_by: Option<&'a CalledBy>,
    input_hash: &'a Digest,
    output_hash: Option<Digest>,
    fuel: u64,
    instantiation_fuel: u64,
    memory_peak_bytes: u64,
    /// Records below this number were what the call could see.
    state_seq: u64,
    verdict: Verdict,
}

#[derive(Serialize)]
struct CapsuleView<'a> {
    urn: &'a str,
    version: &'a semver::Version,
    digest: &'a Digest,
    generation: u64,
}

impl<'a> CapsuleView<'a> {
    fn of(capsule: &'a Capsule) -> Self {
        Self {
            urn: capsule.manifest.id.as_str(),
            version: &capsule.manifest.version,
            digest: &capsule.digest,
            generation: capsule.generation,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "status")]
enum Verdict {
    /// It returned; for a `result`, `ok`.
    Ok,
    /// It returned `err`.
    Err,
    /// A limit, a trap or the host ended it.
    Failed { code: &'static str },
    /// Whoever asked went away.
    Cancelled,
}

/// How a call went, as a receipt tells it.
pub(crate) enum Ended<'a> {
    /// The guest or a limit ended it; with the digest of what it answered.
    Outcome(&'a Outcome, Option<Digest>),
    /// It returned, but its effects could not be committed.
    Refused(&'static str, &'a Usage),
    /// It was dropped.
    Cancelled,
}

/// The digests of what a call got and answered: made once, however many records tell of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashes {
    pub(crate) input: Digest,
    /// None when it gave no answer.
    pub(crate) output: Option<Digest>,
}

/// What a receipt says of the circumstances of a call.
pub(crate) struct Circumstances<'a> {
    pub(crate) build: &'a Build,
    pub(crate) state_seq: u64,
    pub(crate) policy_epoch: u64,
    /// The calls of other capsules it made.
    pub(crate) calls: Option<&'a PeerCalls>,
    /// What made it happen, if nobody asked.
    pub(crate) called_by: Option<&'a CalledBy>,
}

/// What is the same in all notes of a function.
#[derive(Serialize)]
struct NoteBegin<'a> {
    capsule: CapsuleView<'a>,
    function: &'a str,
}

/// What the receipt of its caller says of any call of a function, up to where the call itself begins.
pub(crate) fn note_begin(capsule: &Capsule, function: &str) -> Box<[u8]> {
    note_begin_of(CapsuleView::of(capsule), function)
}

fn note_begin_of(capsule: CapsuleView<'_>, function: &str) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(512);
    let _ = serde_json::to_writer(&mut bytes, &NoteBegin { capsule, function });
    // The members go on.
    bytes.pop();
    bytes.into()
}

/// What the receipt of its caller says of a call, behind [`note_begin`]; with the name of its own receipt, where it has one.
pub(crate) fn note(begin: &[u8], outcome: &Outcome, hashes: &Hashes, receipt_id: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(begin.len() + NOTE_BYTES);
    bytes.extend_from_slice(begin);
    let _ = write!(bytes, r#","input_hash":"{}","output_hash":"#, hashes.input);
    let _ = match &hashes.output {
        Some(output) => write!(bytes, r#""{output}""#),
        None => bytes.write_all(b"null"),
    };
    let _ = write!(bytes, r#","fuel":{},"verdict":"#, outcome.usage.fuel);
    let _ = serde_json::to_writer(&mut bytes, &verdict(&outcome.result));
    if let Some(receipt_id) = receipt_id {
        bytes.extend_from_slice(br#","receipt_id":"#);
        let _ = serde_json::to_writer(&mut bytes, receipt_id);
    }
    bytes.push(b'}');
    bytes
}

fn verdict(result: &Result<Answer, EngineError>) -> Verdict {
    match result {
        Ok(Answer::Ok(_)) => Verdict::Ok,
        Ok(Answer::Err(_)) => Verdict::Err,
        Err(error) => Verdict::Failed { code: error.code() },
    }
}

/// The statement of a call.
pub(crate) fn execution(
    capsule: &Capsule,
    function: &str,
    input: &Digest,
    ended: &Ended<'_>,
    around: &Circumstances<'_>,
) -> Bytes {
    let (verdict, output_hash, usage) = match ended {
        Ended::Outcome(outcome, output_hash) => (verdict(&outcome.result), *output_hash, outcome.usage),
        Ended::Refused(code, usage) => (Verdict::Failed { code }, None, **usage),
        Ended::Cancelled => (Verdict::Cancelled, None, Usage::default()),
    };
    let execution = Execution {
        function,
        called_by: around.called_by,
        input_hash: input,
        output_hash,
        fuel: usage.fuel,
        instantiation_fuel: usage.instantiation_fuel,
        memory_peak_bytes: usage.memory_peak_bytes,
        state_seq: around.state_seq,
        verdict,
    };
    let begin = capsule.receipts_begin.get_or_init(|| begin(capsule, around));
    let mut bytes = Vec::with_capacity(begin.len() + 512);
    bytes.extend_from_slice(begin);
    // The members go on where those of the beginning ended: a comma stands where their own brace would.
    let _ = serde_json::to_writer(&mut bytes, &execution);
    if let Some(brace) = bytes.get_mut(begin.len()) {
        *brace = b',';
    }
    if let Some(calls) = around.calls {
        // In place of the brace that ends the call's members.
        bytes.pop();
        let _ = write!(
            bytes,
            r#","calls":{{"count":{},"digest":"{}","first":["#,
            calls.count(),
            calls.digest()
        );
        for (at, note) in calls.first().iter().enumerate() {
            if at > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(note);
        }
        bytes.extend_from_slice(b"]}}");
    }
    bytes.push(b'}');
    bytes.into()
}

/// A statement of a call up to where the call itself begins.
fn begin(capsule: &Capsule, around: &Circumstances<'_>) -> Box<[u8]> {
    let begin = Begin {
        event: "execution",
        capsule: CapsuleView::of(capsule),
        determinism: capsule.manifest.governance.determinism,
        engine: &around.build.engine,
        host: &around.build.host,
        policy_epoch: around.policy_epoch,
    };
    let whole = statement(capsule.manifest.id.as_str(), &capsule.digest, begin);
    // Without the braces that end predicate and statement.
    whole.strip_suffix(b"}}").unwrap_or(&whole).into()
}

/// The statement of a step of a capsule's life, or of a swap; `document` has its `event`.
pub(crate) fn step(urn: &str, digest: &Digest, mut document: Value, build: &Build) -> Bytes {
    if let Some(members) = document.as_object_mut() {
        members.insert("engine".into(), json!(build.engine));
        members.insert("host".into(), json!(build.host));
    }
    statement(urn, digest, document)
}

/// The statement that a host started: which build, under which policy.
pub(crate) fn host_started(build: &Build, policy: &Digest) -> Bytes {
    let predicate = json!({
        "event": "host-started",
        "engine": build.engine,
        "host": build.host,
        "policy": policy,
    });
    statement("kinetic", &build.host, predicate)
}

fn statement(name: &str, digest: &Digest, predicate: impl Serialize) -> Bytes {
    let statement = Statement {
        kind: STATEMENT,
        subject: [Subject {
            name,
            digest: Sha256 { sha256: &digest.hex() },
        }],
        predicate_type: RUNTIME_EVENT,
        predicate,
    };
    let mut bytes = Vec::with_capacity(1_024);
    // Texts and numbers always serialise.
    let _ = serde_json::to_writer(&mut bytes, &statement);
    bytes.into()
}

/// The arguments of an input as JSON, compact, with sorted members; without the bytes it was fed.
pub(crate) fn arguments_json(input: &Input) -> Vec<u8> {
    let (Input::Json(arguments) | Input::Bytes { rest: arguments, .. }) = input;
    let mut json = Vec::with_capacity(256);
    let _ = serde_json::to_writer(&mut json, &SortedMap(arguments));
    json
}

/// The digest of an input; `arguments` is [`arguments_json`]'s.
pub(crate) fn input_digest(input: &Input, arguments: &[u8]) -> Digest {
    match input {
        Input::Json(_) => Digest::of(arguments),
        Input::Bytes { bytes, rest } if rest.is_empty() => Digest::of(bytes),
        Input::Bytes { bytes, .. } => {
            let mut hasher = sha2::Sha256::new();
            hasher.update(arguments);
            hasher.update([0]);
            hasher.update(bytes);
            Digest::from_bytes(hasher.finalize().into())
        }
    }
}

/// The digest of an input whose arguments nobody wrote down as JSON.
pub(crate) fn input_hash(input: &Input) -> Digest {
    match input {
        Input::Bytes { bytes, rest } if rest.is_empty() => Digest::of(bytes),
        _ => input_digest(input, &arguments_json(input)),
    }
}

/// The digest of what a call answered; none when it did not.
pub(crate) fn answer_digest(result: &Result<Answer, EngineError>) -> Option<Digest> {
    match result {
        Ok(Answer::Ok(output) | Answer::Err(output)) => Some(output_digest(output)),
        Err(_) => None,
    }
}

/// The digest of an output.
pub(crate) fn output_digest(output: &Output) -> Digest {
    match output {
        Output::Json(value) => json_digest(value),
        Output::Bytes(bytes) => Digest::of(bytes),
    }
}

/// SHA-256 over compact JSON with sorted members.
fn json_digest(value: &Value) -> Digest {
    let mut text = Vec::with_capacity(256);
    let _ = serde_json::to_writer(&mut text, &Sorted(value));
    Digest::of(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(result: Result<Answer, EngineError>, receipt_id: Option<&str>) -> String {
        let (version, digest) = (semver::Version::new(1, 2, 0), Digest::of(b"component"));
        let capsule = CapsuleView {
            urn: "urn:acme:actionspace:solver:source:v1",
            version: &version,
            digest: &digest,
            generation: 3,
        };
        let hashes = Hashes {
            input: Digest::of(b"in"),
            output: answer_digest(&result),
        };
        let usage = Usage {
            fuel: 17,
            ..Usage::default()
        };
        let outcome = Outcome {
            result,
            usage,
            logs: kinetic_engine::Logs::default(),
            tape: Vec::new(),
            extensions: kinetic_engine::Extensions::default(),
        };
        let begin = note_begin_of(capsule, "acme:numbers/source#half");
        String::from_utf8(note(&begin, &outcome, &hashes, receipt_id)).unwrap()
    }

    /// With what stands behind the digest of the input.
    fn expected(rest: &str) -> String {
        format!(
            r#"{{"capsule":{{"urn":"urn:acme:actionspace:solver:source:v1","version":"1.2.0","digest":"{}","generation":3}},"function":"acme:numbers/source#half","input_hash":"{}",{rest}}}"#,
            Digest::of(b"component"),
            Digest::of(b"in"),
        )
    }

    #[test]
    fn a_note_is_compact_json_with_its_members_in_order() {
        let answer = || Output::Json("out".into());
        let hash = Digest::of(br#""out""#);
        let ok = format!(r#""output_hash":"{hash}","fuel":17,"verdict":{{"status":"ok"}}"#);
        assert_eq!(noted(Ok(Answer::Ok(answer())), None), expected(&ok));
        let err = format!(r#""output_hash":"{hash}","fuel":17,"verdict":{{"status":"err"}}"#);
        assert_eq!(noted(Ok(Answer::Err(answer())), None), expected(&err));
        let fenced = EngineError::Fenced {};
        let failed = format!(
            r#""output_hash":null,"fuel":17,"verdict":{{"status":"failed","code":"{}"}},"receipt_id":"a \"name\"""#,
            fenced.code()
        );
        assert_eq!(noted(Err(fenced), Some("a \"name\"")), expected(&failed));
    }
}
