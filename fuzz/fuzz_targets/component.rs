//! Components: reading the interface of any bytes ends with an interface or an error.
#![no_main]

use kinetic_engine::describe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(interface) = describe(bytes) {
        for function in &interface.functions {
            let _ = (function.input_schema(), function.output_schema(), function.signature());
        }
    }
});
