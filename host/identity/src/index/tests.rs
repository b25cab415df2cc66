use proptest::prelude::*;

use super::*;
use crate::dsse::Envelope;
use crate::root_document::tests::{FAR_UNIX_MS, document, keys, signed};
use crate::{Role, SigningKey};

fn entry(name: &str, version: &str) -> IndexEntry {
    let version: Version = version.parse().unwrap();
    IndexEntry {
        component: Digest::of(format!("{name} {version}").as_bytes()),
        manifest: Digest::of(b"manifest"),
        receipt: Digest::of(b"receipt"),
        size_bytes: 9,
        urn: format!("urn:kinetic:actionspace:solver:{name}:v{}", version.major)
            .parse()
            .unwrap(),
        version,
        yanked: None,
    }
}

fn listing(version: u64, entries: Vec<IndexEntry>) -> IndexDocument {
    IndexDocument {
        entries,
        expires_unix_ms: FAR_UNIX_MS,
        namespace: "kinetic".into(),
        version,
    }
}

fn sample() -> Vec<IndexEntry> {
    vec![
        entry("a", "1.0.0-rc.1"),
        entry("a", "1.0.0"),
        entry("a", "1.9.0"),
        entry("a", "1.10.0"),
        entry("a_b", "2.0.0"),
    ]
}

/// A registry's client: whom it trusts, and what it saw.
struct Client {
    key: SigningKey,
    root: TrustRoot,
    seen: IndexState,
    last: Option<Index>,
}

impl Client {
    fn new() -> Self {
        let key = SigningKey::generate().unwrap();
        let mut root = TrustRoot::default();
        root.add("kinetic", key.public(), "").unwrap();
        Self {
            key,
            root,
            seen: IndexState::default(),
            last: None,
        }
    }

    fn signed(&self, document: IndexDocument) -> SignedIndex {
        let index = SignedIndex::sign(document, &self.key).unwrap();
        assert_eq!(SignedIndex::from_json(&index.to_json()).unwrap(), index);
        index
    }

    fn gets(&mut self, document: IndexDocument, now_unix_ms: u64) -> Result<(), IdentityError> {
        let index = self
            .signed(document)
            .verify(&self.root, &self.seen, self.last.as_ref(), now_unix_ms)?;
        self.seen.remember(&index).unwrap();
        self.last = Some(index);
        Ok(())
    }
}

