//! What another registry says when it refuses.
#![no_main]

use kinetic_registry::refusal_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (status, body) = input;
    if let Ok(status) = http::StatusCode::from_u16(status) {
        let text = refusal_of("http://registry", status, body).to_string();
        assert!(text.len() < 8_192 && !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
});
