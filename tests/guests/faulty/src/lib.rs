//! A stream buffer and a silver gate that fail or lie where an event asks for it: its token is `fault:` and a fault's name.
//! Everything else is done as the contract says, in the plainest way, so that nothing but the fault is wrong.

mod buffer;
mod gate;
mod rows;

mod bindings {
    wit_bindgen::generate!({ path: "wit", generate_all });
}

use std::sync::atomic::{AtomicU64, Ordering};

/// One component for both places.
struct Faulty;

bindings::export!(Faulty with_types_in bindings);

/// Every so many calls that ask for it one panics.
const PANIC_EVERY: u64 = 3;

/// The faults that both have.
fn fail(fault: &str) {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    match fault {
        "panic" => panic!("an event asked for it"),
        "panic-at-times" if (CALLS.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(PANIC_EVERY) => {
            panic!("it was time for it")
        }
        _ => {}
    }
}