fn why(index: Result<SignedIndex, IdentityError>) -> String {
    match index {
        Err(IdentityError::IndexMalformed { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_index_reads_back_what_it_writes_and_its_bytes_are_those_of_sorted_json() {
    let mut entries = sample();
    entries[1].yanked = Some("it forgets".into());
    let index = Client::new().signed(listing(1, entries));
    let value = serde_json::to_value(index.document()).unwrap();
    let sorted = serde_json::to_vec(&kinetic_model::Sorted(&value)).unwrap();
    assert_eq!(index.digest(), Digest::of(&sorted));
}

#[test]
fn versions_are_found_by_urn_in_their_own_order() {
    let mut client = Client::new();
    client.gets(listing(1, sample()), 0).unwrap();
    let index = client.last.unwrap();
    let (a, other) = (entry("a", "1.0.0").urn, entry("b", "1.0.0").urn);
    let versions: Vec<_> = index
        .versions(&a)
        .iter()
        .map(|entry| entry.version.to_string())
        .collect();
    assert_eq!(versions, ["1.0.0-rc.1", "1.0.0", "1.9.0", "1.10.0"]);
    assert!(index.versions(&other).is_empty());
    assert_eq!(index.entry(&a, &Version::new(1, 9, 0)), Some(&entry("a", "1.9.0")));
    assert_eq!(index.entry(&a, &Version::new(1, 9, 1)), None);
}

#[test]
fn an_older_index_is_refused_and_so_is_another_one_of_the_same_version() {
    let mut client = Client::new();
    client.gets(listing(5, sample()), 0).unwrap();
    assert!(matches!(
        client.gets(listing(4, sample()), 0),
        Err(IdentityError::IndexRolledBack { found: 4, seen: 5, .. })
    ));
    let mut yanked = sample();
    yanked[0].yanked = Some("it forgets".into());
    assert!(matches!(
        client.gets(listing(5, yanked.clone()), 0),
        Err(IdentityError::IndexEquivocates { version: 5, .. })
    ));
    client.gets(listing(5, sample()), 0).unwrap();
    client.gets(listing(9, yanked), 0).unwrap();
    assert_eq!(client.seen.highest("kinetic").unwrap().0, 9);
}

#[test]
fn an_index_that_nobody_renews_expires_at_its_millisecond() {
    let mut client = Client::new();
    let until = |version, expires_unix_ms| IndexDocument {
        expires_unix_ms,
        ..listing(version, sample())
    };
    client.gets(until(1, 1_000), 999).unwrap();
    for now in [1_000, 1_001, u64::MAX] {
        assert!(matches!(
            client.gets(until(1, 1_000), now),
            Err(IdentityError::IndexExpired { version: 1, .. })
        ));
    }
    client.gets(until(2, 2_000), 1_000).unwrap();
    // A clock that was set back does not bring the older one back.
    assert!(matches!(
        client.gets(until(1, 1_000), 0),
        Err(IdentityError::IndexRolledBack { .. })
    ));
}

#[test]
fn a_version_never_vanishes_and_never_changes() {
    let mut client = Client::new();
    client.gets(listing(1, sample()), 0).unwrap();
    let other = Digest::of(b"other");
    type Change = fn(&mut Vec<IndexEntry>, Digest);
    let changes: [(&str, Change); 5] = [
        ("left out", |entries, _| drop(entries.remove(2))),
        ("left out", |entries, _| entries.clear()),
        ("another component", |entries, other| entries[1].component = other),
        ("another component", |entries, _| entries[1].size_bytes += 1),
        ("another manifest", |entries, other| entries[1].manifest = other),
    ];
    for (expected, change) in changes {
        let mut entries = sample();
        change(&mut entries, other);
        match client.gets(listing(2, entries), 0) {
            Err(IdentityError::IndexRewritten { why, .. }) => assert!(why.contains(expected), "{why}"),
            accepted => panic!("{expected}: {accepted:?}"),
        }
    }
    let mut grown = sample();
    grown.insert(0, entry("_", "1.0.0"));
    grown.push(entry("a_b", "2.0.1"));
    grown[1].yanked = Some("it forgets".into());
    grown[2].receipt = other;
    client.gets(listing(2, grown.clone()), 0).unwrap();
    // Yanking can be taken back.
    grown[1].yanked = None;
    client.gets(listing(3, grown), 0).unwrap();
}

#[test]
fn without_the_one_before_only_that_very_index_is_taken() {
    let mut client = Client::new();
    client.gets(listing(1, sample()), 0).unwrap();
    client.last = None;
    assert!(matches!(
        client.gets(listing(2, sample()), 0),
        Err(IdentityError::IndexUnlinked { .. })
    ));
    // It was kept, and counts for comparing even when it has expired.
    let kept = client.signed(listing(1, sample()));
    let strange = client.signed(listing(1, Vec::new()));
    assert!(matches!(
        strange.reopen(&client.seen),
        Err(IdentityError::IndexUnlinked { .. })
    ));
    client.last = Some(kept.reopen(&client.seen).unwrap());
    client.gets(listing(2, sample()), 0).unwrap();
    client.seen.forget("kinetic");
    client.last = None;
    client.gets(listing(1, Vec::new()), 0).unwrap();
}

#[test]
fn enough_index_keys_of_the_namespace_have_to_sign() {
    let client = Client::new();
    let keys = keys(3);
    let mut root = TrustRoot::default();
    root.set_root(&signed(document(&keys, 2), &keys), 0);
    let seen = IndexState::default();
    let mut index = SignedIndex::sign(listing(1, sample()), &keys[0]).unwrap();
    assert!(!index.add_signature(&keys[0]).unwrap());
    assert!(index.add_signature(&client.key).unwrap());
    assert!(matches!(
        index.clone().verify(&root, &seen, None, 0),
        Err(IdentityError::TooFewSignatures {
            role: Role::Index,
            found: 1,
            needed: 2,
            ..
        })
    ));
    assert!(index.add_signature(&keys[2]).unwrap());
    index.clone().verify(&root, &seen, None, 0).unwrap();
    assert!(index.verify(&TrustRoot::default(), &seen, None, 0).is_err());
}

#[test]
fn an_index_by_somebody_elses_key_is_refused_as_an_index() {
    let client = Client::new();
    let theirs = SignedIndex::sign(listing(1, sample()), &SigningKey::generate().unwrap()).unwrap();
    let refused = theirs.verify(&client.root, &client.seen, None, 0).unwrap_err();
    assert!(matches!(refused, IdentityError::SignerUntrusted { .. }), "{refused}");
    assert!(
        refused.to_string().starts_with("the signatures of the index "),
        "{refused}"
    );
}

#[test]
fn an_index_that_breaks_its_bounds_is_neither_signed_nor_read() {
    let client = Client::new();
    type Change = fn(&mut IndexDocument);
    let changes: [(&str, Change); 9] = [
        ("no namespace", |d| d.namespace = "a:b".into()),
        ("not of namespace", |d| d.namespace = "other".into()),
        ("version is 0", |d| d.version = 0),
        ("not in order", |d| d.entries.reverse()),
        ("not in order", |d| d.entries.swap(2, 3)),
        ("not in order", |d| d.entries[1] = d.entries[0].clone()),
        ("URN's major", |d| d.entries[0].version = Version::new(2, 0, 0)),
        ("yanked", |d| d.entries[0].yanked = Some(String::new())),
        ("yanked", |d| d.entries[0].yanked = Some("x".repeat(201))),
    ];
    for (expected, change) in changes {
        let mut document = listing(1, sample());
        change(&mut document);
        let found = why(SignedIndex::sign(document.clone(), &client.key));
        assert!(found.contains(expected), "{expected}: {found}");
        let payload = canonical::write(&document).unwrap();
        let envelope = Envelope::sign(PAYLOAD_TYPE, payload, &client.key).to_json().to_string();
        assert_eq!(why(SignedIndex::from_json(envelope.as_bytes())), found);
    }
    let one = entry("a", "1.0.0");
    let many = listing(1, vec![one; INDEX_ENTRIES_MAX + 1]);
    assert!(why(SignedIndex::sign(many, &client.key)).contains("more than 100000"));
}

#[test]
fn another_spelling_or_another_type_is_refused() {
    let client = Client::new();
    let document = listing(1, sample());
    let good = String::from_utf8(canonical::write(&document).unwrap()).unwrap();
    let read = |kind: &str, text: &str| {
        let envelope = Envelope::sign(kind, text.as_bytes().to_vec(), &client.key);
        SignedIndex::from_json(envelope.to_json().to_string().as_bytes())
    };
    read(PAYLOAD_TYPE, &good).unwrap();
    assert!(why(read("application/vnd.in-toto+json", &good)).contains("payloadType"));
    for bad in [
        good.replacen('{', "{ ", 1),
        good.replace(r#""size_bytes":9"#, r#""size_bytes":9,"size_bytes":9"#),
        good.replace(r#""size_bytes":9"#, r#""extra":1,"size_bytes":9"#),
        good.replace(r#""version":1"#, r#""version":1.0"#),
        good.replace("sha256:", "SHA256:"),
        "[".repeat(100_000),
    ] {
        assert!(read(PAYLOAD_TYPE, &bad).is_err());
    }
}

#[test]
fn what_was_seen_reads_back_and_a_malformed_memory_is_not_read_as_empty() {
    let mut client = Client::new();
    client.gets(listing(7, sample()), 0).unwrap();
    let bytes = client.seen.to_json();
    assert_eq!(IndexState::from_json(&bytes).unwrap(), client.seen);
    for bad in [&b""[..], b"{}", b"null", br#"{"namespaces":{}} "#] {
        assert!(IndexState::from_json(bad).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_of_indexes_is_accepted_only_forwards_and_only_growing(
        // Version, which of eight entries are listed, and which one is changed.
        steps in prop::collection::vec((1..6u64, 0..256u32, prop::option::weighted(0.2, 0..8usize)), 1..12),
    ) {
        let mut client = Client::new();
        let mut known: Option<(u64, Vec<IndexEntry>)> = None;
        for (version, listed, changed) in steps {
            let mut entries = Vec::new();
            for at in (0..8_usize).filter(|at| listed & (1 << at) != 0) {
                let mut one = entry("a", &format!("1.{at}.0"));
                if changed == Some(at) {
                    one.component = Digest::of(b"changed");
                }
                entries.push(one);
            }
            let goes_on = known.as_ref().is_none_or(|(highest, before)| {
                let grows = before.iter().all(|old| entries.contains(old));
                (version == *highest && *before == entries) || (version > *highest && grows)
            });
            prop_assert_eq!(client.gets(listing(version, entries.clone()), 0).is_ok(), goes_on);
            if goes_on {
                known = Some((version, entries));
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = SignedIndex::from_json(&bytes);
        let _ = IndexState::from_json(&bytes);
    }
}
