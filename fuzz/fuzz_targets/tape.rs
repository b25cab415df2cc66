//! Recorded host calls: any bytes are read back to the same tape or refused.
#![no_main]

use kinetic_engine::{decode_tape, encode_tape};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tape) = decode_tape(bytes) {
        assert_eq!(encode_tape(&decode_tape(&encode_tape(&tape)).unwrap()), encode_tape(&tape));
    }
});
