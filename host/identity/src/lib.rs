//! Who signed it: keys, the trust root that says whose count for a URN namespace, signed receipts and indexes.

mod atomic_file;
mod bundle;
mod canonical;
mod date;
mod document_kind;
mod dsse;
mod error;
mod framed;
mod in_toto;
mod index;
mod keys;
mod lock_file;
mod p256;
mod promotion;
mod provenance;
mod quorum;
mod receipt;
mod root_document;
mod roots;
mod signed_document;
mod signed_note;
mod statement;
pub mod strict_json;
mod trust_root;

pub use date::{now_unix_ms, utc_text};
pub use document_kind::DocumentKind;
pub use error::IdentityError;
pub use framed::framed_digest;
pub use in_toto::Statement;
pub use index::{INDEX_BYTES_MAX, INDEX_ENTRIES_MAX, Index, IndexDocument, IndexEntry, IndexState, SignedIndex};
pub use keys::{KeyId, PublicKey, SigningKey};
pub use lock_file::{LOCK_BYTES_MAX, LOCK_ENTRIES_MAX, LockEntry, LockFile};
pub use promotion::{
    PROMOTION, PROMOTION_BYTES_MAX, PROMOTION_SOURCES_MAX, Promoting, Promotion, PromotionEvent, PromotionProvenance,
    TOPOLOGY_BYTES_MAX, TOPOLOGY_DEPTH_MAX, Topology,
};
pub use provenance::{FolderDigest, Provenance};
pub use quorum::Signers;
pub use receipt::{
    BuildInfo, BuildSubject, Checkout, RECEIPT_BYTES_MAX, Receipt, SourceDigest, countersign_statement, open_statement,
    sign_statement,
};
pub use root_document::{
    REVOKED_MAX, ROOT_BYTES_MAX, ROOT_KEYS_MAX, Role, RootDocument, RootKey, SignedRoot, Thresholds,
};
pub use roots::{ROOTS_MAX, RootFolder};
pub use signed_document::SignedDocument;
pub use signed_note::{open_note, sign_note, verifier_key};
pub use trust_root::{TrustRoot, TrustedKey};
