//! What a receipt proves, and every way in which it must not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::dsse::{SIGNATURES_MAX, Signature};

mod said;

fn subject() -> BuildSubject {
    BuildSubject {
        urn: "urn:kinetic:actionspace:solver:redact:v1".parse().unwrap(),
        version: "1.4.2".parse().unwrap(),
        component: Digest::of(b"component"),
        component_bytes: 9,
        manifest: Digest::of(b"manifest"),
    }
}

fn build() -> BuildInfo {
    BuildInfo {
        builder_id: "urn:kinetic:builder:cli".into(),
        builder_version: "0.1.0".into(),
        toolchain: "rustc 1.95.0".into(),
        sources: vec![SourceDigest {
            uri: "src/lib.rs".into(),
            digest: Digest::of(b"source"),
        }],
        invocation_id: Some("7".into()),
        ..BuildInfo::default()
    }
}

fn trusting(namespace: &str, key: &SigningKey) -> TrustRoot {
    let mut root = TrustRoot::default();
    root.add(namespace, key.public(), "").unwrap();
    root
}

fn signed() -> (Receipt, TrustRoot, SigningKey) {
    let key = SigningKey::generate().unwrap();
    let receipt = Receipt::sign(&subject(), &build(), &key).unwrap();
    (receipt, trusting("kinetic", &key), key)
}

/// A receipt whose statement was changed before it was signed by a trusted key.
fn signed_statement(change: impl FnOnce(&mut Value)) -> (Receipt, TrustRoot) {
    let (receipt, root, key) = signed();
    let mut statement: Value = serde_json::from_slice(&receipt.0.payload).unwrap();
    change(&mut statement);
    (
        Receipt(Envelope::sign(PAYLOAD_TYPE, statement.to_string().into_bytes(), &key)),
        root,
    )
}

fn refusal_of(change: impl FnOnce(&mut Value)) -> IdentityError {
    let (receipt, root) = signed_statement(change);
    receipt.verify(&root, &subject()).unwrap_err()
}

#[test]
fn a_receipt_verifies_after_a_round_trip_and_names_its_key() {
    let (receipt, root, key) = signed();
    let read = Receipt::from_json(&receipt.to_json()).unwrap();
    assert_eq!(read, receipt);
    assert_eq!(Receipt::from_value(&receipt.to_value()).unwrap(), receipt);
    assert_eq!(read.verify(&root, &subject()).unwrap().ids(), [key.public().id()]);
}

#[test]
fn the_statement_has_the_shape_in_toto_and_slsa_prescribe() {
    let (receipt, ..) = signed();
    assert_eq!(receipt.to_value()["payloadType"], "application/vnd.in-toto+json");
    let statement: Value = serde_json::from_slice(&receipt.0.payload).unwrap();
    let at = "urn:kinetic:actionspace:solver:redact:v1@1.4.2";
    assert_eq!(
        statement,
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [
                { "name": format!("{at}/component.wasm"), "digest": { "sha256": Digest::of(b"component").hex() } },
                { "name": format!("{at}/manifest.json"), "digest": { "sha256": Digest::of(b"manifest").hex() } },
            ],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:kinetic:buildtype:component:v1",
                    "externalParameters": {
                        "urn": "urn:kinetic:actionspace:solver:redact:v1", "version": "1.4.2", "component_bytes": 9
                    },
                    "internalParameters": { "toolchain": "rustc 1.95.0" },
                    "resolvedDependencies": [
                        { "uri": "src/lib.rs", "digest": { "sha256": Digest::of(b"source").hex() } }
                    ],
                },
                "runDetails": {
                    "builder": { "id": "urn:kinetic:builder:cli", "version": { "kinetic": "0.1.0" } },
                    "metadata": { "invocationId": "7" },
                },
            },
        })
    );
}

