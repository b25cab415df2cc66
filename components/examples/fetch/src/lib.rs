//! Fetches a web page and makes readable text of it.

mod entity;
mod html;
mod http;
mod layout;
mod media;
mod tag;
mod url;

pub use html::{Readable, readable};
pub use media::{Media, utf8};
pub use url::{Url, UrlError};

/// The component's side: the generated names.
// wit-bindgen's output calls the canonical ABI through raw pointers, and its names carry no docs of their own.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", generate_all });

    struct Capability;

    impl Guest for Capability {
        fn get(url: String) -> Result<Page, Error> {
            crate::http::get(&url)
        }
    }

    export!(Capability);
}
