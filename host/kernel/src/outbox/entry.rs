//! One publication in the outbox: what it is, where it is to go, and how it stands.

use kinetic_model::{Digest, Urn};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The keys of entries in the kernel's state begin with this; an entry's id follows.
pub(super) const PREFIX: &[u8] = b"outbox/";
/// How many hexadecimal digits of a digest are an id.
const ID_DIGITS: usize = 32;

/// What is to be delivered.
///
/// A kind must bring three things. A digest over all that is delivered: with the registry's name it makes the
/// entry's id, so that the same again is the same entry. The digests of its bytes in the outbox's folder: they are kept
/// as long as the entry may be delivered. And a way to publish that does no harm the second time, with a way to see
/// whether the registry has it already: what breaks in the middle is decided by looking, not by guessing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Payload {
    /// A version of a capsule.
    Capsule(CapsulePayload),
    /// A topology that is to have a permanent URN.
    Promotion(PromotionPayload),
}

/// A version of a capsule, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsulePayload {
    /// The capsule.
    pub urn: Urn,
    /// Its version.
    pub version: Version,
    /// SHA-256 of its component.
    pub digest: Digest,
    /// SHA-256 of its manifest's text.
    pub manifest: Digest,
    /// SHA-256 of its descriptor as the outbox keeps it: manifest and receipt.
    pub envelope: Digest,
    /// Size of its component, in bytes.
    pub size_bytes: u64,
}

/// A topology that is to have a permanent URN, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionPayload {
    /// The URN.
    pub urn: Urn,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the topology document.
    pub digest: Digest,
    /// The promotion's event, by its content: over URN, version, document and sources.
    pub event_cid: String,
    /// SHA-256 of the signed envelope.
    pub envelope: Digest,
    /// Size of the envelope, in bytes.
    pub size_bytes: u64,
}

impl Payload {
    /// What an entry with this payload for that registry is called.
    pub(super) fn id(&self, registry: &str) -> String {
        // No part holds a NUL, so no two lists of parts are one text.
        let key = match self {
            Self::Capsule(capsule) => format!("capsule\0{registry}\0{}\0{}", capsule.digest, capsule.manifest),
            Self::Promotion(promotion) => format!("promotion\0{registry}\0{}", promotion.event_cid),
        };
        let mut id = Digest::of(key.as_bytes()).hex();
        id.truncate(ID_DIGITS);
        id
    }

    /// The bytes it needs in the outbox's folder.
    pub(super) fn blobs(&self) -> Vec<Digest> {
        match self {
            Self::Capsule(capsule) => vec![capsule.digest, capsule.envelope],
            Self::Promotion(promotion) => vec![promotion.envelope],
        }
    }

    /// What records are about, by name and digest.
    pub(super) fn subject(&self) -> (&str, Digest) {
        match self {
            Self::Capsule(capsule) => (capsule.urn.as_str(), capsule.digest),
            Self::Promotion(promotion) => (promotion.urn.as_str(), promotion.digest),
        }
    }

    /// The word for it: the member of a record that says what it is.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Capsule(_) => "capsule",
            Self::Promotion(_) => "promotion",
        }
    }

    /// What it is, as records tell it.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Capsule(capsule) => {
                json!({ "urn": capsule.urn, "version": capsule.version, "digest": capsule.digest })
            }
            Self::Promotion(promotion) => json!({
                "urn": promotion.urn,
                "version": promotion.version,
                "digest": promotion.digest,
                "event_cid": promotion.event_cid,
                "envelope": promotion.envelope,
            }),
        }
    }

    /// What it is, in words.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Capsule(capsule) => format!("{}@{}", capsule.urn, capsule.version),
            Self::Promotion(promotion) => format!("{}@{}", promotion.urn, promotion.version),
        }
    }
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxState {
    /// It is delivered as soon as the registry takes it.
    Waiting,
    /// The registry has it.
    Delivered,
    /// It is not tried any more, for the reason beside it. Its bytes are kept until somebody drops it.
    Dead,
}

impl OutboxState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// A publication in the outbox, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Made from the registry's name and the digests of what is delivered: the same again is the same entry.
    pub id: String,
    /// Counts the entries of this host: the lower came first.
    pub number: u64,
    /// The registry it is for, by its name on this host.
    pub registry: String,
    /// What is delivered.
    pub payload: Payload,
    /// Bytes kept for it.
    pub bytes: u64,
    /// When it was accepted, or somebody last had it tried anew, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// How it stands.
    pub state: OutboxState,
    /// Failed tries since then. After a restart it counts on from the last number that was recorded, which is at least half.
    pub attempts: u32,
    /// The stable code of the last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The last failure in words; of what was delivered, how that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An entry as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutboxView {
    /// The entry.
    #[serde(flatten)]
    pub entry: OutboxEntry,
    /// In how many milliseconds it is tried next, at the earliest; absent when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_ms: Option<u64>,
}
