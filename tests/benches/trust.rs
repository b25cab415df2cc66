//! What it costs to believe a receipt: three signatures of a five-key root document, beside three bare signature checks.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ed25519_dalek::{Signer as _, SigningKey as BareKey};
use kinetic_identity::{
    BuildInfo, BuildSubject, Receipt, Role, RootDocument, RootFolder, RootKey, SignedRoot, SigningKey, Thresholds,
    TrustRoot,
};
use kinetic_model::Digest;

const KEYS: usize = 5;
const NEEDED: usize = 3;

fn root(keys: &[SigningKey]) -> SignedRoot {
    let mut listed: Vec<RootKey> = keys
        .iter()
        .map(|key| RootKey {
            key_id: key.public().id(),
            public_key: key.public(),
            roles: Role::ALL.to_vec(),
        })
        .collect();
    listed.sort_by(|a, b| a.key_id.cmp(&b.key_id));
    let document = RootDocument {
        expires_unix_ms: u64::MAX,
        keys: listed,
        namespace: "acme".into(),
        revoked_digests: Vec::new(),
        thresholds: Thresholds {
            index: NEEDED,
            release: NEEDED,
            root: NEEDED,
        },
        version: 1,
    };
    let mut root = SignedRoot::sign(document, &keys[0]).unwrap();
    for key in &keys[1..NEEDED] {
        root.add_signature(key).unwrap();
    }
    root
}

fn trust(criterion: &mut Criterion) {
    let keys: Vec<SigningKey> = (0..KEYS).map(|_| SigningKey::generate().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trust.json");
    RootFolder::beside(&file).pin(&root(&keys), 0).unwrap();
    let subject = BuildSubject {
        urn: "urn:acme:actionspace:solver:bench:v1".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        component: Digest::of(b"component"),
        component_bytes: 9,
        manifest: Digest::of(b"manifest"),
    };
    // The last three, so that keys that did not sign come first or last as their ids fall.
    let mut receipt = Receipt::sign(&subject, &BuildInfo::default(), &keys[KEYS - NEEDED]).unwrap();
    for key in &keys[KEYS - NEEDED + 1..] {
        receipt.add_signature(key).unwrap();
    }
    let bytes = receipt.to_json();
    let loaded = TrustRoot::load(&file).unwrap();
    receipt.verify(&loaded, &subject).unwrap();

    let mut group = criterion.benchmark_group("trust, 3 of 5 keys");
    group.bench_function("verify a receipt", |b| {
        b.iter(|| receipt.verify(black_box(&loaded), black_box(&subject)).unwrap());
    });
    group.bench_function("read trust root and receipt, and verify", |b| {
        b.iter(|| {
            let root = TrustRoot::load(black_box(&file)).unwrap();
            Receipt::from_json(black_box(&bytes))
                .unwrap()
                .verify(&root, &subject)
                .unwrap()
        });
    });
    let message = vec![7; 1_024];
    let bare: Vec<_> = (1..=3_u8)
        .map(|seed| {
            let key = BareKey::from_bytes(&[seed; 32]);
            (key.verifying_key(), key.sign(&message))
        })
        .collect();
    group.bench_function("three bare signature checks", |b| {
        b.iter(|| {
            for (key, signature) in &bare {
                key.verify_strict(black_box(&message), signature).unwrap();
            }
        });
    });
    group.finish();
}

criterion_group!(benches, trust);
criterion_main!(benches);
