//! The routes of topics, schemas and events: what they take, what they answer.

use serde_json::{Value, json};

use super::ledger::{answer, list, object, optional_seq, optional_text, query, text};
use super::paths::{JSON, Operation, STREAM, content, contents, ok, path};

const EVENT: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const SCHEMA: &str = "application/schema+json";

fn new(id: &'static str, summary: &'static str, answer: (&'static str, Value)) -> Operation {
    Operation::new(id, "topics", summary, answer)
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

fn one_of(description: &str, words: &[&str]) -> Value {
    json!({ "enum": words, "description": description })
}

fn one_of_or_null(description: &str, words: &[&str]) -> Value {
    let words: Vec<Option<&str>> = words.iter().copied().map(Some).chain([None]).collect();
    json!({ "enum": words, "description": description })
}

impl Operation {
    fn of_topic(self) -> Self {
        self.with(path(
            "name",
            "The topic.",
            json!({ "type": "string", "examples": ["telemetry.metrics.v1"] }),
        ))
    }
}

/// The settings of a topic; all can be left out.
fn config() -> Value {
    let watermark = |description: &str, default: f64| json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": default, "description": description });
    let members = json!({
        "partitions": { "type": "integer", "minimum": 1, "maximum": 1024, "default": 1, "description": "Never changes." },
        "qos": one_of("How often an event reaches a consumer.", &["at_most_once", "at_least_once", "exactly_once"]),
        "ordering": one_of("Which events keep their order.", &["none", "per_key", "causal", "total"]),
        "critical": { "type": "boolean", "default": false, "description": "Check events against the schema." },
        "schema": optional_text("Its digest."),
        "compatibility": one_of("Which schemas may follow.", &["none", "backward", "forward", "full"]),
        "determinism": one_of_or_null(
            "How repeatable its consumers are.",
            &["D0_bit_exact", "D1_numerically_stable", "D2_soft_deterministic", "NX_experimental"],
        ),
        "durability": one_of_or_null("After what a publication is acknowledged.", &["memory", "written", "synced"]),
        "backpressure": one_of_or_null(
            "What happens when the slowest consumer does not keep up.",
            &["block", "drop_oldest", "drop_newest", "adaptive", "spill"],
        ),
        "buffer_events": count("How many events the slowest consumer may be behind; default 10,000."),
        "buffer_bytes": count("How much a topic in memory holds; default 64 MiB."),
        "watermark_high": watermark("From this part of the buffer on publishers are held back.", 0.8),
        "watermark_low": watermark("Down to this part of the buffer they still are.", 0.5),
        "publish_timeout_ms": count("How long a publisher waits; default 5,000."),
        "max_deliveries": count("Then an event is a dead letter; 0: never; default 5."),
        "ack_timeout_ms": count("Then an event is delivered again; default 30,000."),
    });
    json!({ "type": "object", "properties": members, "additionalProperties": false })
}

fn topic(partitions: bool) -> Value {
    let mut group = json!({ "name": text("Its name."), "lag": count("Events it has not consumed.") });
    let mut members = json!({
        "name": text("Its name."), "config": config(), "durability": text("The one that holds."),
        "backpressure": text("The one that holds."), "published": count("Events."),
        "delivered": count("Events handed to subscriptions since the host started."),
        "shed": count("Events dropped, ever."), "dead_letters": count("Events given up, ever."),
        "subscribers": count("Attached subscriptions."), "level": count("How far the slowest is behind."),
        "pressed": { "type": "boolean", "description": "Whether publishers are held back." },
    });
    if partitions {
        let place = json!({
            "partition": count("From 0."), "committed": count("The next offset to consume."),
            "epoch": count("Which subscription may go on."), "lag": count("Events it has not consumed."),
        });
        let partition = json!({
            "partition": count("From 0."), "next": count("The offset of the next event."),
            "first": { "type": ["integer", "null"], "description": "The first that can be read; null in memory." },
        });
        for (members, list) in [
            (&mut group, list(object(place))),
            (&mut members, list(object(partition))),
        ] {
            if let Some(members) = members.as_object_mut() {
                members.insert("partitions".into(), list);
            }
        }
    }
    if let Some(members) = members.as_object_mut() {
        members.insert("groups".into(), list(object(group)));
    }
    object(members)
}

fn cloudevent() -> Value {
    json!({ "type": "object", "description": "An event in the JSON format of CloudEvents 1.0; its key is partitionkey." })
}

fn simple() -> Value {
    let event = json!({
        "type": "object", "required": ["data"], "additionalProperties": false,
        "properties": {
            "data": { "description": "Any JSON." }, "key": optional_text("Decides the partition."),
            "id": optional_text("A UUID without it."), "source": optional_text("urn:kinetic:host without it."),
            "type": optional_text("The topic without it."), "subject": optional_text("What it is about."),
            "time": optional_text("Now without it."), "causationid": optional_text("What caused it."),
            "traceparent": optional_text("W3C Trace Context."),
            "idempotencykey": optional_text("By what a receiver tells a repetition."),
        },
    });
    json!({ "oneOf": [event, { "type": "array", "minItems": 1, "maxItems": 10_000, "items": event }] })
}

pub(super) fn paths() -> Value {
    let mut all = topics();
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), schemas()) {
        all.extend(more);
    }
    all
}

