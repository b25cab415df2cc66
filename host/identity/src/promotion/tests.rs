//! What a promotion says and proves, and every way in which it must not.

use serde_json::json;

use super::*;
use crate::RootDocument;
use crate::root_document::tests::{document, signed as signed_root};

const URN: &str = "urn:acme:actionspace:node:planner:v1";

fn topology() -> Value {
    json!({ "nodes": ["b", "a"], "edges": [{ "to": 1, "from": 0, "weight": 0.25 }] })
}

fn as_topology(value: Value) -> Result<Topology, IdentityError> {
    let Value::Object(members) = value else {
        panic!("no object")
    };
    Topology::new(members)
}

fn promoting() -> Promoting {
    Promoting {
        urn: URN.parse().unwrap(),
        version: "1.2.0".parse().unwrap(),
        topology: as_topology(topology()).unwrap(),
        sources: ["7-0123456789abcdef", "12-fedcba9876543210"].map(String::from).into(),
        events_bytes: 1_000,
        newest_unix_ms: 1_700_000_000_123,
        host: SigningKey::generate().unwrap().public(),
        software: "kinetic/0.1.0".into(),
        workflow_id: Some("thread-9".into()),
    }
}

fn signed() -> (Promotion, SigningKey) {
    let key = SigningKey::generate().unwrap();
    (Promotion::sign(&promoting(), &key).unwrap(), key)
}

fn trusting(namespace: &str, key: &SigningKey) -> TrustRoot {
    let mut root = TrustRoot::default();
    root.add(namespace, key.public(), "").unwrap();
    root
}

fn statement_of(promotion: &Promotion) -> Value {
    serde_json::from_slice(&promotion.envelope.payload).unwrap()
}

/// What is said to a statement that was changed before it was signed, in canonical form.
fn refusal_of(change: impl FnOnce(&mut Value)) -> IdentityError {
    let (promotion, key) = signed();
    let mut statement = statement_of(&promotion);
    change(&mut statement);
    let text = serde_json::to_vec(&kinetic_model::Sorted(&statement)).unwrap();
    refusal_of_text(&text, &key)
}

fn refusal_of_text(text: &[u8], key: &SigningKey) -> IdentityError {
    let envelope = Envelope::sign(PAYLOAD_TYPE, text.to_vec(), key);
    Promotion::from_value(&envelope.to_json()).unwrap_err()
}

fn is_malformed(error: &IdentityError, word: &str) -> bool {
    matches!(error, IdentityError::PromotionMalformed { why } if why.contains(word))
}

#[test]
fn a_promotion_reads_back_what_it_says_and_counts_by_the_namespaces_key() {
    let (promotion, key) = signed();
    let read = Promotion::from_json(&promotion.to_json()).unwrap();
    assert_eq!(read, promotion);
    assert_eq!((read.urn().as_str(), read.version().to_string()), (URN, "1.2.0".into()));
    let text = br#"{"edges":[{"from":0,"to":1,"weight":0.25}],"nodes":["b","a"]}"#;
    assert_eq!(read.topology().text(), text);
    assert_eq!(read.digest(), Digest::of(text));
    let event = read.event();
    assert_eq!(event.topology_class, "epistemic_promotion");
    assert_eq!(
        event.source_episodic_event_cids,
        ["12-fedcba9876543210", "7-0123456789abcdef"],
        "sorted"
    );
    assert_eq!(event.crystallized_semantic_node_cid, Digest::of(text).to_string());
    assert_eq!(event.compression_ratio.to_string(), "0.061");
    assert_eq!(event.timestamp.to_string(), "1700000000.123");
    assert_eq!(read.verify(&trusting("acme", &key)).unwrap().ids(), [key.public().id()]);
    let statement = statement_of(&read);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], PROMOTION);
    assert_eq!(statement["subject"][0]["name"], format!("{URN}@1.2.0"));
    assert_eq!(statement["predicate"]["topology"], topology());
}

