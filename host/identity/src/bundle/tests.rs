//! What a bundle of cosign proves, and every form of one that is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinetic_model::Digest;
use serde_json::{Value, json};

use crate::p256::tests::CosignKey;
use crate::root_document::tests::{FAR_UNIX_MS, document, keys, signed};
use crate::{
    BuildInfo, BuildSubject, IdentityError, KeyId, PublicKey, Receipt, Role, RootDocument, RootKey, SigningKey,
    TrustRoot, dsse,
};

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

fn subject() -> BuildSubject {
    BuildSubject {
        urn: "urn:kinetic:actionspace:solver:redact:v1".parse().unwrap(),
        version: "1.4.2".parse().unwrap(),
        component: Digest::of(b"component"),
        component_bytes: 9,
        manifest: Digest::of(b"manifest"),
    }
}

fn statement() -> Vec<u8> {
    Receipt::statement(&subject(), &BuildInfo::default()).unwrap()
}

/// SHA-256 of the key's DER, as the PEM around it says it.
fn hint(key: &CosignKey) -> String {
    let pem = key.pem();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.encode(Digest::of(&STANDARD.decode(body).unwrap()).as_bytes())
}

/// A bundle in the layout that Sigstore documents for a DSSE envelope and a key, with an entry of a transparency log.
fn bundle(key: &CosignKey, payload: &[u8]) -> Value {
    let signature = key.sign(&dsse::encode(PAYLOAD_TYPE, payload));
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "publicKey": { "hint": hint(key) },
            "tlogEntries": [{
                "logIndex": "42", "logId": { "keyId": "wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0=" },
                "kindVersion": { "kind": "dsse", "version": "0.0.1" }, "integratedTime": "1790654339",
            }],
            "timestampVerificationData": { "rfc3161Timestamps": [] },
        },
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{ "sig": STANDARD.encode(signature) }],
        },
    })
}

fn trusting(namespace: &str, key: PublicKey) -> TrustRoot {
    let mut root = TrustRoot::default();
    root.add(namespace, key, "").unwrap();
    root
}

/// What is said of an honest bundle that was changed behind the signer's back.
fn refusal_of(change: impl FnOnce(&mut Value)) -> IdentityError {
    let key = CosignKey::generate();
    let mut bundle = bundle(&key, &statement());
    change(&mut bundle);
    let receipt = Receipt::from_value(&bundle);
    let verified = receipt.and_then(|receipt| receipt.verify(&trusting("kinetic", key.public()), &subject()));
    verified.unwrap_err()
}

/// What is said of another statement that a trusted key signed.
fn refusal_of_statement(change: impl FnOnce(&mut Value)) -> IdentityError {
    let key = CosignKey::generate();
    let mut changed: Value = serde_json::from_slice(&statement()).unwrap();
    change(&mut changed);
    let receipt = Receipt::from_value(&bundle(&key, changed.to_string().as_bytes())).unwrap();
    receipt
        .verify(&trusting("kinetic", key.public()), &subject())
        .unwrap_err()
}

fn ids(keys: &[PublicKey]) -> Vec<KeyId> {
    let mut ids: Vec<_> = keys.iter().map(PublicKey::id).collect();
    ids.sort();
    ids
}

#[test]
fn a_bundle_stands_where_a_receipt_stands_and_names_its_key() {
    let key = CosignKey::generate();
    let bundle = bundle(&key, &statement());
    let receipt = Receipt::from_json(bundle.to_string().as_bytes()).unwrap();
    let signers = receipt.verify(&trusting("kinetic", key.public()), &subject()).unwrap();
    assert_eq!(signers.ids(), [key.public().id()]);
    assert_eq!(receipt.named_keys().collect::<Vec<_>>(), [key.public().id().as_str()]);
    // What is written of it is the envelope, which says the same.
    let again = Receipt::from_json(&receipt.to_json()).unwrap();
    assert_eq!(again, receipt);
    assert!(again.to_value().get("mediaType").is_none());
}

#[test]
fn a_hint_only_says_what_is_tried_first() {
    let key = CosignKey::generate();
    for other in ["", "no base64 at all", &hint(&CosignKey::generate())] {
        let mut bundle = bundle(&key, &statement());
        bundle["verificationMaterial"]["publicKey"]["hint"] = json!(other);
        let receipt = Receipt::from_value(&bundle).unwrap();
        assert!(
            receipt.verify(&trusting("kinetic", key.public()), &subject()).is_ok(),
            "{other}"
        );
    }
    let mut bundle = bundle(&key, &statement());
    bundle["verificationMaterial"]["publicKey"] = json!({});
    let receipt = Receipt::from_value(&bundle).unwrap();
    assert!(receipt.verify(&trusting("kinetic", key.public()), &subject()).is_ok());
}

