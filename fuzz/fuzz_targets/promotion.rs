//! Promotions: whatever is signed, what is read back is the same, and counts for nothing without trust.
#![no_main]

use std::sync::LazyLock;

use kinetic_identity::{Promotion, SigningKey, TrustRoot, sign_statement};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let _ = Promotion::from_json(bytes);
    if let Ok(promotion) = Promotion::from_value(&sign_statement(bytes, &KEY)) {
        assert!(promotion.verify(&TrustRoot::default()).is_err());
        assert_eq!(Promotion::from_json(&promotion.to_json()).unwrap(), promotion);
    }
});
