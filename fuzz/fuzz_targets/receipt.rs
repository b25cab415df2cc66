//! Receipts: nothing a stranger writes verifies against an empty trust root.
#![no_main]

use kinetic_identity::{BuildSubject, Receipt, TrustRoot};
use kinetic_model::Digest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(receipt) = Receipt::from_json(bytes) {
        let expected = BuildSubject {
            urn: "urn:a:actionspace:solver:b:v1".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            component: Digest::of(b""),
            component_bytes: 0,
            manifest: Digest::of(b""),
        };
        assert!(receipt.verify(&TrustRoot::default(), &expected).is_err());
        assert_eq!(Receipt::from_json(&receipt.to_json()).unwrap().to_json(), receipt.to_json());
    }
});
