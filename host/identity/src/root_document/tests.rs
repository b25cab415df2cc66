use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{SigningKey, canonical};

/// Later than any test.
pub(crate) const FAR_UNIX_MS: u64 = 4_000_000_000_000;

pub(crate) fn keys(count: usize) -> Vec<SigningKey> {
    (0..count).map(|_| SigningKey::generate().unwrap()).collect()
}

/// Version 1 for namespace `kinetic`, in which each key has every role and `threshold` of them are enough for each.
pub(crate) fn document(keys: &[SigningKey], threshold: usize) -> RootDocument {
    let mut listed: Vec<RootKey> = keys
        .iter()
        .map(|key| RootKey {
            key_id: key.public().id(),
            public_key: key.public(),
            roles: Role::ALL.to_vec(),
        })
        .collect();
    listed.sort_by(|a, b| a.key_id.cmp(&b.key_id));
    RootDocument {
        expires_unix_ms: FAR_UNIX_MS,
        keys: listed,
        namespace: "kinetic".into(),
        revoked_digests: Vec::new(),
        thresholds: Thresholds {
            index: threshold,
            release: threshold,
            root: threshold,
        },
        version: 1,
    }
}

/// Signed by each of `by`.
pub(crate) fn signed<'k>(document: RootDocument, by: impl IntoIterator<Item = &'k SigningKey>) -> SignedRoot {
    let mut by = by.into_iter();
    let mut root = SignedRoot::sign(document, by.next().unwrap()).unwrap();
    for key in by {
        assert!(root.add_signature(key).unwrap());
    }
    root
}

/// The same with the next version's number.
pub(crate) fn next(before: &RootDocument, document: RootDocument) -> RootDocument {
    RootDocument {
        version: before.version + 1,
        ..document
    }
}

