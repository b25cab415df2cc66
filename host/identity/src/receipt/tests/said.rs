//! What a receipt says of a build beside its subjects, where it stands, and what of it is refused.

use super::*;

#[test]
fn what_is_known_of_a_checkout_and_of_the_folder_stands_where_slsa_has_it() {
    let folder = FolderDigest {
        digest: Digest::of(b"folder"),
        files: 6,
    };
    let checkout = Checkout {
        uri: Some("git+https://example.com/redact.git".into()),
        commit: "ab12".into(),
        dirty: true,
    };
    let info = BuildInfo {
        checkout: Some(checkout),
        folder: Some(folder),
        started_on: Some("2026-01-31T12:00:00Z".into()),
        ..build()
    };
    let key = SigningKey::generate().unwrap();
    let receipt = Receipt::sign(&subject(), &info, &key).unwrap();
    assert!(receipt.verify(&trusting("kinetic", &key), &subject()).is_ok());
    assert_eq!(receipt.folder(), Ok(Some(folder)));
    let provenance = receipt.provenance().unwrap();
    assert_eq!(provenance.builder, "urn:kinetic:builder:cli");
    assert_eq!(provenance.source.as_deref(), Some("git+https://example.com/redact.git"));
    let statement: Value = serde_json::from_slice(receipt.payload()).unwrap();
    let definition = &statement["predicate"]["buildDefinition"];
    assert_eq!(
        definition["externalParameters"]["source"],
        json!({ "uri": "git+https://example.com/redact.git" })
    );
    assert_eq!(definition["internalParameters"]["dirty"], json!(true));
    assert_eq!(
        definition["resolvedDependencies"][0],
        json!({ "uri": "git+https://example.com/redact.git", "digest": { "gitCommit": "ab12" } })
    );
    assert_eq!(
        statement["predicate"]["runDetails"]["byproducts"],
        json!([{
            "name": "urn:kinetic:actionspace:solver:redact:v1@1.4.2/folder",
            "digest": { "kineticFramedV1": folder.digest.hex() },
            "annotations": { "files": 6 },
        }])
    );
}

#[test]
fn an_older_receipt_names_no_folder_and_one_that_names_it_by_half_is_refused() {
    let (older, ..) = signed();
    assert_eq!(older.folder(), Ok(None));
    let digest = Digest::of(b"folder").hex();
    let whole = json!({ "digest": { "kineticFramedV1": digest }, "annotations": { "files": 2 } });
    let named = |byproducts: Value| {
        let (receipt, _) = signed_statement(|s| s["predicate"]["runDetails"]["byproducts"] = byproducts);
        receipt.folder()
    };
    assert!(named(json!([whole])).unwrap().is_some());
    assert_eq!(
        named(json!([{ "name": "log", "digest": { "sha256": digest } }])),
        Ok(None)
    );
    for half in [
        json!([{ "digest": { "kineticFramedV1": digest } }]),
        json!([{ "digest": { "kineticFramedV1": digest }, "annotations": { "files": 1 } }]),
        json!([{ "digest": { "kineticFramedV1": "00" }, "annotations": { "files": 2 } }]),
        json!([whole, whole]),
    ] {
        let refused = named(half);
        assert!(
            matches!(refused, Err(IdentityError::ProvenanceMalformed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn provenance_that_is_not_whole_is_told_from_one_that_is() {
    assert!(signed().0.provenance().is_ok());
    let changes: [fn(&mut Value); 4] = [
        |s| s["predicate"]["runDetails"]["builder"]["id"] = json!(""),
        |s| s["predicate"]["runDetails"]["metadata"]["finishedOn"] = json!("soon"),
        |s| s["predicate"]["buildDefinition"]["resolvedDependencies"] = json!([{ "name": "serde" }]),
        |s| s["predicate"]["buildDefinition"]["externalParameters"]["source"] = json!({ "uri": "/home" }),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let (receipt, root) = signed_statement(change);
        // It is signed and about the right thing: only who asks for provenance refuses it.
        assert!(receipt.verify(&root, &subject()).is_ok(), "{at}");
        let refused = receipt.provenance();
        assert!(
            matches!(refused, Err(IdentityError::ProvenanceMalformed { .. })),
            "{at}: {refused:?}"
        );
    }
    let refused = refusal_of(|s| {
        s["predicate"]["buildDefinition"]["externalParameters"]["source"] = json!({ "uri": "a:b", "more": 1 });
    });
    assert!(matches!(refused, IdentityError::ReceiptMalformed { .. }));
}
