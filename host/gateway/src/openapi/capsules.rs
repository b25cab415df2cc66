//! The routes of capsules' lives and of the quarantine: what they take, what they answer.

use kinetic_kernel::{LastResult, State, Step, WatchState};
use serde_json::{Value, json};

use super::paths::{JSON, Operation, content, ok, path, schema};
use super::schemas::{closed, count, list, object, text};

fn new(id: &'static str, summary: &'static str, answer: (&'static str, Value)) -> Operation {
    Operation::new(id, "capsules", summary, answer)
}

/// An answer of this schema.
fn answer(description: &str, name: &str) -> (&'static str, Value) {
    ok(description, content(JSON, schema(name)))
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "default": false, "description": description })
}

impl Operation {
    fn of_capsule(self) -> Self {
        self.with(path("urn", "The capsule, whatever its version.", schema("Urn")))
    }

    fn of_digest(self) -> Self {
        self.with(path("digest", "SHA-256 of the component.", schema("Digest")))
    }
}

pub(super) fn paths() -> Value {
    json!({
        "/api/v1/capsules": { "get": new(
            "listCapsules", "How every capsule stands: state, generation, limits and what was used of them",
            answer(
                "Those that are active, suspended or pinned, sorted by URN; and what lies in watched folders and registries.",
                "ProcessList",
            ),
        ).write() },
        "/api/v1/capsules/{urn}": { "get": new(
            "showCapsule", "How one capsule stands", answer("Nothing is fetched for the answer.", "Process"),
        ).with(path("urn", "The capsule; with a pin, that version of it.", schema("Reference"))).write() },
        "/api/v1/capsules/{urn}/swap": { "post": swap() },
        "/api/v1/capsules/{urn}/rollback": { "post": rollback() },
        "/api/v1/capsules/{urn}/suspend": { "post": suspend() },
        "/api/v1/capsules/{urn}/resume": { "post": new(
            "resumeCapsule", "Let calls of a suspended capsule in again", answer("How it stands.", "Process"),
        ).of_capsule().write() },
        "/api/v1/capsules/{urn}/limits": { "put": limits() },
        "/api/v1/capsules/{urn}/bind": { "put": bind() },
        "/api/v1/quarantine": { "get": new(
            "listQuarantine", "Everything that was refused or failed too often, why, and what to do",
            answer("By digest.", "QuarantineList"),
        ).write() },
        "/api/v1/quarantine/{digest}": { "get": new(
            "showQuarantined", "One entry of the quarantine", answer("The entry.", "Quarantined"),
        ).of_digest().write() },
        "/api/v1/quarantine/{digest}/release": { "post": release() },
    })
}

fn swap() -> Value {
    let body = closed(
        json!({
            "to": {
                "type": "string", "examples": ["1.2.0", "newest"],
                "description": "A version, a digest as sha256:…, or newest.",
            },
            "accept_differences": flag("Go on although recorded calls are answered otherwise; only versions of D0 and D1 are asked them."),
            "discard_state": flag("Go on although the state cannot be handed over; what the present version holds is lost."),
            "plan": flag("Do everything up to where calls would notice, and say what would happen."),
        }),
        &["accept_differences", "discard_state", "plan"],
    );
    let done = json!({ "oneOf": [schema("Swapped"), schema("SwapPlan")] });
    new(
        "swapCapsule",
        "Put a version in the place of the active one, while calls flow",
        ok("It is what the URN means now; with plan, what would happen.", content(JSON, done)),
    )
    .described(
        "No call fails by it. A version that is not there, does not fit or does not start is refused before anything is touched; \
         one that fails on probation is replaced by the one before. It goes on to its end also when nobody waits for the answer.",
    )
    .of_capsule()
    .takes(content(JSON, body))
    .write()
}