#[test]
fn the_same_again_is_the_same_bytes_and_another_thing_has_another_event() {
    let key = SigningKey::generate().unwrap();
    let what = promoting();
    let first = Promotion::sign(&what, &key).unwrap();
    assert_eq!(Promotion::sign(&what, &key).unwrap().to_json(), first.to_json());
    let other_source = Promoting {
        sources: ["7-0123456789abcdef".to_string()].into(),
        ..what.clone()
    };
    let other_version = Promoting {
        version: "1.2.1".parse().unwrap(),
        ..what.clone()
    };
    for other in [other_source, other_version] {
        let other = Promotion::sign(&other, &key).unwrap();
        assert_ne!(other.event().event_cid, first.event().event_cid);
        assert_eq!(
            other.event().crystallized_semantic_node_cid,
            first.event().crystallized_semantic_node_cid
        );
    }
    // When and where it was made is not what it is.
    let elsewhere = Promoting {
        host: SigningKey::generate().unwrap().public(),
        workflow_id: None,
        ..what
    };
    let elsewhere = Promotion::sign(&elsewhere, &key).unwrap();
    assert_eq!(elsewhere.event().event_cid, first.event().event_cid);
}

#[test]
fn what_is_not_smaller_than_its_events_is_no_crystal() {
    let key = SigningKey::generate().unwrap();
    let of = |events_bytes| {
        let what = Promoting {
            events_bytes,
            ..promoting()
        };
        Promotion::sign(&what, &key)
    };
    let size_bytes = promoting().topology.size_bytes();
    assert_eq!(
        of(size_bytes - 1).unwrap_err(),
        IdentityError::NotCompressed {
            topology_bytes: size_bytes,
            events_bytes: size_bytes - 1
        }
    );
    assert!(matches!(of(0), Err(IdentityError::NotCompressed { .. })));
    assert_eq!(of(size_bytes).unwrap().event().compression_ratio.to_string(), "1");
    // Never nothing, however much it was.
    assert_eq!(of(u64::MAX).unwrap().event().compression_ratio.to_string(), "0.000001");
}

#[test]
fn a_document_is_a_bounded_object_that_reads_back_the_same() {
    assert!(is_malformed(&as_topology(json!({})).unwrap_err(), "no members"));
    let nested = |levels: usize| {
        let inner = (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }));
        as_topology(json!({ "a": inner }))
    };
    assert!(nested(TOPOLOGY_DEPTH_MAX - 1).is_ok());
    assert!(matches!(
        nested(TOPOLOGY_DEPTH_MAX),
        Err(IdentityError::JsonTooDeep { .. })
    ));
    let sized = |bytes: usize| as_topology(json!({ "a": "x".repeat(bytes - 8) }));
    assert_eq!(sized(TOPOLOGY_BYTES_MAX).unwrap().size_bytes(), 1_048_576);
    assert!(matches!(
        sized(TOPOLOGY_BYTES_MAX + 1),
        Err(IdentityError::PromotionTooLarge { .. })
    ));
}

#[test]
fn the_largest_promotion_fits_its_bound_and_reads_back() {
    let what = Promoting {
        topology: as_topology(json!({ "a": "x".repeat(TOPOLOGY_BYTES_MAX - 8) })).unwrap(),
        sources: (0..PROMOTION_SOURCES_MAX).map(|n| format!("{n:0128}")).collect(),
        events_bytes: 1 << 40,
        software: "s".repeat(256),
        workflow_id: Some("w".repeat(256)),
        ..promoting()
    };
    let promotion = Promotion::sign(&what, &SigningKey::generate().unwrap()).unwrap();
    let mut envelope = promotion.envelope;
    for _ in 1..SIGNATURES_MAX {
        envelope
            .add_signature(&SigningKey::generate().unwrap(), SIGNATURES_MAX)
            .unwrap();
    }
    Promotion::from_value(&envelope.to_json()).unwrap();
}

