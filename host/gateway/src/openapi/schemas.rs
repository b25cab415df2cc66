//! The schemas of what is sent and answered.

use kinetic_model::LIMIT_DOCS;
use serde_json::{Map, Value, json};

const URN: &str =
    "^urn:[a-z0-9_]+:actionspace:(oracle|solver|effector|substrate|sensory|node):[a-z0-9_]+:v(0|[1-9][0-9]*)$";
const DIGEST: &str = "^sha256:[0-9a-f]{64}$";

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object: members with what they mean, all there unless named in `optional`.
pub(super) fn object(members: Value, optional: &[&str]) -> Value {
    let names = members.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let required: Vec<_> = names.filter(|name| !optional.contains(name)).collect();
    json!({ "type": "object", "required": required, "properties": members })
}

/// As [`object`], and nothing else may be sent.
pub(super) fn closed(members: Value, optional: &[&str]) -> Value {
    let mut schema = object(members, optional);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("additionalProperties".into(), false.into());
    }
    schema
}

pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

pub(super) fn count(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

pub(super) fn list(of: &str) -> Value {
    json!({ "type": "array", "items": schema(of) })
}

/// The `schemas` member.
pub(super) fn schemas() -> Value {
    let mut all = json!({
        "Reference": {
            "type": "string",
            "description": "urn, urn@1.4.2 or urn@sha256:...",
            "pattern": format!("{}(@.+)?$", URN.trim_end_matches('$')),
        },
        "Urn": { "type": "string", "pattern": URN },
        "Digest": { "type": "string", "pattern": DIGEST },
        "Version": text("Semantic version; its major is what the URN ends in."),
        "Problem": problem(),
        "Telemetry": telemetry(),
        "Logs": object(json!({
            "stdout": text("Standard output."),
            "stderr": text("Standard error."),
            "dropped_bytes": count("Bytes beyond limits.log_bytes that were dropped."),
        }), &[]),
        "RanCapsule": object(json!({
            "urn": schema("Urn"),
            "version": schema("Version"),
            "digest": schema("Digest"),
            "generation": count("Counts the activations of the URN on this host, from 1."),
        }), &[]),
        "Limits": limits(),
        "LimitsAsk": limits_ask(),
        "Alive": object(json!({ "status": { "const": "alive" } }), &[]),
        "Ready": object(json!({ "status": { "const": "ready" }, "capsules": count("Active capsules.") }), &[]),
        "Error": object(json!({
            "code": text("The stable code."),
            "name": text("Its name."),
            "area": text("The part of the host it is from."),
            "title": text("The class of failure."),
            "status": count("The HTTP status."),
            "detail": text("What was wrong; words in braces are filled in."),
            "fix": text("What to do."),
        }), &[]),
        "ErrorList": object(json!({ "errors": list("Error") }), &[]),
    });
    for more in [
        calls(),
        capsules(),
        registry(),
        super::capsules::schemas(),
        super::discovery::schemas(),
        super::zones::schemas(),
        super::outbox::schemas(),
        super::promotions::schemas(),
    ] {
        all = extended(&all, more);
    }
    all
}

/// An object's members, and more; those of `more` win.
fn extended(object: &Value, more: Value) -> Value {
    let members = [object.clone(), more].into_iter().filter_map(|value| match value {
        Value::Object(members) => Some(members),
        _ => None,
    });
    Value::Object(members.flatten().collect())
}

fn calls() -> Value {
    let intent =
        json!({ "type": "object", "description": "The arguments by name; the function's inputSchema says what fits." });
    let state = json!({
        "type": ["object", "null"],
        "description": "Passed as the parameter named state, if the function has one that intent leaves open; refused otherwise.",
    });
    json!({
        "Execute": closed(json!({
            "toolName": schema("Reference"),
            "function": { "type": ["string", "null"], "description": "May be left out when there is only one." },
            "intent": intent,
            "state": state,
        }), &["function", "state"]),
        "Answer": object(json!({
            "success": { "type": "boolean", "description": "False when the function returned its own error." },
            "output": { "description": "What the function returned; bytes as base64, 64-bit integers beyond 2^53-1 as decimal strings." },
            "logs": schema("Logs"),
            "telemetry": schema("Telemetry"),
            "intent_hash": text("SHA-256 of intent as compact JSON in UTF-8 with sorted members, hexadecimal; absent for raw bytes."),
            "capsule": schema("RanCapsule"),
            "function": text("The function that ran."),
            "request_id": text("The id of the request."),
        }), &["intent_hash"]),
    })
}

fn problem() -> Value {
    object(
        json!({
            "type": { "type": "string", "format": "uri-reference", "description": "The page that explains the code." },
            "title": text("The class of failure."),
            "status": count("The HTTP status."),
            "detail": text("What was wrong."),
            "instance": text("The path of the request."),
            "code": { "type": "string", "pattern": "^KIN-[A-Z]{3}-[0-9]{4}$", "description": "The stable code." },
            "fix": text("What to do."),
            "request_id": text("The id of the request."),
            "telemetry": schema("Telemetry"),
            "logs": schema("Logs"),
            "capsule": schema("RanCapsule"),
            "function": text("The function that ran."),
        }),
        &["telemetry", "logs", "capsule", "function"],
    )
}

fn telemetry() -> Value {
    object(
        json!({
            "latency_ns": count("From the start of the call to its answer."),
            "peak_memory_bytes": count("The largest sum of memories and tables."),
            "fuel": count("Fuel of the call itself."),
            "instantiation_fuel": count("Fuel of making the instance."),
            "guest_time_ns": count("Time the guest ran."),
            "wall_time_ns": count("From the start of the call to its answer, waiting included."),
            "input_bytes": count("Bytes of the arguments."),
            "output_bytes": count("Bytes of the results."),
            "log_bytes": count("Bytes logged, dropped ones included."),
            "handles": count("Resource handles open at the end."),
            "host_call_bytes": count("Bytes passed to host functions."),
        }),
        &[],
    )
}

fn limits() -> Value {
    object(each_limit(), &[])
}

/// Limits that somebody asks for; what is left out is not asked for.
fn limits_ask() -> Value {
    let names: Vec<_> = LIMIT_DOCS.iter().map(|limit| limit.name).collect();
    closed(each_limit(), &names)
}

fn each_limit() -> Value {
    let members: Map<_, _> = LIMIT_DOCS
        .iter()
        .map(|limit| (limit.name.to_string(), count(limit.doc.trim())))
        .collect();
    Value::Object(members)
}

fn capsules() -> Value {
    let function = json!({
        "name": text("The name to call it by."),
        "title": text("A short name for people."),
        "description": text("What it does."),
        "signature": text("Its WIT signature."),
    });
    let brief = json!({
        "urn": schema("Urn"),
        "version": schema("Version"),
        "digest": schema("Digest"),
        "manifest_digest": schema("Digest"),
        "generation": count("Counts the activations of the URN on this host, from 1."),
        "title": { "type": ["string", "null"] },
        "description": text("What it does."),
        "size_bytes": count("Size of the component."),
        "signer": text("The id of the key that signed it; of several, with plus signs between them."),
        "source": text("Where its bytes came from: the local store, a registry by its name, its publisher."),
        "activated_unix_ms": count("When it became active, in milliseconds since 1970."),
        "limits": schema("Limits"),
        "lowered": { "type": "array", "items": { "type": "string" }, "description": "Limits it asked for above its ceiling." },
        "functions": list("Function"),
    });
    let names = json!({ "type": "array", "items": { "type": "string" } });
    let full = extended(
        &brief,
        json!({
            "functions": list("FunctionInFull"),
            "manifest": { "type": "object", "description": "The signed manifest." },
            "imports": names.clone(),
            "exports": names,
            "unsupported": list("Unsupported"),
        }),
    );
    let json_schema = |description: &str| json!({ "type": "object", "description": description });
    let function_in_full = extended(
        &function,
        json!({
            "inputSchema": json_schema("JSON Schema of the arguments."),
            "outputSchema": json_schema("JSON Schema of the result; of its ok side when it can fail."),
            "errorSchema": json_schema("JSON Schema of the function's own error, when it has one."),
        }),
    );
    json!({
        "Function": object(function, &[]),
        "FunctionInFull": object(function_in_full, &["errorSchema"]),
        "Unsupported": object(json!({ "export": text("The export."), "why": text("Why it cannot be called.") }), &[]),
        "Capability": object(brief, &[]),
        "CapabilityInFull": object(full, &[]),
        "CapabilityList": object(json!({ "capabilities": list("Capability") }), &[]),
    })
}

fn registry() -> Value {
    let summary = json!({
        "urn": schema("Urn"),
        "version": schema("Version"),
        "digest": schema("Digest"),
        "size_bytes": count("Size of the component."),
    });
    let descriptor = extended(
        &summary,
        json!({
            "manifest": text("The exact text of manifest.json; its digest is over these bytes."),
            "receipt": { "type": "object", "description": "The signed receipt: a DSSE envelope of an in-toto statement, or a Sigstore bundle with one in it." },
        }),
    );
    json!({
        "Summary": object(summary, &[]),
        "VersionList": object(json!({ "capabilities": list("Summary") }), &[]),
        "Descriptor": object(descriptor, &[]),
        "Publication": closed(json!({
            "manifest": text("The exact text of manifest.json."),
            "receipt": { "type": "object", "description": "The signed receipt." },
            "component": { "type": "string", "contentEncoding": "base64", "description": "The component." },
        }), &[]),
        "Published": object(json!({ "urn": schema("Urn"), "version": schema("Version"), "digest": schema("Digest") }), &[]),
    })
}
