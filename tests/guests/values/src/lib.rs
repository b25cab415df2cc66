//! Answers every value it gets.

wit_bindgen::generate!({ path: "wit" });

use std::sync::atomic::{AtomicU32, Ordering};

static CALLS: AtomicU32 = AtomicU32::new(0);

struct Values;

impl Guest for Values {
    fn everything_back(value: Everything) -> Everything {
        value
    }

    fn text_back(text: String) -> String {
        text
    }

    fn bytes_back(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn bytes_and_number(bytes: Vec<u8>, number: u32) -> (Vec<u8>, u32) {
        (bytes, number)
    }

    fn even(number: u64) -> Result<u64, String> {
        if number.is_multiple_of(2) {
            Ok(number)
        } else {
            Err(format!("{number} is odd"))
        }
    }

    fn nothing() {}

    fn count_calls() -> u32 {
        CALLS.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl exports::shapes::Guest for Values {
    fn area(radius: f64) -> f64 {
        radius * radius * std::f64::consts::PI
    }
}

export!(Values);
