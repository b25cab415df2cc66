use proptest::prelude::*;

use super::*;
use crate::root_document::tests::{FAR_UNIX_MS, document, keys, next, signed};
use crate::{BuildInfo, BuildSubject, Receipt, SigningKey, Thresholds, open_statement, sign_statement};

fn subject() -> BuildSubject {
    BuildSubject {
        urn: "urn:kinetic:actionspace:solver:redact:v1".parse().unwrap(),
        version: "1.4.2".parse().unwrap(),
        component: Digest::of(b"component"),
        component_bytes: 9,
        manifest: Digest::of(b"manifest"),
    }
}

fn receipt<'k>(by: impl IntoIterator<Item = &'k SigningKey>) -> Receipt {
    let mut by = by.into_iter();
    let mut receipt = Receipt::sign(&subject(), &BuildInfo::default(), by.next().unwrap()).unwrap();
    for key in by {
        receipt.add_signature(key).unwrap();
    }
    receipt
}

/// Judged by that document, whoever signed it.
fn trusting(document: RootDocument, now_unix_ms: u64) -> TrustRoot {
    let mut root = TrustRoot::default();
    root.set_root(&signed(document, &keys(1)), now_unix_ms);
    root
}

fn ids<'k>(keys: impl IntoIterator<Item = &'k SigningKey>) -> Vec<KeyId> {
    let mut ids: Vec<_> = keys.into_iter().map(|key| key.public().id()).collect();
    ids.sort();
    ids
}

#[test]
fn as_many_distinct_release_keys_as_the_threshold_says_have_to_sign() {
    let keys = keys(5);
    let root = trusting(document(&keys, 3), 0);
    let three = receipt(&keys[1..4]).verify(&root, &subject()).unwrap();
    assert_eq!(three.ids(), ids(&keys[1..4]));
    // All that count are named, not only as many as are needed: one may be dropped later.
    assert_eq!(receipt(&keys).verify(&root, &subject()).unwrap().ids().len(), 5);
    assert_eq!(
        receipt(&keys[..2]).verify(&root, &subject()),
        Err(IdentityError::TooFewSignatures {
            namespace: "kinetic".into(),
            role: Role::Release,
            found: 2,
            needed: 3,
        })
    );
}

#[test]
fn a_signature_that_is_there_three_times_counts_once_under_whatever_name() {
    let keys = keys(3);
    let root = trusting(document(&keys, 2), 0);
    let mut copied = receipt(&keys[..1]).to_value();
    let signatures = copied["signatures"].as_array_mut().unwrap();
    for key in &keys[1..] {
        let mut copy = signatures[0].clone();
        copy["keyid"] = key.public().id().to_string().into();
        signatures.push(copy);
    }
    let copied = Receipt::from_value(&copied).unwrap();
    assert!(matches!(
        copied.verify(&root, &subject()),
        Err(IdentityError::TooFewSignatures {
            found: 1,
            needed: 2,
            ..
        })
    ));
}

#[test]
fn keys_of_other_roles_and_strangers_do_not_count() {
    let keys = keys(3);
    let mut document = document(&keys, 1);
    document.thresholds.release = 2;
    for key in &mut document.keys {
        if key.public_key == keys[2].public() {
            key.roles = vec![Role::Index, Role::Root];
        }
    }
    let root = trusting(document, 0);
    let stranger = SigningKey::generate().unwrap();
    let refused = receipt([&keys[0], &keys[2], &stranger]).verify(&root, &subject());
    assert!(matches!(
        refused,
        Err(IdentityError::TooFewSignatures {
            found: 1,
            needed: 2,
            ..
        })
    ));
    let refused = receipt([&stranger]).verify(&root, &subject());
    assert!(matches!(refused, Err(IdentityError::TooFewSignatures { found: 0, .. })));
    let all = receipt([&stranger, &keys[0], &keys[1]])
        .verify(&root, &subject())
        .unwrap();
    assert_eq!(all.ids(), ids(&keys[..2]));
}

#[test]
fn keys_the_file_lists_count_for_nothing_beside_a_document() {
    let (listed, documented) = (keys(1), keys(1));
    let mut root = TrustRoot::default();
    root.add("kinetic", listed[0].public(), "").unwrap();
    receipt(&listed).verify(&root, &subject()).unwrap();
    root.set_root(&signed(document(&documented, 1), &documented), 0);
    assert!(receipt(&listed).verify(&root, &subject()).is_err());
    receipt(&documented).verify(&root, &subject()).unwrap();
}

