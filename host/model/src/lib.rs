//! The words everything shares: URN, digest, limits, zones, errors with codes. No I/O.

mod address;
mod digest;
mod error;
mod governance;
mod grant;
mod hashed;
mod limits;
mod sorted_json;
mod urn;

pub use address::is_inside;
pub use digest::Digest;
pub use error::{CodeInfo, Coded, ErrorKind, Fault};
pub use governance::{AuditLevel, CapsuleType, Determinism, GovernanceTier, InstanceMode, LatencyClass, TrustZone};
pub use grant::ImportGrant;
pub use hashed::{Hashed, Hashing};
pub use limits::{LIMIT_DOCS, LimitDoc, Limits, LimitsAsk, Usage};
pub use sorted_json::{Sorted, SortedMap};
pub use urn::{CapsuleRef, Pin, Urn, UrnClass};

coded_errors! {
    /// Errors in the shared words themselves: a URN, a digest or a version that does not parse.
    pub enum ModelError ("MOD") {
        /// The text is not a URN of the grammar.
        "0001" BadUrn { text: String, why: String } => Invalid,
            "\"{text}\" is not a capability URN: {why}.",
            "Write urn:<namespace>:actionspace:<oracle|solver|effector|substrate|sensory|node>:<name>:v<major>, lower case, digits and underscores.";
        /// The text is not a SHA-256 digest.
        "0002" BadDigest { text: String } => Invalid,
            "\"{text}\" is not a digest.",
            "Write sha256: and 64 lower-case hexadecimal digits.";
        /// The pin after `@` is neither a version nor a digest.
        "0003" BadPin { text: String } => Invalid,
            "\"{text}\" after @ is neither a version nor a digest.",
            "Pin with @1.4.2 or @sha256:<64 hexadecimal digits>.";
        /// The pinned version's major is not the URN's.
        "0004" MajorMismatch { urn: String, version: String } => Invalid,
            "version {version} does not belong to {urn}: the URN's :v is the version's major.",
            "Use the URN whose :v equals the major of {version}.";
    }
}
