//! References to capsules: what parses prints itself back.
#![no_main]

use kinetic_model::CapsuleRef;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<CapsuleRef>() {
        assert_eq!(reference.to_string().parse::<CapsuleRef>().unwrap(), reference);
    }
});