#[test]
fn every_field_of_the_subject_must_be_the_expected_one() {
    let (receipt, root, _) = signed();
    let other = Digest::of(b"other");
    for (field, expect) in [
        (
            "urn",
            BuildSubject {
                urn: "urn:kinetic:actionspace:solver:other:v1".parse().unwrap(),
                ..subject()
            },
        ),
        (
            "version",
            BuildSubject {
                version: "1.4.3".parse().unwrap(),
                ..subject()
            },
        ),
        (
            "version",
            BuildSubject {
                version: "1.4.2+other".parse().unwrap(),
                ..subject()
            },
        ),
        (
            "component_bytes",
            BuildSubject {
                component_bytes: 10,
                ..subject()
            },
        ),
        (
            "digest of component.wasm",
            BuildSubject {
                component: other,
                ..subject()
            },
        ),
        (
            "digest of manifest.json",
            BuildSubject {
                manifest: other,
                ..subject()
            },
        ),
    ] {
        match receipt.verify(&root, &expect) {
            Err(IdentityError::SubjectMismatch { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn a_receipt_fits_what_it_is_about_whoever_signed_it_and_nothing_else() {
    let (receipt, _, _) = signed();
    receipt.check_subject(&subject()).unwrap();
    let other = BuildSubject {
        component: Digest::of(b"another"),
        ..subject()
    };
    assert!(matches!(
        receipt.check_subject(&other),
        Err(IdentityError::SubjectMismatch { .. })
    ));
}

#[test]
fn an_empty_trust_root_believes_nobody() {
    let (receipt, ..) = signed();
    let refused = receipt.verify(&TrustRoot::default(), &subject());
    assert_eq!(
        refused,
        Err(IdentityError::NamespaceUntrusted {
            namespace: "kinetic".into()
        })
    );
}

#[test]
fn a_key_of_another_namespace_is_refused_by_its_own_error() {
    let (receipt, _, key) = signed();
    let mut root = trusting("other", &key);
    for _ in 0..2 {
        match receipt.verify(&root, &subject()) {
            Err(IdentityError::WrongNamespace { namespace, theirs, .. }) => {
                assert_eq!((namespace.as_str(), theirs.as_str()), ("kinetic", "other"));
            }
            other => panic!("{other:?}"),
        }
        // It stays refused when the right namespace lists somebody else.
        root.add("kinetic", SigningKey::generate().unwrap().public(), "")
            .unwrap();
    }
}

#[test]
fn a_stranger_is_refused_and_may_not_borrow_a_trusted_key_id() {
    let (mut receipt, ..) = signed();
    let trusted = SigningKey::generate().unwrap();
    let root = trusting("kinetic", &trusted);
    assert!(matches!(
        receipt.verify(&root, &subject()),
        Err(IdentityError::SignerUntrusted { .. })
    ));
    receipt.0.signatures[0].key_id = trusted.public().id().to_string();
    assert!(matches!(
        receipt.verify(&root, &subject()),
        Err(IdentityError::BadSignature { .. })
    ));
}

#[test]
fn one_trusted_signature_among_strangers_is_enough() {
    let (mut receipt, root, key) = signed();
    let stranger = Receipt::sign(&subject(), &build(), &SigningKey::generate().unwrap()).unwrap();
    receipt.0.signatures.insert(0, stranger.0.signatures[0].clone());
    receipt.0.signatures.insert(
        0,
        Signature {
            key_id: String::new(),
            bytes: vec![1; 70],
        },
    );
    let read = Receipt::from_json(&receipt.to_json()).unwrap();
    assert_eq!(read.verify(&root, &subject()).unwrap().ids(), [key.public().id()]);
}

#[test]
fn no_signature_and_too_many_are_refused() {
    let (mut receipt, ..) = signed();
    let signature = receipt.0.signatures[0].clone();
    receipt.0.signatures = vec![signature; SIGNATURES_MAX];
    assert!(Receipt::from_json(&receipt.to_json()).is_ok());
    receipt.0.signatures.push(receipt.0.signatures[0].clone());
    assert!(matches!(
        Receipt::from_json(&receipt.to_json()),
        Err(IdentityError::TooManySignatures { found: 17, .. })
    ));
    receipt.0.signatures.clear();
    assert_eq!(
        Receipt::from_json(&receipt.to_json()),
        Err(IdentityError::NoSignature {})
    );
}

#[test]
fn a_signature_carried_over_to_another_payload_is_refused() {
    let (mut receipt, root, key) = signed();
    let other = BuildSubject {
        component: Digest::of(b"evil"),
        ..subject()
    };
    receipt.0.payload = Receipt::sign(&other, &build(), &key).unwrap().0.payload;
    let named = IdentityError::BadSignature {
        document: DocumentKind::Receipt,
        key_id: key.public().id().to_string(),
    };
    assert_eq!(receipt.verify(&root, &other), Err(named));
}

#[test]
fn unknown_types_are_refused_even_when_signed_by_a_trusted_key() {
    let (mut receipt, root, key) = signed();
    receipt.0 = Envelope::sign("application/json", receipt.0.payload, &key);
    assert!(matches!(
        receipt.verify(&root, &subject()),
        Err(IdentityError::UnknownPayloadType { .. })
    ));

    let refused = refusal_of(|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1"));
    assert!(matches!(refused, IdentityError::UnknownStatementType { .. }));
    let refused = refusal_of(|s| s["predicateType"] = json!("https://example.com/predicate/v1"));
    assert!(matches!(refused, IdentityError::UnknownPredicateType { .. }));
    let refused = refusal_of(|s| s["predicate"]["buildDefinition"]["buildType"] = json!("other"));
    assert!(matches!(refused, IdentityError::UnknownBuildType { .. }));
    assert!(matches!(
        refusal_of(|s| *s = json!([])),
        IdentityError::UnknownStatementType { .. }
    ));
}

#[test]
fn subjects_are_exactly_two_with_exactly_one_digest() {
    let extra = json!({ "name": "x", "digest": { "sha256": "00" } });
    for refused in [
        refusal_of(|s| s["subject"] = json!([])),
        refusal_of(|s| s["subject"].as_array_mut().unwrap().truncate(1)),
        refusal_of(|s| s["subject"].as_array_mut().unwrap().push(extra)),
        refusal_of(|s| s["subject"][1] = s["subject"][0].clone()),
        refusal_of(|s| s["subject"][0]["name"] = json!("component.wasm")),
        refusal_of(|s| s["subject"][0]["digest"] = json!({})),
        refusal_of(|s| s["subject"][0]["digest"]["sha1"] = json!("00")),
        refusal_of(|s| {
            let upper = s["subject"][0]["digest"]["sha256"].as_str().unwrap().to_uppercase();
            s["subject"][0]["digest"]["sha256"] = json!(upper);
        }),
    ] {
        assert!(matches!(refused, IdentityError::SubjectMismatch { .. }), "{refused}");
    }
}

#[test]
fn unknown_external_parameters_are_refused_and_unknown_notes_are_ignored() {
    let refused = refusal_of(|s| s["predicate"]["buildDefinition"]["externalParameters"]["debug"] = json!(true));
    assert!(matches!(refused, IdentityError::ReceiptMalformed { .. }));
    let refused = refusal_of(|s| s["subject"][0]["uri"] = json!("elsewhere"));
    assert!(matches!(refused, IdentityError::ReceiptMalformed { .. }));
    let (receipt, root) = signed_statement(|s| s["predicate"]["runDetails"]["byproducts"] = json!([]));
    assert!(receipt.verify(&root, &subject()).is_ok());
}

#[test]
fn a_member_named_twice_is_refused_in_the_envelope_and_in_the_payload() {
    let (receipt, root, key) = signed();
    let text = String::from_utf8(receipt.to_json()).unwrap();
    let doubled = text.replacen('{', r#"{"payload":"","#, 1);
    assert!(matches!(
        Receipt::from_json(doubled.as_bytes()),
        Err(IdentityError::JsonDuplicateKey { .. })
    ));

    let payload = String::from_utf8(receipt.0.payload.clone()).unwrap();
    let doubled = payload.replacen(r#""sha256":"#, r#""sha256":"00","sha256":"#, 1);
    let receipt = Receipt(Envelope::sign(PAYLOAD_TYPE, doubled.into_bytes(), &key));
    let refused = receipt.verify(&root, &subject());
    assert_eq!(refused, Err(IdentityError::JsonDuplicateKey { key: "sha256".into() }));
}

#[test]
fn depth_is_bounded_in_the_envelope_and_in_the_payload() {
    let deep = format!("{}{}", "[".repeat(33), "]".repeat(33));
    let (receipt, root, key) = signed();
    let text = String::from_utf8(receipt.to_json())
        .unwrap()
        .replacen('{', &format!("{{\"x\":{deep},"), 1);
    assert_eq!(
        Receipt::from_json(text.as_bytes()),
        Err(IdentityError::JsonTooDeep { depth_max: 32 })
    );
    let receipt = Receipt(Envelope::sign(PAYLOAD_TYPE, deep.into_bytes(), &key));
    assert_eq!(
        receipt.verify(&root, &subject()),
        Err(IdentityError::JsonTooDeep { depth_max: 32 })
    );
}

#[test]
fn a_receipt_over_64_kib_is_neither_made_nor_read() {
    let (receipt, _, key) = signed();
    let mut text = receipt.to_json();
    text.resize(RECEIPT_BYTES_MAX, b' ');
    assert_eq!(Receipt::from_json(&text), Ok(receipt));
    text.push(b' ');
    assert!(matches!(
        Receipt::from_json(&text),
        Err(IdentityError::ReceiptTooLarge { .. })
    ));

    let sources = vec![
        SourceDigest {
            uri: "src/lib.rs".into(),
            digest: Digest::of(b"")
        };
        600
    ];
    let large = Receipt::sign(&subject(), &BuildInfo { sources, ..build() }, &key);
    assert!(matches!(large, Err(IdentityError::ReceiptTooLarge { .. })));
}

#[test]
fn what_is_no_envelope_is_refused() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"payloadType":1}"#,
        r#"{"payloadType":"","payload":"%","signatures":[{"sig":""}]}"#,
    ] {
        assert!(Receipt::from_json(text.as_bytes()).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_anywhere_in_the_payload_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let (mut receipt, root, _) = signed();
        let index = at.index(receipt.0.payload.len());
        receipt.0.payload[index] ^= 1 << bit;
        let refused = matches!(receipt.verify(&root, &subject()), Err(IdentityError::BadSignature { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn a_flipped_bit_anywhere_in_the_signature_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let (mut receipt, root, _) = signed();
        let index = at.index(64);
        receipt.0.signatures[0].bytes[index] ^= 1 << bit;
        let refused = matches!(receipt.verify(&root, &subject()), Err(IdentityError::BadSignature { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn a_flipped_bit_in_the_base64_of_payload_or_signature_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let (receipt, root, _) = signed();
        let mut text = receipt.to_json();
        let (payload, sig) = (STANDARD.encode(&receipt.0.payload), STANDARD.encode(&receipt.0.signatures[0].bytes));
        let shown = String::from_utf8(text.clone()).unwrap();
        let within: Vec<usize> = [&payload, &sig]
            .iter()
            .flat_map(|part| { let start = shown.find(part.as_str()).unwrap(); start..start + part.len() })
            .collect();
        text[within[at.index(within.len())]] ^= 1 << bit;
        let verified = Receipt::from_json(&text).and_then(|read| read.verify(&root, &subject()));
        prop_assert!(verified.is_err(), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Receipt::from_json(&bytes);
    }
}