fn rollback() -> Value {
    let members = json!({ "discard_state": flag("Go on although the state cannot be handed back.") });
    new(
        "rollbackCapsule",
        "Go back to the version before",
        answer("It is what the URN means now.", "Swapped"),
    )
    .described("At once while it stands by, else by a swap.")
    .of_capsule()
    .may_take(content(JSON, closed(members, &["discard_state"])))
    .write()
}

fn suspend() -> Value {
    let reason =
        json!({ "type": "string", "minLength": 1, "maxLength": 1_024, "description": "Callers get to read it." });
    new(
        "suspendCapsule",
        "Let no call of a capsule in until it is resumed",
        answer("How it stands. Calls under way end.", "Process"),
    )
    .described("Calls are answered 503 meanwhile. It holds across restarts.")
    .of_capsule()
    .takes(content(JSON, closed(json!({ "reason": reason }), &[])))
    .write()
}

fn bind() -> Value {
    let body = json!({
        "interface": { "type": "string", "examples": ["acme:db/query"], "description": "What the capsule requires, with or without its version." },
        "provider": schema("Urn"),
    });
    new(
        "bindCapsule",
        "Let another capsule provide an interface to this one",
        answer("How it stands.", "Process"),
    )
    .described(
        "From the capsule's next call on, without a restart of anything; it holds across restarts. Refused when the provider \
         lacks a function that is imported, when a policy says no, or when it uses the capsule itself.",
    )
    .of_capsule()
    .takes(content(JSON, closed(body, &[])))
    .write()
}

fn limits() -> Value {
    new(
        "limitCapsule",
        "Set limits of a capsule below those of its manifest",
        answer("How it stands.", "Process"),
    )
    .described(
        "They hold from the next call on and across restarts; what is not named is what the manifest gets again.",
    )
    .of_capsule()
    .takes(content(JSON, schema("LimitsAsk")))
    .write()
}

fn release() -> Value {
    let envelope = json!({
        "type": "object",
        "description": "A DSSE envelope of an in-toto statement with predicate type urn:kinetic:predicate:quarantine-release:v1, \
                        signed with a key that is trusted for the capsule's namespace; `kinetic quarantine release` makes one.",
    });
    new(
        "releaseQuarantined",
        "Let quarantined bytes be tried again, by a signed override",
        answer("The entry that was.", "Quarantined"),
    )
    .described("They are judged anew when they are next asked for. An override holds for one entry, once.")
    .of_digest()
    .takes(content(JSON, envelope))
    .write()
}

/// The schemas of what these routes answer.
pub(super) fn schemas() -> Value {
    let side = json!({
        "version": schema("Version"),
        "digest": schema("Digest"),
        "generation": count("Counts the flips of the URN on this host, from 1."),
    });
    let shadow = json!({
        "calls": count("Recorded calls that were made again with the new version, without effects."),
        "differences": count("Those that ended otherwise than recorded."),
        "first": text("The first of those."),
    });
    let step = json!({ "step": text("Its name."), "took_us": count("How long it took, in microseconds.") });
    let urns = json!({ "type": "array", "items": schema("Urn"), "description": "Active capsules that use it." });
    let steps = |of: Value| json!({ "type": "array", "items": of });
    json!({
        "Process": process(urns.clone()),
        "ProcessList": object(json!({ "capsules": list("Process"), "watched": list("Watched") }), &[]),
        "Watched": watched(),
        "Side": object(side, &[]),
        "Shadow": object(shadow, &["first"]),
        "Swapped": object(json!({
            "urn": schema("Urn"), "from": schema("Side"), "to": schema("Side"),
            "steps": steps(object(step, &[])),
            "shadow": schema("Shadow"),
            "state_bytes": count("Bytes of state that were handed over; absent when there was none."),
            "pause_us": count("How long calls waited at most, in microseconds."),
            "probation_ms": count("How long the new version is on probation, in milliseconds."),
        }), &["state_bytes"]),
        "SwapPlan": object(json!({
            "urn": schema("Urn"), "from": schema("Side"), "to": schema("Side"),
            "steps": steps(text("What would happen.")),
            "shadow": schema("Shadow"),
            "calls": count("Calls that are under way in the version that goes."),
            "dependents": urns,
        }), &[]),
        "Quarantined": object(json!({
            "digest": schema("Digest"),
            "manifest": schema("Digest"),
            "urn": text("What it said it was."),
            "version": text("Its version."),
            "step": { "enum": [
                Step::Bytes, Step::Receipt, Step::Manifest, Step::Link, Step::Compile, Step::Probe, Step::Swap, Step::Probation,
                Step::Strikes, Step::Revoked,
            ], "description": "Where it failed." },
            "code": text("The stable code."),
            "message": text("What was wrong."),
            "fix": text("What to do."),
            "at_unix_ms": count("When, in milliseconds since 1970."),
        }), &[]),
        "QuarantineList": object(json!({ "quarantined": list("Quarantined") }), &[]),
    })
}

