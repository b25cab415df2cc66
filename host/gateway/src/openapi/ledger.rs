//! The routes of the ledger and the state: what they take, what they answer.

use serde_json::{Value, json};

use super::paths::{JSON, OCTETS, Operation, STREAM, content, contents, ok, path};

/// An answer of these members, all there.
pub(super) fn answer(description: &str, members: Value) -> (&'static str, Value) {
    ok(description, content(JSON, object(members)))
}

pub(super) fn object(members: Value) -> Value {
    let required: Vec<&String> = members
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .collect();
    json!({ "type": "object", "required": required, "properties": members })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn seq() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "A record's number." })
}

pub(super) fn optional_seq() -> Value {
    json!({ "type": ["integer", "null"], "minimum": 0, "description": "A record's number." })
}

pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

pub(super) fn optional_text(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

/// A key or a value.
fn bytes() -> Value {
    let base64 = json!({ "type": "string", "contentEncoding": "base64" });
    json!({
        "description": "A string when the bytes are UTF-8, an object with base64 otherwise.",
        "oneOf": [
            { "type": "string" },
            { "type": "object", "required": ["base64"], "properties": { "base64": base64 }, "additionalProperties": false },
        ],
    })
}

fn or_null(schema: Value) -> Value {
    json!({ "oneOf": [schema, { "type": "null" }] })
}

pub(super) fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

impl Operation {
    fn of_owner(self) -> Self {
        let what = "Whose keys: host, a capsule's URN, or a type such as type:solver:redact.";
        self.with(path("owner", what, json!({ "type": "string" })))
    }

    fn of_key(self) -> Self {
        let what = "The key, percent-encoded; 1 to 2048 bytes of any value.";
        self.of_owner().with(path("key", what, json!({ "type": "string" })))
    }

    fn of_named_branch(self) -> Self {
        self.of_owner().with(path(
            "name",
            "The branch, percent-encoded.",
            json!({ "type": "string" }),
        ))
    }

    fn on_branch(self) -> Self {
        self.with(query(
            "branch",
            "The branch; main without it.",
            json!({ "type": "string" }),
        ))
        .with(query(
            "branch-owner",
            "Whose branch; the owner's in the path without it.",
            json!({ "type": "string" }),
        ))
    }

    fn at_record(self) -> Self {
        self.with(query(
            "at",
            "Show what the records below this number left; all records without it.",
            seq(),
        ))
    }

    fn page(self, after: &str) -> Self {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000 });
        self.with(query("limit", "How many at most.", limit))
            .with(query(after, "Go on behind next.", json!({})))
    }

    fn if_seq(self) -> Self {
        let what = "Only if that record wrote what the key holds; none: only if it does not exist. Else 409.";
        self.with(query("if-seq", what, json!({ "type": "string" })))
    }
}

fn new(id: &'static str, summary: &'static str, answer: (&'static str, Value)) -> Operation {
    Operation::new(id, "ledger", summary, answer)
}

pub(super) fn paths() -> Value {
    let mut all = records();
    for more in [keys(), changes(), branches()] {
        if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
            all.extend(more);
        }
    }
    all
}