#[test]
fn a_key_of_another_namespace_is_refused_by_its_own_error_and_a_stranger_by_another() {
    let key = CosignKey::generate();
    let receipt = Receipt::from_value(&bundle(&key, &statement())).unwrap();
    let mut root = trusting("other", key.public());
    assert!(matches!(
        receipt.verify(&root, &subject()),
        Err(IdentityError::WrongNamespace { .. })
    ));
    root = trusting("kinetic", CosignKey::generate().public());
    assert!(matches!(
        receipt.verify(&root, &subject()),
        Err(IdentityError::SignerUntrusted { .. })
    ));
}

#[test]
fn a_statement_about_one_of_the_two_files_alone_is_refused() {
    for at in [0, 1] {
        let refused = refusal_of_statement(|s| {
            s["subject"].as_array_mut().unwrap().remove(at);
        });
        assert!(matches!(refused, IdentityError::SubjectMismatch { .. }), "{refused}");
    }
    let refused = refusal_of_statement(|s| s["predicateType"] = json!("https://slsa.dev/provenance/v0.2"));
    assert!(
        matches!(refused, IdentityError::UnknownPredicateType { .. }),
        "{refused}"
    );
}

#[test]
fn a_bundle_with_a_certificate_is_refused_and_it_is_said_what_to_do() {
    use kinetic_model::Coded as _;
    for material in [
        json!({ "certificate": { "rawBytes": "MIIC" } }),
        json!({ "x509CertificateChain": { "certificates": [{ "rawBytes": "MIIC" }] } }),
        json!({ "certificate": {}, "publicKey": { "hint": "" } }),
    ] {
        let refused = refusal_of(|b| b["verificationMaterial"] = material);
        assert_eq!(refused, IdentityError::BundleKeyless {});
        assert!(refused.fix().contains("--cosign-key"));
    }
}

#[test]
fn a_payload_changed_after_signing_is_refused() {
    let mut other: Value = serde_json::from_slice(&statement()).unwrap();
    other["predicate"]["runDetails"]["builder"]["id"] = json!("https://example.com/another");
    let refused = refusal_of(|b| b["dsseEnvelope"]["payload"] = json!(STANDARD.encode(other.to_string())));
    assert!(matches!(refused, IdentityError::BadSignature { .. }), "{refused}");
    let refused = refusal_of(|b| b["dsseEnvelope"]["payloadType"] = json!("application/json"));
    assert!(matches!(refused, IdentityError::UnknownPayloadType { .. }), "{refused}");
}

#[test]
fn bundles_of_other_versions_and_over_bytes_alone_are_refused() {
    for other in [
        json!("application/vnd.dev.sigstore.bundle+json;version=0.2"),
        json!("application/vnd.dev.sigstore.bundle.v0.4+json"),
        json!(""),
        json!(3),
        Value::Null,
    ] {
        let refused = refusal_of(|b| b["mediaType"] = other);
        assert!(matches!(refused, IdentityError::BundleUnknown { .. }), "{refused}");
    }
    let refused = refusal_of(|b| b["messageSignature"] = json!({ "signature": "MEUCIQ==" }));
    assert_eq!(refused, IdentityError::BundleOfBytes {});
}

#[test]
fn a_member_named_twice_is_refused_anywhere() {
    let text = bundle(&CosignKey::generate(), &statement()).to_string();
    for (from, doubled) in [
        ("{\"mediaType\"", "{\"mediaType\":\"x\",\"mediaType\""),
        ("\"payload\":", "\"payload\":\"\",\"payload\":"),
        ("\"publicKey\":", "\"publicKey\":{},\"publicKey\":"),
        ("\"sig\":", "\"sig\":\"\",\"sig\":"),
    ] {
        let changed = text.replacen(from, doubled, 1);
        assert_ne!(changed, text, "{from}");
        let refused = Receipt::from_json(changed.as_bytes());
        assert!(
            matches!(refused, Err(IdentityError::JsonDuplicateKey { .. })),
            "{from}: {refused:?}"
        );
    }
}

#[test]
fn a_bundle_of_another_shape_is_refused() {
    let malformed: [fn(&mut Value); 7] = [
        |b| b["surprise"] = json!(1),
        |b| b["verificationMaterial"]["surprise"] = json!(1),
        |b| b["verificationMaterial"] = json!({}),
        |b| b["dsseEnvelope"] = Value::Null,
        |b| b["dsseEnvelope"]["payload"] = json!("%"),
        |b| {
            let signature = b["dsseEnvelope"]["signatures"][0].clone();
            b["dsseEnvelope"]["signatures"].as_array_mut().unwrap().push(signature);
        },
        // Neither an envelope nor a bundle, but a bit of both.
        |b| b["payloadType"] = json!(PAYLOAD_TYPE),
    ];
    for (at, change) in malformed.into_iter().enumerate() {
        let refused = refusal_of(change);
        assert!(
            matches!(refused, IdentityError::BundleMalformed { .. }),
            "{at}: {refused}"
        );
    }
    let refused = refusal_of(|b| b["dsseEnvelope"]["signatures"] = json!([]));
    assert_eq!(refused, IdentityError::NoSignature {});
}