#[test]
fn one_of_several_keys_that_are_listed_by_themselves_is_enough_as_before() {
    let listed = keys(3);
    let mut root = TrustRoot::default();
    for key in &listed {
        root.add("kinetic", key.public(), "").unwrap();
    }
    assert_eq!(
        receipt(&listed[1..2]).verify(&root, &subject()).unwrap().ids(),
        ids(&listed[1..2])
    );
    assert_eq!(receipt(&listed).verify(&root, &subject()).unwrap().ids(), ids(&listed));
}

#[test]
fn an_expired_document_admits_nothing_and_takes_nothing_away() {
    let keys = keys(1);
    let receipt = receipt(&keys);
    let before = trusting(document(&keys, 1), FAR_UNIX_MS - 1);
    let signers = receipt.verify(&before, &subject()).unwrap();
    for now in [FAR_UNIX_MS, u64::MAX] {
        let after = trusting(document(&keys, 1), now);
        assert_eq!(
            receipt.verify(&after, &subject()),
            Err(IdentityError::RootExpired {
                namespace: "kinetic".into(),
                version: 1,
                expired: utc_text(FAR_UNIX_MS),
            })
        );
        assert_eq!(after.objection("kinetic", &signers, &[]), Ok(None));
    }
    // A clock that was set back makes it valid again.
    assert!(receipt.verify(&trusting(document(&keys, 1), 0), &subject()).is_ok());
}

#[test]
fn a_revoked_component_or_manifest_is_refused_whoever_signed() {
    let keys = keys(2);
    for revoked in [subject().component, subject().manifest] {
        let mut document = document(&keys, 1);
        document.revoked_digests = vec![revoked];
        let root = trusting(document, 0);
        assert!(matches!(
            receipt(&keys).verify(&root, &subject()),
            Err(IdentityError::DigestRevoked { version: 1, .. })
        ));
    }
    let mut document = document(&keys, 1);
    document.revoked_digests = vec![Digest::of(b"another")];
    receipt(&keys).verify(&trusting(document, 0), &subject()).unwrap();
}

#[test]
fn a_dropped_key_a_higher_threshold_and_a_revocation_are_objected_to() {
    let keys = keys(3);
    let digests = [subject().component, subject().manifest];
    let first = document(&keys, 2);
    let signers = receipt(&keys[..2])
        .verify(&trusting(first.clone(), 0), &subject())
        .unwrap();
    let objection = |document: RootDocument| trusting(document, 0).objection("kinetic", &signers, &digests).unwrap();
    assert_eq!(objection(first.clone()), None);
    let dropped = next(&first, document(&keys[1..], 2));
    assert!(matches!(
        objection(dropped),
        Some(IdentityError::TooFewSignatures {
            found: 1,
            needed: 2,
            ..
        })
    ));
    let stays = next(&first, document(&keys[..2], 2));
    assert_eq!(objection(stays), None);
    let raised = next(&first, document(&keys, 3));
    assert!(matches!(
        objection(raised),
        Some(IdentityError::TooFewSignatures { needed: 3, .. })
    ));
    let mut revoking = next(&first, first.clone());
    revoking.revoked_digests = vec![digests[0]];
    assert!(matches!(
        objection(revoking),
        Some(IdentityError::DigestRevoked { version: 2, .. })
    ));
}

#[test]
fn without_a_document_one_signer_that_is_still_listed_is_enough() {
    let listed = keys(2);
    let mut root = TrustRoot::default();
    for key in &listed {
        root.add("kinetic", key.public(), "").unwrap();
    }
    let signers = receipt(&listed).verify(&root, &subject()).unwrap();
    root.remove("kinetic", &listed[0].public().id()).unwrap();
    assert_eq!(root.objection("kinetic", &signers, &[]), Ok(None));
    root.remove("kinetic", &listed[1].public().id()).unwrap();
    assert!(root.objection("kinetic", &signers, &[]).unwrap().is_some());
}