fn watched() -> Value {
    object(
        json!({
            "entry": text("The name of the watched folder and, behind a slash, of the capsule folder in it; or registries/ and the URN that is looked for there."),
            "state": { "enum": WatchState::ALL, "description": "What became of it." },
            "urn": schema("Urn"),
            "version": schema("Version"),
            "code": text("The stable code of why it was not taken."),
            "message": text("Why it was not taken."),
            "fix": text("What to do."),
            "at_unix_ms": count("Since when, in milliseconds since 1970."),
        }),
        &["urn", "version", "code", "message", "fix"],
    )
}

fn trigger() -> Value {
    let last = json!({
        "at_unix_ms": count("When it ended, in milliseconds since 1970."),
        "result": { "enum": [LastResult::Ok, LastResult::Failed, LastResult::Waiting], "description": "How it went." },
        "why": text("Why it did not go well."),
        "receipt_id": text("The name of its receipt in the ledger."),
    });
    object(
        json!({
            "when": text("When it calls: a topic, a time in between, or a cron pattern."),
            "function": text("The function it calls."),
            "last": object(last, &["why", "receipt_id"]),
        }),
        &["last"],
    )
}

fn process(dependents: Value) -> Value {
    let counts = json!({
        "calls": count("Calls since it became active."),
        "failures": count("Calls that the capsule itself failed: traps, and limits it ran into."),
        "fuel": count("Fuel of all calls together."),
        "memory_peak_bytes": count("The most memory a call held."),
        "p50_ns": count("Half of the calls took at most this."),
        "p99_ns": count("99 % of the calls took at most this."),
    });
    let used = json!({
        "interface": text("What it requires."),
        "provider": text("Who provides it now: a URN, behind it a digest when it is pinned."),
    });
    object(
        json!({
            "urn": schema("Urn"),
            "version": schema("Version"),
            "digest": schema("Digest"),
            "state": { "enum": State::ALL },
            "reason": text("Why, if there is more to say."),
            "generation": count("Counts the flips of the URN on this host, from 1."),
            "pinned": { "type": "boolean", "description": "Calls reach it only when they pin it." },
            "zone": text("How far it is trusted."),
            "tenant": text("Whose quota its calls count for."),
            "determinism": text("How repeatable its results are."),
            "uses": { "type": "array", "items": object(used, &[]), "description": "Who provides what it requires." },
            "runs_in": {
                "enum": ["process", "worker"],
                "description": "Where its calls run: in the host's own process, or in a process of their own.",
            },
            "dependents": dependents,
            "limits": schema("Limits"),
            "counts": object(counts, &[]),
            "last_error": text("What its last failed call failed with."),
            "calls_running": count("Calls that run now."),
            "stands_by": schema("Version"),
            "triggers": { "type": "array", "items": trigger(), "description": "What makes the host call it by itself." },
            "activated_unix_ms": count("When it became active, in milliseconds since 1970."),
        }),
        &["reason", "stands_by", "uses", "last_error"],
    )
}
