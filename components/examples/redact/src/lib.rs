//! Finds secrets and personal data in text or JSON and puts marks in their place.

mod card;
mod email;
mod iban;
mod json;
mod key;
mod pem;
mod scan;
mod token;

pub use scan::{Finding, Kind, Redaction, scrub};

/// The component's side: the generated names and ours.
// wit-bindgen's output calls the canonical ABI through raw pointers, and its names carry no docs of their own.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wit_bindgen::generate!({ path: "wit" });

    use crate::scan;

    struct Capability;

    impl Guest for Capability {
        fn scrub(text: String) -> Redaction {
            let scan::Redaction { text, findings } = scan::scrub(&text);
            let finding = |found: scan::Finding| Finding {
                kind: match found.kind {
                    scan::Kind::Email => Kind::Email,
                    scan::Kind::PaymentCard => Kind::PaymentCard,
                    scan::Kind::Iban => Kind::Iban,
                    scan::Kind::CloudKey => Kind::CloudKey,
                    scan::Kind::PrivateKey => Kind::PrivateKey,
                    scan::Kind::BearerToken => Kind::BearerToken,
                },
                start: found.start as u32,
                end: found.end as u32,
            };
            Redaction {
                text,
                findings: findings.into_iter().map(finding).collect(),
            }
        }
    }

    export!(Capability);
}