fn topics() -> Value {
    let create = json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
        "properties": { "name": text("Such as telemetry.metrics.v1."), "config": config() },
    });
    let created = json!({ "description": "It is there.", "content": content(JSON, topic(true)) });
    let full = |description: &str| ok(description, content(JSON, topic(true)));
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000 });
    let group = || path("group", "The group.", json!({ "type": "string" }));
    json!({
        "/api/v1/topics": {
            "get": new(
                "listTopics", "All topics by name, and how they do",
                answer("next is the after of the following page.", json!({
                    "topics": list(topic(false)), "next": optional_text("A name."),
                })),
            ).with(query("limit", "How many at most.", limit)).with(query("after", "Go on behind this name.", json!({}))).write(),
            "post": new("createTopic", "Make a topic", ("201", created)).takes(content(JSON, create)).write(),
        },
        "/api/v1/topics/{name}": {
            "get": new("getTopic", "A topic by partition and group", full("The topic.")).of_topic().write(),
            "put": new("changeTopic", "Give a topic other settings", full("It has them."))
                .described("Settings that are left out get their defaults. Partitions stay, and whether it is in memory.")
                .of_topic().takes(content(JSON, config())).write(),
        },
        "/api/v1/topics/{name}/groups/{group}": { "delete": new(
            "forgetGroup", "Give up a group and its positions",
            answer("Its subscriptions end, and it holds back retention no more.", json!({
                "topic": text("The topic."), "group": text("The group."),
            })),
        ).of_topic().with(group()).write() },
        "/api/v1/topics/{name}/events": { "get": events(), "post": publish() },
    })
}

fn events() -> Value {
    let shown =
        object(json!({ "partition": count("From 0."), "offset": count("Its number there."), "event": cloudevent() }));
    let next = json!({
        "type": "object", "additionalProperties": { "type": "integer" },
        "description": "The next offset of each partition; empty for a topic in memory.",
    });
    let page = object(json!({ "events": list(shown), "next": next }));
    let text = json!({ "type": "string" });
    let from = "earliest, latest, an offset of the only partition read, or offsets as 0:12,1:7; latest without it. A topic in \
                memory only has latest.";
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1_000, "default": 100 });
    let wait = json!({ "type": "integer", "minimum": 0, "maximum": 60_000, "default": 0 });
    let last = json!({
        "name": "last-event-id", "in": "header", "schema": text.clone(),
        "description": "With text/event-stream: partition/offset to go on behind, where one partition is read.",
    });
    new("readEvents", "Read events", ok("A page, or a stream.", contents(&[(JSON, page), (STREAM, text.clone())])))
        .described(
            "With Accept: text/event-stream the events come as they are published, id partition/offset and data the event. The \
             first frame is named start and holds next and heads by partition; missed tells how many events of a topic in memory \
             were dropped; problem is the end. limit and wait_ms are for pages.",
        )
        .of_topic()
        .with(query("from", from, text))
        .with(query("partition", "This one only.", count("From 0.")))
        .with(query("limit", "How many at most.", limit))
        .with(query("wait_ms", "How long to wait for the first one.", wait))
        .with(last)
        .write()
}

fn publish() -> Value {
    let batch = json!({ "type": "array", "minItems": 1, "maxItems": 10_000, "items": cloudevent() });
    new(
        "publishEvents",
        "Publish events, all of them in one record or none",
        answer(
            "They are acknowledged as the topic's durability says.",
            json!({
                "seq": optional_seq(), "accepted": count("Events taken."),
                "shed": count("Events dropped, these or older ones, because a topic in memory was full."),
            }),
        ),
    )
    .described("application/json is the simple form: data, and whichever attributes are to differ from what the host fills in.")
    .of_topic()
    .takes(contents(&[(JSON, simple()), (EVENT, cloudevent()), (BATCH, batch)]))
    .write()
}

fn schemas() -> Value {
    let schema = json!({ "type": ["object", "boolean"], "description": "A JSON Schema." });
    let registered = object(json!({ "digest": text("Its name: the SHA-256 of the bytes that were sent.") }));
    let registered = json!({ "description": "It can be used.", "content": content(JSON, registered) });
    json!({
        "/api/v1/schemas": {
            "get": new(
                "listSchemas", "The digests of all schemas",
                answer("In order.", json!({ "schemas": list(text("A digest.")) })),
            ).write(),
            "post": new("registerSchema", "Register a JSON Schema", ("201", registered))
                .described("Draft 2020-12 unless it says otherwise; it may refer to nothing outside itself.")
                .takes(contents(&[(JSON, schema.clone()), (SCHEMA, schema.clone())])).write(),
        },
        "/api/v1/schemas/{digest}": { "get": new(
            "getSchema", "A schema as it was sent", ok("The schema.", content(SCHEMA, schema)),
        ).with(path("digest", "sha256: and 64 hexadecimal digits.", json!({ "type": "string" }))).write() },
    })
}
