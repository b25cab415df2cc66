//! The routes of telemetry: what they take, what they answer.

use serde_json::{Value, json};

use super::ledger::{answer, list, object, query, text};
use super::paths::{JSON, Operation, STREAM, content, contents, ok};
use crate::telemetry::PUSH;

const LINES: [&str; 4] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    STREAM,
];

fn new(id: &'static str, summary: &'static str, answer: (&'static str, Value)) -> Operation {
    Operation::new(id, "telemetry", summary, answer)
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

/// An object with one member more, which may be missing.
fn perhaps(mut object: Value, name: &str, member: Value) -> Value {
    if let Some(members) = object.get_mut("properties").and_then(Value::as_object_mut) {
        members.insert(name.into(), member);
    }
    object
}

pub(super) fn paths() -> Value {
    json!({
        PUSH: { "post": push() },
        "/api/v1/telemetry": { "get": new(
            "telemetryStatus", "What arrived, how full the buffer is, how far the tables are",
            ok("How telemetry is.", content(JSON, status())),
        ).write() },
        "/api/v1/telemetry/stream": { "get": everything() },
        "/api/v1/telemetry/stream/throttled": { "get": throttled() },
        "/api/v1/telemetry/flush": { "post": new(
            "flushTelemetry", "Finish the files that are being written, and bring gold up to what was pushed before",
            ok("How telemetry is then.", content(JSON, status())),
        ).write() },
        "/api/v1/telemetry/gold": { "get": gold() },
        "/api/v1/telemetry/rebuild": { "post": new(
            "rebuildTelemetry", "Make silver and gold anew from bronze",
            ok("It is done; how telemetry is then.", content(JSON, status())),
        ).described("Silver is incomplete until it is done; events that come meanwhile wait in the log.").write() },
    })
}

fn push() -> Value {
    let event = json!({
        "type": "object",
        "description": "A chunk of an OpenAI-style stream, a JSON-RPC message, the record of a call, an envelope with any of \
                        these as data, or any other object.",
    });
    let document = json!({ "oneOf": [event, list(event.clone())] });
    let lines = json!({ "type": "string", "description": "An event a line, with or without data: in front of it." });
    let types: Vec<_> = [(JSON, document)]
        .into_iter()
        .chain(LINES.map(|media| (media, lines.clone())))
        .collect();
    let reject = object(json!({
        "line": count("The line, from 1; in a document the number of the element."), "reason": text("Why."),
    }));
    new(
        "pushTelemetry",
        "Take events",
        answer(
            "All of it is in the log.",
            json!({
                "arrived": count("Events that came: kept, shed and rejected ones."),
                "kept": count("Events that are in the tables, or on their way there."),
                "shed": count("Events that were dropped under pressure."),
                "rejected": count("Events that could not be read; they are kept as rejects."),
                "rejects": { "type": "array", "maxItems": 100, "items": reject, "description": "The first of those." },
            }),
        ),
    )
    .described(
        "The body may go on for as long as it likes: events are handed on while more come. When nothing came for 15 minutes, \
         or the host stops, it is answered as if it had ended. Under pressure events are dropped by priority, and what may \
         not be dropped waits for room; KIN-MED-0041 tells how many events were taken when there is none in time.",
    )
    .takes(contents(&types))
    .write()
}

/// How telemetry is.
fn status() -> Value {
    let by_priority = |description: &str| {
        let of = json!({ "type": "integer", "minimum": 0 });
        json!({ "type": "array", "minItems": 5, "maxItems": 5, "items": of, "description": description })
    };
    let component = || {
        let component = object(json!({
            "digest": text("SHA-256 of its bytes."),
            "state": {
                "enum": ["running", "stopped", "quarantined"],
                "description": "stopped starts with the next batch; quarantined failed too often and must be replaced.",
            },
            "failures": count("How often it failed since the host started."),
        }));
        perhaps(
            component,
            "last_failure",
            text("Why it failed last; there once it did."),
        )
    };
    let totals = object(json!({
        "arrived": count("Events that ever came: kept, shed and rejected ones."),
        "kept": by_priority("Events in the tables or on their way there, by priority, DEBUG first."),
        "shed": by_priority("Events dropped under pressure, by priority, DEBUG first."),
        "rejected": count("Events that could not be read."),
        "receipts_seq": count("Receipts of calls below this record of the log are among the events."),
    }));
    let level = json!({
        "type": "integer", "minimum": 0, "maximum": 256,
        "description": "So many 256ths of the events that may be dropped are.",
    });
    let buffer = object(json!({
        "component": component(), "level": level,
        "events": count("Events that are not in the tables yet."), "events_max": count("The most it holds."),
        "size_bytes": count("What they take."), "size_bytes_max": count("The most it holds."),
        "memory_bytes": count("Memory of its instance."), "next_offset": count("The next offset of the topic."),
    }));
    let storage = object(json!({
        "gate": component(),
        "stored_offset": count("Offsets below this one are in the tables, finished or not."),
        "durable_offset": count("Offsets below this one are in finished files."),
        "streams": count("Streams that silver knows."),
        "duplicates": count("Events that said again what silver had, since the host started."),
        "silver_rejected": count("Events that the gate did not accept, since the host started."),
    }));
    let storage = perhaps(storage, "waits_for", text("Why the tables wait; there while they do."));
    object(json!({ "totals": totals, "buffer": buffer, "storage": storage }))
}

fn gold() -> Value {
    let rows =
        |description: &str| json!({ "type": "array", "items": { "type": "object" }, "description": description });
    new(
        "telemetryGold",
        "The tables of gold, brought up to now",
        answer(
            "A row is an object of its columns.",
            json!({
                "metrics": rows("A row per workflow."),
                "usage_graph": rows("What used what, how often."),
                "capabilities": rows("A row per function of a capsule."),
            }),
        ),
    )
    .write()
}

impl Operation {
    /// Which events are watched, and from where on.
    fn watching(self) -> Self {
        let text = json!({ "type": "string" });
        let list = |description: &str, examples: &[&str]| {
            let items = json!({ "type": "string", "examples": examples });
            json!({ "type": "array", "items": items, "maxItems": 64, "description": description })
        };
        let topics = list(
            "* is one segment, > at the end all that follow.",
            &["telemetry.events.v1", "telemetry.>"],
        );
        let behind = "An event's id, offset-row; a row behind the last stands for all of the batch.";
        let header = json!({
            "name": "last-event-id", "in": "header", "schema": text.clone(),
            "description": "What a reader that comes back had last; goes before last_event_id and from.",
        });
        let from = json!({ "enum": ["oldest", "now"], "default": "now" });
        self.with(query(
            "topic",
            "Only topics that fit one of these; may stand several times, or hold several, by commas.",
            topics,
        ))
        .with(query(
            "workflow",
            "Only these workflows; may stand several times.",
            list("Their ids.", &[]),
        ))
        .with(query(
            "priority",
            "No events below it: DEBUG, INFO, METRIC, WARNING, CRITICAL, or 0 to 4.",
            text.clone(),
        ))
        .with(query("from", "Where to begin.", from))
        .with(query("last_event_id", behind, text))
        .with(header)
    }
}

fn everything() -> Value {
    new(
        "watchTelemetry",
        "Every event as it comes",
        ok("A stream, for as long as it is read.", content(STREAM, json!({ "type": "string" }))),
    )
    .described(
        "Server-sent events: id is offset-row, event the topic, data one line of JSON with stream, sequence, priority, \
         received_unix_ns, workflow_id, intent_id, node_cid, kind and data, what the event itself holds. The first frame is \
         named start and says behind which event it begins; problem is the end. Where nothing comes, the reader's place is sent \
         now and then as an id of its own. No event is left out, however slow the reader.",
    )
    .watching()
    .write()
}

fn throttled() -> Value {
    let hz = json!({ "type": "number", "minimum": 0.1, "maximum": 100, "default": 1 });
    new(
        "watchTelemetryThrottled",
        "The newest events at a pace",
        ok("A stream, for as long as it is read.", content(STREAM, json!({ "type": "string" }))),
    )
    .described(
        "As watchTelemetry, but events come at most hz times a second, then of each stream the newest one, of 256 streams at \
         most. A frame named skipped in front of them says in events how many others there were.",
    )
    .watching()
    .with(query("hz", "How often.", hz))
    .write()
}