#[test]
fn what_does_not_fit_together_is_refused_whoever_signed_it() {
    let set = |path: &'static str, value: Value| {
        move |statement: &mut Value| {
            *statement.pointer_mut(path).unwrap() = value;
        }
    };
    for (path, value, word) in [
        ("/subject/0/name", json!(URN), "URN@VERSION"),
        ("/subject/0/name", json!(format!("{URN}@2.0.0")), "URN@VERSION"),
        ("/subject/0/name", json!(format!("{URN}@1.3.0")), "event_cid"),
        ("/subject/0/digest/sha256", json!(Digest::of(b"other").hex()), "subject"),
        ("/predicate/topology/nodes", json!(["c"]), "subject"),
        ("/predicate/topology", json!({}), "no members"),
        ("/predicate/event/source_episodic_event_cids", json!([]), "events"),
        (
            "/predicate/event/source_episodic_event_cids",
            json!(["b", "a"]),
            "sorted",
        ),
        (
            "/predicate/event/source_episodic_event_cids",
            json!(["a", "a"]),
            "sorted",
        ),
        (
            "/predicate/event/source_episodic_event_cids",
            json!(["a b"]),
            "name of an event",
        ),
        (
            "/predicate/event/source_episodic_event_cids",
            json!(["x".repeat(129)]),
            "name of an event",
        ),
        ("/predicate/event/source_episodic_event_cids", json!(["a"]), "event_cid"),
        ("/predicate/event/event_cid", json!("a"), "event_cid"),
        (
            "/predicate/event/crystallized_semantic_node_cid",
            json!(Digest::of(b"other")),
            "crystallized",
        ),
        ("/predicate/event/topology_class", json!("other"), "topology_class"),
        ("/predicate/event/compression_ratio", json!(0.06), "compression_ratio"),
        ("/predicate/event/compression_ratio", json!(-0.061), "compression_ratio"),
        ("/predicate/event/timestamp", json!(-1.0), "timestamp"),
        ("/predicate/event/timestamp", json!(1e300), "timestamp"),
        ("/predicate/provenance/topology_bytes", json!(60), "topology_bytes"),
        ("/predicate/provenance/events_bytes", json!(999), "compression_ratio"),
        ("/predicate/provenance/software", json!(""), "software"),
        ("/predicate/provenance/workflow_id", json!("a\nb"), "workflow_id"),
        // Other spellings of what is meant.
        ("/predicate/event/timestamp", json!(1_700_000_000), "canonical"),
        ("/predicate/provenance/workflow_id", Value::Null, "canonical"),
    ] {
        let refused = refusal_of(set(path, value.clone()));
        assert!(is_malformed(&refused, word), "{path} {value}: {refused}");
    }
    let many: Vec<String> = (0..=PROMOTION_SOURCES_MAX).map(|n| format!("{n:04}")).collect();
    let refused = refusal_of(set("/predicate/event/source_episodic_event_cids", json!(many)));
    assert!(is_malformed(&refused, "events"), "{refused}");
    assert!(matches!(
        refusal_of(set("/_type", json!("other"))),
        IdentityError::UnknownStatementType { .. }
    ));
    assert!(matches!(
        refusal_of(set("/predicateType", json!("https://slsa.dev/provenance/v1"))),
        IdentityError::UnknownPredicateType { .. }
    ));
    let not_smaller = refusal_of(set("/predicate/provenance/events_bytes", json!(1)));
    assert!(matches!(not_smaller, IdentityError::NotCompressed { .. }));
    for at in [
        "",
        "/predicate",
        "/predicate/event",
        "/predicate/provenance",
        "/subject/0",
        "/subject/0/digest",
    ] {
        let refused = refusal_of(|statement| {
            let members = statement.pointer_mut(at).unwrap().as_object_mut().unwrap();
            members.insert("zzz".into(), json!(1));
        });
        assert!(is_malformed(&refused, "zzz"), "{at}: {refused}");
        // A workflow may be left out, and nothing else.
        if at != "/predicate/provenance" {
            refusal_of(|statement| {
                let members = statement.pointer_mut(at).unwrap().as_object_mut().unwrap();
                let last = members.keys().max().unwrap().clone();
                members.remove(&last);
            });
        }
    }
}