#[test]
fn where_the_document_cannot_be_used_nobody_can_tell() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.json");
    let keys = keys(1);
    let roots = crate::RootFolder::beside(&trust);
    let signers = receipt(&keys)
        .verify(&trusting(document(&keys, 1), 0), &subject())
        .unwrap();
    std::fs::create_dir(roots.path()).unwrap();
    std::fs::write(roots.path().join("kinetic.seen"), "?").unwrap();
    let root = TrustRoot::load(&trust).unwrap();
    assert!(matches!(
        root.objection("kinetic", &signers, &[]),
        Err(IdentityError::RootUnusable { .. })
    ));
    assert!(matches!(
        receipt(&keys).verify(&root, &subject()),
        Err(IdentityError::RootUnusable { .. })
    ));
}

#[test]
fn a_release_key_of_another_namespaces_document_is_told_apart() {
    let keys = keys(1);
    let other = RootDocument {
        namespace: "other".into(),
        ..document(&keys, 1)
    };
    let mut root = trusting(other, 0);
    for _ in 0..2 {
        match receipt(&keys).verify(&root, &subject()) {
            Err(IdentityError::WrongNamespace { theirs, .. }) => assert_eq!(theirs, "other"),
            refused => panic!("{refused:?}"),
        }
        let mine = crate::root_document::tests::keys(1);
        root.set_root(&signed(document(&mine, 1), &mine), 0);
    }
}

#[test]
fn statements_need_the_threshold_too() {
    let keys = keys(2);
    let root = trusting(document(&keys, 2), 0);
    let mut envelope = sign_statement(b"{}", &keys[0]);
    assert!(matches!(
        open_statement(&envelope, &root, "kinetic", DocumentKind::Release),
        Err(IdentityError::TooFewSignatures {
            found: 1,
            needed: 2,
            ..
        })
    ));
    assert!(crate::countersign_statement(&mut envelope, &keys[1]).unwrap());
    assert!(!crate::countersign_statement(&mut envelope, &keys[1]).unwrap());
    let (bytes, signers) = open_statement(&envelope, &root, "kinetic", DocumentKind::Release).unwrap();
    assert_eq!((bytes.as_slice(), signers.ids()), (&b"{}"[..], ids(&keys).as_slice()));
}

#[test]
fn signers_read_back_what_they_print() {
    let keys = keys(3);
    let root = trusting(document(&keys, 1), 0);
    for count in 1..=3 {
        let signers = receipt(&keys[..count]).verify(&root, &subject()).unwrap();
        let text = signers.to_string();
        assert_eq!(text.parse::<Signers>().unwrap(), signers);
        assert_eq!(text.len(), 17 * count - 1);
    }
    let one = "0123456789abcdef";
    for bad in [
        "",
        "+",
        "this program",
        &format!("{one}+"),
        &format!("{one}+{one}"),
        &format!("f{}+{one}", &one[1..]),
    ] {
        assert!(bad.parse::<Signers>().is_err(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_receipt_is_accepted_just_when_enough_distinct_release_keys_signed(
        (trusted, threshold) in (1..7usize).prop_flat_map(|trusted| (Just(trusted), 1..=trusted)),
        // Which of ten keys sign, in which order, and how often each signature is repeated. Those past `trusted` are
        // strangers.
        signing in prop::collection::vec((0..10usize, 1..3usize), 1..8),
        borrowed_name in 0..10usize,
    ) {
        let all = keys(10);
        let root = trusting(
            RootDocument {
                thresholds: Thresholds { index: 1, release: threshold, root: 1 },
                ..document(&all[..trusted], 1)
            },
            0,
        );
        let mut value = receipt(signing.iter().map(|(at, _)| &all[*at])).to_value();
        let signatures = value["signatures"].as_array_mut().unwrap();
        let repeated: Vec<_> = signatures
            .iter()
            .zip(&signing)
            .filter(|(_, (_, times))| *times > 1)
            .map(|(signature, _)| {
                let mut copy = signature.clone();
                copy["keyid"] = all[borrowed_name].public().id().to_string().into();
                copy
            })
            .collect();
        signatures.extend(repeated);
        let receipt = Receipt::from_value(&value).unwrap();
        let mut right: Vec<usize> = signing.iter().map(|(at, _)| *at).filter(|at| *at < trusted).collect();
        right.sort_unstable();
        right.dedup();
        match receipt.verify(&root, &subject()) {
            Ok(signers) => {
                prop_assert!(right.len() >= threshold);
                prop_assert_eq!(signers.ids(), ids(right.iter().map(|at| &all[*at])));
            }
            Err(refused) => prop_assert!(right.len() < threshold, "{}", refused),
        }
    }
}
