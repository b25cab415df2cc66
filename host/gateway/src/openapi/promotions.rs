//! The routes of promotions: what they take, what they answer.

use kinetic_identity::{PROMOTION_SOURCES_MAX, TOPOLOGY_BYTES_MAX};
use serde_json::{Value, json};

use super::paths::{JSON, Operation, content, ok, path, schema};
use super::schemas::{closed, object, text};

pub(super) fn paths() -> Value {
    let kept = json!({
        "description": "It is kept, as it was if it was there already.",
        "content": content(JSON, schema("Promoted")),
    });
    let accepted = json!({
        "description": "It is signed, in the ledger and on the disk. The same again answers the entry that is there.",
        "content": content(JSON, schema("OutboxEntry")),
    });
    json!({
        "/api/v1/registry/promotions/publish": { "post": Operation::new(
            "publishPromotion", "registry", "Keep the signed promotion of a topology under its permanent URN", ("201", kept),
        ).described("Enough keys trusted for the URN's namespace must have signed it. What a name has never changes.")
         .takes(content(JSON, schema("PromotionPublication"))).write() },
        "/api/v1/registry/promotions/{reference}": { "get": Operation::new(
            "showPromotion", "registry", "The signed promotion of one version",
            ok("The DSSE envelope of an in-toto statement, with the topology document in it.", content(JSON, schema("Promotion"))),
        ).with(path(
            "reference", "URN@VERSION; without a version the highest is meant that is no pre-release.", schema("Reference"),
        )).write() },
        "/api/v1/crystallizations": { "post": Operation::new(
            "crystallize", "outbox", "Have a topology signed and delivered to a registry that gives it a permanent URN",
            ("202", accepted),
        ).described(
            "The events are looked up in this host's ledger, and the document is measured against their records: one that is \
             larger than they are is refused. The URN is permanent when the entry is delivered.",
        ).takes(content(JSON, schema("Crystallization"))).write() },
    })
}

/// The schemas of what they take and answer.
pub(super) fn schemas() -> Value {
    let cid = json!({ "type": "string", "pattern": "^[a-zA-Z0-9_.:-]+$", "minLength": 1, "maxLength": 128 });
    let signature = object(
        json!({ "keyid": text("Whose it claims to be."), "sig": text("In base64.") }),
        &[],
    );
    json!({
        "Promotion": closed(json!({
            "payloadType": { "const": "application/vnd.in-toto+json" },
            "payload": { "type": "string", "contentEncoding": "base64", "description": "The statement in canonical form." },
            "signatures": { "type": "array", "items": signature, "minItems": 1, "maxItems": 16 },
        }), &[]),
        "PromotionPublication": closed(json!({ "promotion": schema("Promotion") }), &[]),
        "Promoted": object(json!({ "urn": schema("Urn"), "version": schema("Version"), "digest": schema("Digest") }), &[]),
        "Crystallization": closed(json!({
            "urn": schema("Urn"),
            "version": schema("Version"),
            "topology": {
                "type": "object", "minProperties": 1,
                "description": format!("The document: any JSON object of at most {TOPOLOGY_BYTES_MAX} bytes."),
            },
            "events": {
                "type": "array", "items": cid, "minItems": 1, "maxItems": PROMOTION_SOURCES_MAX,
                "description": "The calls it was made from, by the receipt_id of their answers.",
            },
            "workflow_id": { "type": ["string", "null"], "description": "The workflow or thread it came from." },
            "registry": text("The registry it is for, by its name on this host."),
        }), &["workflow_id"]),
    })
}
