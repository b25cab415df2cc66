//! Who signed it: Ed25519 keys, the trust root that lists them per URN namespace, and signed build receipts.

mod atomic_file;
mod dsse;
mod error;
mod keys;
mod receipt;
mod signed_note;
pub mod strict_json;
mod trust_root;

pub use error::IdentityError;
pub use keys::{KeyId, PublicKey, SigningKey};
pub use receipt::{BuildInfo, BuildSubject, RECEIPT_BYTES_MAX, Receipt, SourceDigest, open_statement, sign_statement};
pub use signed_note::{open_note, sign_note, verifier_key};
pub use trust_root::{TrustRoot, TrustedKey};
