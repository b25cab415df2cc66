//! Takes its time before and after it writes.

wit_bindgen::generate!({ path: "wit", generate_all });

use std::time::Duration;

use kinetic::state::store::{self, Error, Owner};

struct Latecomer;

fn text(error: Error) -> String {
    format!("{error:?}")
}

impl Guest for Latecomer {
    fn writes(key: String, before_ms: u64, after_ms: u64) -> Result<(), String> {
        std::thread::sleep(Duration::from_millis(before_ms));
        store::put(&Owner::Mine, &key, b"late").map_err(text)?;
        std::thread::sleep(Duration::from_millis(after_ms));
        Ok(())
    }

    fn is_written(key: String) -> Result<bool, String> {
        Ok(store::get(&Owner::Mine, &key).map_err(text)?.is_some())
    }
}

export!(Latecomer);