fn records() -> Value {
    let hashes = || list(text("A hash, hexadecimal."));
    let any = || json!({ "type": "object" });
    json!({
        "/api/v1/receipts/{id}": { "get": new(
            "getReceipt", "A receipt and the proof that it is in the log",
            answer("A DSSE envelope and its audit path to a signed checkpoint.", json!({
                "receipt_id": text("Its name."), "written_at_unix_ns": text("When, in nanoseconds since 1970."),
                "envelope": any(), "proof": any(),
            })),
        ).with(path("id", "The receipt_id of an answer.", json!({ "type": "string" }))).write() },
        "/api/v1/ledger": { "get": new(
            "ledgerStatus", "How far the log is, and its newest checkpoint",
            answer("The log.", json!({
                "records": seq(), "first": seq(), "synced": seq(), "key": text("The key that signs checkpoints."),
                "checkpoint": optional_text("A C2SP signed note."), "failure": optional_text("What stopped it."),
            })),
        ).write() },
        "/api/v1/ledger/consistency": { "get": new(
            "ledgerConsistency", "The proof that the log only grew",
            answer("RFC 6962.", json!({
                "from": seq(), "tree_size": seq(), "proof": hashes(), "checkpoint": text("A C2SP signed note."),
            })),
        ).with(query("from", "The records of the log that you know.", seq())).write() },
        "/api/v1/ledger/records/{seq}": { "get": new(
            "getRecord", "What one record is",
            answer("In brief; members that its receipt does not have are null.", json!({
                "seq": seq(), "written_at_unix_ns": text("When, in nanoseconds since 1970."),
                "event": optional_text("What happened."), "subject": optional_text("To what."),
                "function": optional_text("The function called."), "writes": { "type": "integer" },
                "changes": { "type": "integer" }, "statement": { "type": ["object", "null"] },
            })),
        ).with(path("seq", "The record.", seq())).write() },
    })
}

fn keys() -> Value {
    let entry = || json!({ "key": bytes(), "value": bytes(), "seq": seq() });
    let owned = || json!({ "owner": text("Whose key."), "key": bytes(), "value": bytes(), "seq": seq() });
    let place = || or_null(object(json!({ "owner": text("Whose key."), "key": bytes() })));
    let written = |description: &str| answer(description, json!({ "seq": seq() }));
    let mut value = content(JSON, bytes());
    let mut found = content(JSON, object(entry()));
    for content in [&mut value, &mut found] {
        if let Some(content) = content.as_object_mut() {
            content.insert(OCTETS.into(), json!({ "schema": {} }));
        }
    }
    let revision = object(json!({
        "seq": seq(), "branch": text("Where it was written."), "deleted": { "type": "boolean" }, "value": or_null(bytes()),
    }));
    json!({
        "/api/v1/state": { "get": new(
            "scanState", "The keys of all owners",
            answer("In order.", json!({ "at": seq(), "entries": list(object(owned())), "next": place() })),
        ).at_record().on_branch().page("after").with(query("after-owner", "The owner of after.", json!({}))).write() },
        "/api/v1/state/{owner}": { "get": new(
            "listState", "The keys of an owner",
            answer("In order.", json!({ "at": seq(), "entries": list(object(entry())), "next": or_null(bytes()) })),
        ).of_owner().with(query("prefix", "What the keys begin with.", json!({}))).at_record().on_branch().page("after").write() },
        "/api/v1/state/{owner}/{key}": {
            "get": new("getState", "What a key holds", ok("With Accept: application/octet-stream the bare value, x-kinetic-seq beside it.", found))
                .of_key().at_record().on_branch().write(),
            "put": new("putState", "Set a key", written("It is set, by that record."))
                .of_key().if_seq().on_branch().takes(value).write(),
            "delete": new("deleteState", "Delete a key", written("It is deleted, by that record."))
                .of_key().if_seq().on_branch().write(),
        },
        "/api/v1/state/{owner}/{key}/history": { "get": new(
            "stateHistory", "The writes of a key, newest first",
            answer("next is the before of the following page.", json!({ "revisions": list(revision), "next": optional_seq() })),
        ).of_key().on_branch().page("before").write() },
    })
}

