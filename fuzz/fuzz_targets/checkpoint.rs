//! Checkpoints: nothing a stranger writes is one that our key signed.
#![no_main]

use kinetic_identity::SigningKey;
use kinetic_ledger::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|note: &str| {
    static KEY: std::sync::OnceLock<SigningKey> = std::sync::OnceLock::new();
    let key = KEY.get_or_init(|| SigningKey::generate().unwrap());
    assert!(Checkpoint::open(note, "kinetic/ledger/fuzz", &key.public()).is_err());
});
