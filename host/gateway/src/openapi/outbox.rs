//! The routes of the outbox: what they take, what they answer.

use kinetic_kernel::OutboxState;
use serde_json::{Value, json};

use super::paths::{JSON, Operation, content, ok, path, schema};
use super::schemas::{closed, count, list, object, text};

fn new(id: &'static str, summary: &'static str, answer: (&'static str, Value)) -> Operation {
    Operation::new(id, "outbox", summary, answer)
}

fn entry(description: &str) -> (&'static str, Value) {
    ok(description, content(JSON, schema("OutboxEntry")))
}

impl Operation {
    fn of_entry(self) -> Self {
        self.with(path("id", "The entry's id.", json!({ "type": "string" })))
    }
}

pub(super) fn paths() -> Value {
    let accepted = json!({
        "description": "It is in the ledger and on the disk. The same again answers the entry that is there.",
        "content": content(JSON, schema("OutboxEntry")),
    });
    let reason = json!({
        "name": "reason", "in": "query", "required": true, "description": "Why; it is recorded.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 1_024 },
    });
    json!({
        "/api/v1/outbox": {
            "get": new(
                "listOutbox", "What waits for registries, what was delivered lately, and what is not tried any more",
                ok("In the order it came.", content(JSON, schema("Outbox"))),
            ).write(),
            "post": new("postOutbox", "Have a capsule delivered to a registry, now or when it is back", ("202", accepted))
                .described("It is verified as at admission; it is neither compiled nor stored as one of this host's.")
                .takes(content(JSON, schema("OutboxPublication"))).write(),
        },
        "/api/v1/outbox/{id}": {
            "get": new("showOutbox", "One entry of the outbox", entry("The entry.")).of_entry().write(),
            "delete": new("dropOutbox", "Take an entry out of the outbox", entry("What it was."))
                .of_entry().with(reason).write(),
        },
        "/api/v1/outbox/{id}/retry": { "post": new(
            "retryOutbox", "Try an entry at once; a dead one is tried again from now on", entry("How it stands."),
        ).of_entry().write() },
    })
}

/// The schemas of what they take and answer.
pub(super) fn schemas() -> Value {
    let states = OutboxState::ALL.map(OutboxState::as_str);
    let capsule = json!({
        "kind": { "const": "capsule" },
        "urn": schema("Urn"),
        "version": schema("Version"),
        "digest": schema("Digest"),
        "manifest": schema("Digest"),
        "envelope": schema("Digest"),
        "size_bytes": count("Size of the component, in bytes."),
    });
    let promotion = json!({
        "kind": { "const": "promotion" },
        "urn": schema("Urn"),
        "version": schema("Version"),
        "digest": schema("Digest"),
        "event_cid": text("The promotion's event, by its content."),
        "envelope": schema("Digest"),
        "size_bytes": count("Size of the signed envelope, in bytes."),
    });
    let entry = json!({
        "id": text("Made from the registry's name and the digests of what is delivered."),
        "number": count("The lower came first."),
        "registry": text("The registry it is for, by its name on this host."),
        "payload": { "oneOf": [object(capsule, &[]), object(promotion, &[])] },
        "bytes": count("Bytes kept for it."),
        "since_unix_ms": count("When it was accepted, or last tried anew by somebody, in milliseconds since 1970."),
        "state": { "enum": states },
        "attempts": count("Failed tries since then."),
        "code": text("The stable code of the last failure."),
        "reason": text("The last failure in words; of what was delivered, how that is known."),
        "next_try_ms": count("In how many milliseconds it is tried next, at the earliest."),
    });
    json!({
        "Outbox": object(json!({
            "entries": list("OutboxEntry"),
            "waiting": count("Entries that wait."),
            "dead": count("Entries that are not tried any more."),
            "bytes": count("Bytes kept for both."),
        }), &[]),
        "OutboxEntry": object(entry, &["code", "reason", "next_try_ms"]),
        "OutboxPublication": closed(json!({
            "manifest": text("The exact text of manifest.json."),
            "receipt": { "type": "object", "description": "The signed receipt." },
            "component": { "type": "string", "contentEncoding": "base64", "description": "The component." },
            "registry": text("The registry it is for, by its name on this host."),
        }), &[]),
    })
}
