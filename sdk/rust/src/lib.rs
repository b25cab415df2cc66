//! What the author of a Kinetic capability uses: bindings from WIT, one error type, and a harness that runs the
//! component in the real engine.
//!
//! A capability is any component that exports functions, so nothing here is required. `kinetic new` writes a project
//! that uses all of it:
//!
//! ```ignore
//! kinetic_sdk::bindings!();
//!
//! struct Capability;
//!
//! impl Guest for Capability {
//!     fn shout(text: String) -> String {
//!         text.to_uppercase()
//!     }
//! }
//!
//! export!(Capability);
//! ```

mod error;
#[cfg(not(target_family = "wasm"))]
mod harness;

pub use error::{Error, Kind};
#[cfg(not(target_family = "wasm"))]
pub use harness::{Answer, Component, HostError, Logs};
#[cfg(not(target_family = "wasm"))]
pub use serde_json::{Value, json};
#[doc(hidden)]
pub use wit_bindgen;

/// Generates Rust from the WIT in the package's `wit` folder: a `Guest` trait to implement, its types, and `export!`.
///
/// Takes the name of the world when the folder holds several.
#[macro_export]
macro_rules! bindings {
    () => {
        $crate::wit_bindgen::generate!({
            path: "wit",
            runtime_path: "kinetic_sdk::wit_bindgen::rt",
            generate_all,
        });
    };
    ($world:literal) => {
        $crate::wit_bindgen::generate!({
            path: "wit",
            world: $world,
            runtime_path: "kinetic_sdk::wit_bindgen::rt",
            generate_all,
        });
    };
}