fn changes() -> Value {
    let change = json!({
        "type": "object", "required": ["key", "value", "seq"],
        "properties": { "owner": text("Whose key; where no owner was named."), "key": bytes(), "value": or_null(bytes()), "seq": seq() },
    });
    let page = object(json!({ "changes": list(change), "next": seq() }));
    let word = || json!({ "type": "string" });
    let wait = json!({ "type": "integer", "minimum": 0, "maximum": 60_000, "default": 0 });
    let last = json!({
        "name": "last-event-id", "in": "header", "schema": word(),
        "description": "With text/event-stream: the id of the change to go on behind, of a stream that was asked for the same.",
    });
    json!({ "/api/v1/state-changes": { "get": new(
        "watchState", "What changes in the state, in the order of the log",
        ok("A page, or a stream.", contents(&[(JSON, page), (STREAM, word())])),
    )
    .described(
        "Each write of a key, none left out; value is null where the key was deleted. A branch has its own writes, not its \
         parent's. A page holds whole records, so it may have more changes than limit; it may have none though there are \
         more, and next is the from of the following one. With Accept: text/event-stream the changes come as they are made, \
         as events named change. Their id is the record's number, for more changes of one record followed by /1, /2 and so \
         on. The first frame is named start and holds next, where it begins; problem is the end. limit and wait_ms are for \
         pages.",
    )
    .with(query("owner", "Whose keys: host, a capsule's URN, or a type; everybody's without it.", word()))
    .with(query("prefix", "What the keys begin with; goes with owner.", word()))
    .with(query("from", "The record to begin at, or now; now without it.", word()))
    .with(query("branch", "The branch; main without it.", word()))
    .with(query("branch-owner", "Whose branch; the owner's without it.", word()))
    .with(query("limit", "How many at most, about.", json!({ "type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000 })))
    .with(query("wait_ms", "How long to wait for the first one.", wait))
    .with(last)
    .write() } })
}

fn branches() -> Value {
    let branch = object(json!({
        "owner": text("Whose branch."), "name": text("Its name."), "parent": text("What it lies over."),
        "parent_owner": optional_text("Whose branch that is; null for main."),
        "base": seq(), "created": seq(),
    }));
    let create = json!({
        "type": "object", "required": ["owner", "name"], "additionalProperties": false,
        "properties": {
            "owner": text("Whose branch."), "name": text("Its name."), "parent": optional_text("main without it."),
            "parent_owner": optional_text("The owner without it."), "at": optional_seq(),
        },
    });
    let merge = json!({
        "type": "object", "additionalProperties": false,
        "properties": { "policy": { "enum": ["fail_on_conflict", "ours", "theirs"], "default": "fail_on_conflict" } },
    });
    let side = || or_null(object(json!({ "value": bytes(), "seq": seq() })));
    let difference = object(json!({
        "owner": text("Whose key."), "key": bytes(), "base": side(), "ours": side(), "theirs": side(),
        "conflicts": { "type": "boolean", "description": "The parent changed it too, to something else." },
    }));
    let next = or_null(object(json!({ "owner": text("Whose key."), "key": bytes() })));
    let created = json!({ "owner": text("Whose branch."), "name": text("Its name."), "base": seq(), "seq": seq() });
    json!({
        "/api/v1/state-branches": {
            "get": new("listBranches", "All branches of the state", answer("By age.", json!({ "branches": list(branch) })))
                .at_record().write(),
            "post": new(
                "createBranch", "Create a branch of the state",
                ("201", json!({ "description": "It is there.", "content": content(JSON, object(created)) })),
            ).described("It shows what its parent held below record at, until it is written to.").takes(content(JSON, create)).write(),
        },
        "/api/v1/state-branches/{owner}/{name}": { "delete": new(
            "discardBranch", "Discard a branch", answer("It is gone, by that record.", json!({ "seq": seq() })),
        ).of_named_branch().write() },
        "/api/v1/state-branches/{owner}/{name}/diff": { "get": new(
            "diffBranch", "What a branch changed",
            answer("In order of the keys.", json!({ "at": seq(), "differences": list(difference), "next": next })),
        ).of_named_branch().at_record().page("after").with(query("after-owner", "The owner of after.", json!({}))).write() },
        "/api/v1/state-branches/{owner}/{name}/merge": { "post": new(
            "mergeBranch", "Bring a branch's changes into its parent",
            answer("One record; null when there was nothing to write. The branch stays.", json!({
                "seq": optional_seq(), "written": { "type": "integer" },
            })),
        ).of_named_branch().takes(content(JSON, merge)).write() },
    })
}
