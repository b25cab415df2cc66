//! Descriptors as another registry sends them.
#![no_main]

use kinetic_registry::Descriptor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(descriptor) = serde_json::from_slice::<Descriptor>(bytes) {
        let _ = descriptor.summary();
    }
});