#[test]
fn members_named_twice_spaces_and_another_order_are_refused() {
    let (promotion, key) = signed();
    let text = String::from_utf8(promotion.envelope.payload.clone()).unwrap();
    let twice = text.replacen('{', r#"{"_type":"https://in-toto.io/Statement/v1","#, 1);
    assert!(matches!(
        refusal_of_text(twice.as_bytes(), &key),
        IdentityError::JsonDuplicateKey { .. }
    ));
    let spaced = text.replacen(',', ", ", 1);
    assert!(is_malformed(&refusal_of_text(spaced.as_bytes(), &key), "canonical"));
    let unsorted = text
        .replace(r#""nodes":["b","a"]"#, "")
        .replace(r#""topology":{"#, r#""topology":{"nodes":["b","a"],"#);
    let unsorted = unsorted.replace("],}", "]}");
    assert!(is_malformed(&refusal_of_text(unsorted.as_bytes(), &key), "canonical"));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert!(matches!(
        refusal_of_text(deep.as_bytes(), &key),
        IdentityError::JsonTooDeep { .. }
    ));
}

#[test]
fn an_envelope_has_nothing_in_it_that_nobody_signed() {
    let (promotion, key) = signed();
    let mut value = promotion.to_value();
    value["note"] = json!("read me");
    assert!(is_malformed(
        &Promotion::from_value(&value).unwrap_err(),
        "unknown members"
    ));
    let mut value = promotion.to_value();
    value["signatures"][0]["cert"] = json!("x");
    assert!(is_malformed(
        &Promotion::from_value(&value).unwrap_err(),
        "unknown members"
    ));
    let mut value = promotion.to_value();
    value["signatures"] = json!([]);
    assert!(matches!(
        Promotion::from_value(&value),
        Err(IdentityError::NoSignature {})
    ));
    let other = Envelope::sign("text/plain", promotion.envelope.payload.clone(), &key);
    assert!(matches!(
        Promotion::from_value(&other.to_json()),
        Err(IdentityError::UnknownPayloadType { .. })
    ));
    let large = vec![b' '; PROMOTION_BYTES_MAX + 1];
    assert!(matches!(
        Promotion::from_json(&large),
        Err(IdentityError::PromotionTooLarge { .. })
    ));
}

#[test]
fn only_the_namespaces_own_keys_count_and_each_change_breaks_the_signature() {
    let (promotion, key) = signed();
    assert!(matches!(
        promotion.verify(&TrustRoot::default()),
        Err(IdentityError::NamespaceUntrusted { .. })
    ));
    assert!(matches!(
        promotion.verify(&trusting("other", &key)),
        Err(IdentityError::WrongNamespace { .. })
    ));
    let stranger = SigningKey::generate().unwrap();
    assert!(matches!(
        promotion.verify(&trusting("acme", &stranger)),
        Err(IdentityError::SignerUntrusted { .. })
    ));
    let mut forged = Promotion::sign(
        &Promoting {
            topology: as_topology(json!({ "nodes": [] })).unwrap(),
            ..promoting()
        },
        &key,
    )
    .unwrap();
    forged.envelope.signatures = promotion.envelope.signatures;
    assert!(matches!(
        forged.verify(&trusting("acme", &key)),
        Err(IdentityError::BadSignature { .. })
    ));
}

#[test]
fn a_root_document_says_how_many_must_sign_and_what_is_revoked() {
    let (promotion, key) = signed();
    let keys = [key, SigningKey::generate().unwrap()];
    let root = |threshold: usize, revoked_digests: Vec<Digest>| {
        let document = RootDocument {
            namespace: "acme".into(),
            revoked_digests,
            ..document(&keys, threshold)
        };
        let mut root = TrustRoot::default();
        root.set_root(&signed_root(document, &keys), 1);
        root
    };
    assert!(promotion.verify(&root(1, Vec::new())).is_ok());
    assert!(matches!(
        promotion.verify(&root(2, Vec::new())),
        Err(IdentityError::TooFewSignatures {
            found: 1,
            needed: 2,
            ..
        })
    ));
    assert!(matches!(
        promotion.verify(&root(1, vec![promotion.digest()])),
        Err(IdentityError::DigestRevoked { .. })
    ));
}