#[test]
fn a_signature_of_another_algorithm_is_none() {
    let (key, ours) = (CosignKey::generate(), SigningKey::generate().unwrap());
    let message = dsse::encode(PAYLOAD_TYPE, &statement());
    for other in [ours.sign(&message).to_vec(), vec![0x30; 72], Vec::new()] {
        let mut bundle = bundle(&key, &statement());
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!(STANDARD.encode(&other));
        let refused = Receipt::from_value(&bundle)
            .unwrap()
            .verify(&trusting("kinetic", key.public()), &subject());
        assert!(
            matches!(refused, Err(IdentityError::BadSignature { .. })),
            "{refused:?}"
        );
    }
}

/// Version 1 of `kinetic` with these keys of ours, and keys of cosign that sign releases.
fn mixed(ours: &[SigningKey], theirs: &[PublicKey], threshold: usize) -> RootDocument {
    let mut document = document(ours, 1);
    document.thresholds.release = threshold;
    document.keys.extend(theirs.iter().map(|key| RootKey {
        key_id: key.id(),
        public_key: *key,
        roles: vec![Role::Release],
    }));
    document.keys.sort_by(|a, b| a.key_id.cmp(&b.key_id));
    document
}

#[test]
fn keys_of_both_kinds_count_together_towards_what_a_root_document_asks_for() {
    let (ours, theirs) = (keys(2), CosignKey::generate());
    let document = mixed(&ours, &[theirs.public()], 2);
    let mut root = TrustRoot::default();
    root.set_root(&signed(document, &ours[..1]), 0);
    let alone = Receipt::from_value(&bundle(&theirs, &statement())).unwrap();
    assert!(matches!(
        alone.verify(&root, &subject()),
        Err(IdentityError::TooFewSignatures {
            found: 1,
            needed: 2,
            ..
        })
    ));
    // One of ours signs what cosign signed, or the other way round.
    let mut both = alone.clone();
    assert!(both.add_signature(&ours[1]).unwrap());
    let mut joined = Receipt::sign(&subject(), &BuildInfo::default(), &ours[1]).unwrap();
    assert!(joined.join(alone.clone()).unwrap());
    assert!(!joined.join(alone.clone()).unwrap(), "it is there already");
    for receipt in [both, joined] {
        let signers = receipt.verify(&root, &subject()).unwrap();
        assert_eq!(signers.ids(), ids(&[ours[1].public(), theirs.public()]));
    }
    // The same signature in two spellings of its key's name is one.
    let mut twice = alone.clone();
    let mut other = bundle(&theirs, &statement());
    other["verificationMaterial"]["publicKey"]["hint"] = json!("");
    twice.join(Receipt::from_value(&other).unwrap()).unwrap();
    assert!(matches!(
        twice.verify(&root, &subject()),
        Err(IdentityError::TooFewSignatures { found: 1, .. })
    ));
}

#[test]
fn signatures_of_two_statements_do_not_stand_together() {
    let theirs = CosignKey::generate();
    let info = BuildInfo {
        toolchain: "another".into(),
        ..BuildInfo::default()
    };
    let mut receipt = Receipt::sign(&subject(), &info, &keys(1)[0]).unwrap();
    let before = receipt.clone();
    let refused = receipt.join(Receipt::from_value(&bundle(&theirs, &statement())).unwrap());
    assert_eq!(refused, Err(IdentityError::StatementDiffers {}));
    assert_eq!(receipt, before);
}

#[test]
fn revocation_and_expiry_hold_for_bundles_too() {
    let (ours, theirs) = (keys(1), CosignKey::generate());
    let receipt = Receipt::from_value(&bundle(&theirs, &statement())).unwrap();
    let document = mixed(&ours, &[theirs.public()], 1);
    let mut root = TrustRoot::default();
    root.set_root(&signed(document.clone(), &ours), 0);
    assert!(receipt.verify(&root, &subject()).is_ok());
    root.set_root(&signed(document.clone(), &ours), FAR_UNIX_MS);
    assert!(matches!(
        receipt.verify(&root, &subject()),
        Err(IdentityError::RootExpired { .. })
    ));
    let revoking = RootDocument {
        revoked_digests: vec![subject().manifest],
        ..document
    };
    root.set_root(&signed(revoking, &ours), 0);
    assert!(matches!(
        receipt.verify(&root, &subject()),
        Err(IdentityError::DigestRevoked { .. })
    ));
}

#[test]
fn a_key_of_cosign_signs_releases_and_nothing_else() {
    let (ours, theirs) = (keys(1), CosignKey::generate().public());
    mixed(&ours, &[theirs], 2).check().unwrap();
    for roles in [vec![Role::Root], vec![Role::Index, Role::Release], Role::ALL.to_vec()] {
        let mut document = mixed(&ours, &[theirs], 2);
        let key = document.keys.iter_mut().find(|key| key.public_key == theirs).unwrap();
        key.roles = roles;
        match document.check() {
            Err(IdentityError::RootMalformed { why }) => assert!(why.contains("P-256"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}