fn why(root: Result<SignedRoot, IdentityError>) -> String {
    match root {
        Err(IdentityError::RootMalformed { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_root_document_reads_back_what_it_writes_and_its_bytes_are_those_of_sorted_json() {
    let keys = keys(3);
    let mut document = document(&keys, 2);
    document.revoked_digests = vec![Digest::of(b"b"), Digest::of(b"a")];
    document.revoked_digests.sort();
    let root = signed(document.clone(), &keys);
    let read = SignedRoot::from_json(&root.to_json()).unwrap();
    assert_eq!(read, root);
    assert_eq!(read.document(), &document);
    let value = serde_json::to_value(&document).unwrap();
    let sorted = serde_json::to_vec(&kinetic_model::Sorted(&value)).unwrap();
    assert_eq!(canonical::write(&document).unwrap(), sorted);
    assert_eq!(root.digest(), Digest::of(&sorted));
}

#[test]
fn the_digest_is_the_same_whoever_signed() {
    let keys = keys(2);
    let document = document(&keys, 1);
    let (one, both) = (signed(document.clone(), &keys[..1]), signed(document, &keys));
    assert_eq!(one.digest(), both.digest());
    assert_ne!(one, both);
}

#[test]
fn a_document_that_breaks_its_bounds_is_neither_signed_nor_read() {
    let keys = keys(3);
    let key = &keys[0];
    type Change = fn(&mut RootDocument);
    let changes: [(&str, Change); 15] = [
        ("no namespace", |d| d.namespace = "Kinetic".into()),
        ("version is 0", |d| d.version = 0),
        ("0 keys", |d| d.keys.clear()),
        ("order of their ids", |d| d.keys.reverse()),
        ("order of their ids", |d| d.keys[1] = d.keys[0].clone()),
        ("is not the id", |d| d.keys[0].public_key = d.keys[1].public_key),
        ("the roles of key", |d| d.keys[0].roles.clear()),
        ("the roles of key", |d| d.keys[0].roles.reverse()),
        ("the roles of key", |d| d.keys[0].roles = vec![Role::Root; 2]),
        ("its root threshold is 0", |d| d.thresholds.root = 0),
        ("its release threshold is 4", |d| d.thresholds.release = 4),
        ("its index threshold is 2, of 1", |d| {
            for key in &mut d.keys[1..] {
                key.roles = vec![Role::Release, Role::Root];
            }
            d.thresholds.index = 2;
        }),
        ("not in order", |d| {
            d.revoked_digests = vec![Digest::of(b"a"), Digest::of(b"b")];
            d.revoked_digests.sort_by(|a, b| b.cmp(a));
        }),
        ("not in order", |d| d.revoked_digests = vec![Digest::EMPTY; 2]),
        ("revokes more", |d| {
            d.revoked_digests = vec![Digest::EMPTY; REVOKED_MAX + 1];
        }),
    ];
    for (expected, change) in changes {
        let mut document = document(&keys, 1);
        change(&mut document);
        let found = why(SignedRoot::sign(document.clone(), key));
        assert!(found.contains(expected), "{expected}: {found}");
        // Somebody else's program may have signed it all the same.
        let payload = canonical::write(&document).unwrap();
        let envelope = Envelope::sign(PAYLOAD_TYPE, payload, key).to_json().to_string();
        assert_eq!(why(SignedRoot::from_json(envelope.as_bytes())), found);
    }
}

#[test]
fn thirty_two_keys_are_the_most_and_sixteen_signatures_of_a_release() {
    let many = keys(ROOT_KEYS_MAX + 1);
    assert!(why(SignedRoot::sign(document(&many, 1), &many[0])).contains("33 keys"));
    let most = &many[..ROOT_KEYS_MAX];
    let mut full = document(most, 16);
    full.thresholds.root = ROOT_KEYS_MAX;
    let root = signed(full.clone(), most);
    SignedRoot::from_json(&root.to_json()).unwrap().check_own().unwrap();
    full.thresholds.release = 17;
    assert!(why(SignedRoot::sign(full, &many[0])).contains("release threshold is 17"));
}

#[test]
fn another_spelling_of_a_document_is_refused_even_when_it_is_signed() {
    let keys = keys(1);
    let good = String::from_utf8(canonical::write(&document(&keys, 1)).unwrap()).unwrap();
    let signed_text = |text: &str| {
        let envelope = Envelope::sign(PAYLOAD_TYPE, text.as_bytes().to_vec(), &keys[0]);
        SignedRoot::from_json(envelope.to_json().to_string().as_bytes())
    };
    signed_text(&good).unwrap();
    let pretty: Value = serde_json::from_str(&good).unwrap();
    for bad in [
        format!("{good} "),
        serde_json::to_string_pretty(&pretty).unwrap(),
        good.replacen('{', r#"{"extra":1,"#, 1),
        good.replacen('{', r#"{"expires_unix_ms":1,"#, 1),
        good.replace(r#""version":1"#, r#""version":1,"version":1"#),
        good.replace(r#""version":1"#, r#""version":1.0"#),
        good.replace("kinetic", r"\u006binetic"),
        good.replace("ed25519:", "ed448:"),
        "[".repeat(10_000),
        String::new(),
    ] {
        assert!(signed_text(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_draft_may_be_spelled_as_people_do_and_means_the_same_once_signed() {
    let keys = keys(2);
    let document = document(&keys, 2);
    let mut draft = serde_json::to_string_pretty(&document).unwrap();
    assert_eq!(RootDocument::from_draft(draft.as_bytes()).unwrap(), document);
    for bad in [
        draft.replace("\"version\": 1", "\"version\": 1, \"version\": 1"),
        draft.replace("\"version\": 1", "\"version\": 1, \"more\": 1"),
        draft.replace("\"root\": 2", "\"root\": 3"),
    ] {
        assert!(RootDocument::from_draft(bad.as_bytes()).is_err(), "{bad}");
    }
    draft.push_str(&" ".repeat(ROOT_BYTES_MAX));
    assert!(RootDocument::from_draft(draft.as_bytes()).is_err());
}

#[test]
fn an_envelope_of_something_else_or_too_large_or_too_deep_is_refused() {
    let keys = keys(1);
    let root = signed(document(&keys, 1), &keys);
    let payload = root.envelope.payload.clone();
    let other = Envelope::sign("application/vnd.in-toto+json", payload, &keys[0]);
    assert!(why(SignedRoot::from_json(other.to_json().to_string().as_bytes())).contains("payloadType"));
    let text = String::from_utf8(root.to_json()).unwrap();
    let deep = format!("{}{}", "[".repeat(9), "]".repeat(9));
    for bad in [
        text.replacen('{', &format!("{{\"x\":{deep},"), 1),
        text.replacen('{', r#"{"payload":"","#, 1),
        format!("{text}{}", " ".repeat(ROOT_BYTES_MAX)),
        "null".into(),
    ] {
        assert!(SignedRoot::from_json(bad.as_bytes()).is_err());
    }
}

#[test]
fn a_first_document_needs_enough_of_its_own_root_keys() {
    let keys = keys(4);
    let mut listed = document(&keys[..3], 2);
    let outsider = &keys[3];
    let lone = signed(listed.clone(), [&keys[0], outsider]);
    assert!(matches!(
        lone.check_own(),
        Err(IdentityError::RootUnsigned {
            found: 1,
            needed: 2,
            by: 1,
            ..
        })
    ));
    signed(listed.clone(), [&keys[0], &keys[2]]).check_own().unwrap();
    // A key without the role does not count.
    let id = keys[2].public().id();
    let third = listed.keys.iter_mut().find(|key| key.key_id == id).unwrap();
    third.roles = vec![Role::Index, Role::Release];
    assert!(signed(listed, [&keys[0], &keys[2]]).check_own().is_err());
}

#[test]
fn the_next_version_needs_enough_keys_of_both() {
    let (old, new) = (keys(3), keys(3));
    let first = document(&old, 2);
    let second = next(&first, document(&new, 2));
    let by =
        |old_count: usize, new_count: usize| signed(second.clone(), old[..old_count].iter().chain(&new[..new_count]));
    by(2, 2).check_after(&first).unwrap();
    by(3, 3).check_after(&first).unwrap();
    for (old_count, new_count, blamed) in [(1, 3, 1), (3, 1, 2), (0, 3, 1), (3, 0, 2)] {
        match by(old_count, new_count).check_after(&first) {
            Err(IdentityError::RootUnsigned { by, .. }) => assert_eq!(by, blamed),
            other => panic!("{old_count} {new_count}: {other:?}"),
        }
    }
}

#[test]
fn versions_follow_one_another_without_gaps_and_of_one_namespace() {
    let keys = keys(1);
    let first = document(&keys, 1);
    for version in [1, 3, u64::MAX] {
        let other = RootDocument {
            version,
            ..first.clone()
        };
        assert!(matches!(
            signed(other, &keys).check_after(&first),
            Err(IdentityError::RootOutOfOrder { trusted: 1, .. })
        ));
    }
    let elsewhere = RootDocument {
        namespace: "other".into(),
        ..next(&first, first.clone())
    };
    assert!(signed(elsewhere, &keys).check_after(&first).is_err());
    let last = RootDocument {
        version: u64::MAX,
        ..first
    };
    assert!(signed(last.clone(), &keys).check_after(&last).is_err());
}

#[test]
fn an_expired_document_can_still_be_followed() {
    let keys = keys(1);
    let expired = RootDocument {
        expires_unix_ms: 1,
        ..document(&keys, 1)
    };
    let renewed = next(&expired, document(&keys, 1));
    signed(renewed, &keys).check_after(&expired).unwrap();
}

#[test]
fn a_document_expires_at_its_millisecond_and_not_before() {
    let document = document(&keys(1), 1);
    assert!(!document.expired(0));
    assert!(!document.expired(FAR_UNIX_MS - 1));
    assert!(document.expired(FAR_UNIX_MS));
    assert!(document.expired(u64::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_set_of_signers_is_accepted_just_when_it_holds_enough_of_both_versions(
        sizes in (1..5usize, 1..5usize, 0..5usize),
        thresholds in (1..5usize, 1..5usize),
        signing in prop::collection::vec(any::<bool>(), 15),
    ) {
        let (old_count, new_count, shared) = sizes;
        let all = keys(old_count + new_count);
        // The last keys of the old ones stay.
        let start = old_count.saturating_sub(shared);
        let (old, new) = (&all[..old_count], &all[start..]);
        let (old_needed, new_needed) = (thresholds.0.min(old.len()), thresholds.1.min(new.len()));
        let first = document(old, old_needed);
        let second = next(&first, document(new, new_needed));
        let signers: Vec<usize> = (0..all.len()).filter(|at| signing[*at]).collect();
        prop_assume!(!signers.is_empty());
        let root = signed(second, signers.iter().map(|at| &all[*at]));
        let enough = signers.iter().filter(|at| **at < old_count).count() >= old_needed
            && signers.iter().filter(|at| **at >= start).count() >= new_needed;
        prop_assert_eq!(root.check_after(&first).is_ok(), enough);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = SignedRoot::from_json(&bytes);
    }
}
