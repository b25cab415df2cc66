//! A promotion: the signed package of a topology that was made from recorded calls, on its way to a permanent URN.
//!
//! A DSSE envelope around an in-toto Statement v1 whose predicate is [`PROMOTION`]. Its one subject is `URN@VERSION` with
//! the SHA-256 of the topology document, and the document itself is in it. Envelope and statement have one spelling each
//! and no members that are not known, so two promotions of the same are the same bytes, but for who signed.

mod statement;
#[cfg(test)]
mod tests;
mod topology;

use std::collections::BTreeSet;

use kinetic_model::{Digest, Urn};
use semver::Version;
use serde_json::Value;

use self::statement::Statement;
pub use self::statement::{PROMOTION, PROMOTION_SOURCES_MAX, PromotionEvent, PromotionProvenance};
pub use self::topology::{TOPOLOGY_BYTES_MAX, TOPOLOGY_DEPTH_MAX, Topology};
use crate::dsse::{Envelope, SIGNATURES_MAX};
use crate::quorum::not_revoked;
use crate::{DocumentKind, IdentityError, PublicKey, Signers, SigningKey, TrustRoot, strict_json};

/// The largest promotion read or made, in bytes of its envelope's JSON: the largest topology and the most events as base64,
/// and the signatures.
pub const PROMOTION_BYTES_MAX: usize = 2_097_152;
/// How deep an envelope nests.
const ENVELOPE_DEPTH_MAX: usize = 4;
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What is to be promoted, with what its host measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Promoting {
    /// The name it is to have for good.
    pub urn: Urn,
    /// Its version; the major is the URN's.
    pub version: Version,
    /// The document.
    pub topology: Topology,
    /// The recorded events it was made from, by the names of their receipts; 1 to [`PROMOTION_SOURCES_MAX`].
    pub sources: BTreeSet<String>,
    /// What these events take in their host's ledger, in bytes.
    pub events_bytes: u64,
    /// When the newest of them was written, in milliseconds since 1970.
    pub newest_unix_ms: u64,
    /// The key of that ledger.
    pub host: PublicKey,
    /// What made it, with its version.
    pub software: String,
    /// The workflow or thread it came from, if there was one; 1 to 256 bytes.
    pub workflow_id: Option<String>,
}

/// A promotion that parses and fits itself; who signed it counts for nothing before [`Promotion::verify`].
#[derive(Clone, Debug, PartialEq)]
pub struct Promotion {
    envelope: Envelope,
    urn: Urn,
    version: Version,
    topology: Topology,
    event: PromotionEvent,
    provenance: PromotionProvenance,
}

impl Promotion {
    /// Makes and signs a promotion. The same again is the same bytes.
    ///
    /// # Errors
    /// [`IdentityError::NotCompressed`] when the document is larger than the events; [`IdentityError::PromotionMalformed`]
    /// and [`IdentityError::PromotionTooLarge`] of what cannot be one.
    pub fn sign(what: &Promoting, key: &SigningKey) -> Result<Self, IdentityError> {
        let payload = Statement::of(what)?.text()?;
        let signed = Self::of(Envelope::sign(PAYLOAD_TYPE, payload, key))?;
        bounded("the promotion", signed.to_json().len(), PROMOTION_BYTES_MAX)?;
        Ok(signed)
    }

    /// Reads an envelope of at most [`PROMOTION_BYTES_MAX`] bytes with 1 to 16 signatures, and checks that all that it says
    /// fits together: subject and document, names and digests, ratio and sizes.
    ///
    /// # Errors
    /// [`IdentityError::PromotionTooLarge`], [`IdentityError::PromotionMalformed`], [`IdentityError::NotCompressed`],
    /// [`IdentityError::UnknownPayloadType`], [`IdentityError::UnknownStatementType`],
    /// [`IdentityError::UnknownPredicateType`], [`IdentityError::NoSignature`], [`IdentityError::TooManySignatures`], and those
    /// of [`strict_json::parse`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, IdentityError> {
        bounded("the promotion", bytes.len(), PROMOTION_BYTES_MAX)?;
        let envelope = Envelope::from_json(bytes, ENVELOPE_DEPTH_MAX, SIGNATURES_MAX).map_err(|error| match error {
            IdentityError::EnvelopeMalformed { why } => malformed(why),
            other => other,
        })?;
        // DSSE passes over members it does not know. What is kept for good has none that nobody signed.
        if strict_json::parse(bytes, ENVELOPE_DEPTH_MAX)? != envelope.to_json() {
            return Err(malformed(
                "its envelope has unknown members, or base64 in another spelling",
            ));
        }
        Self::of(envelope)
    }

    /// [`Promotion::from_json`] for an envelope that was read as part of another document.
    ///
    /// # Errors
    /// Those of [`Promotion::from_json`].
    pub fn from_value(value: &Value) -> Result<Self, IdentityError> {
        Self::from_json(value.to_string().as_bytes())
    }

    fn of(envelope: Envelope) -> Result<Self, IdentityError> {
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(IdentityError::UnknownPayloadType {
                document: DocumentKind::Promotion,
                found: crate::error::shorten(&envelope.payload_type),
            });
        }
        let statement = Statement::read(&envelope.payload)?;
        let (urn, version, topology) = statement.check()?;
        let (event, provenance) = statement.into_parts();
        Ok(Self {
            envelope,
            urn,
            version,
            topology,
            event,
            provenance,
        })
    }

    /// The envelope as compact JSON in UTF-8; the same for the same promotion.
    pub fn to_json(&self) -> Vec<u8> {
        self.to_value().to_string().into_bytes()
    }

    /// The envelope as a JSON value, to put into another document.
    pub fn to_value(&self) -> Value {
        self.envelope.to_json()
    }

    /// The name it has for good.
    pub const fn urn(&self) -> &Urn {
        &self.urn
    }

    /// Its version.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// SHA-256 of the topology document in its one spelling.
    pub const fn digest(&self) -> Digest {
        self.topology.digest()
    }

    /// The document.
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The event it tells of.
    pub const fn event(&self) -> &PromotionEvent {
        &self.event
    }

    /// Who made it, and what was measured.
    pub const fn provenance(&self) -> &PromotionProvenance {
        &self.provenance
    }

    /// Checks that enough keys trusted for the URN's namespace signed it, by the rules for receipts, and that the namespace's
    /// root document does not revoke its topology; gives the keys. Fails closed.
    ///
    /// # Errors
    /// Who signed: as of [`Receipt::verify`](crate::Receipt::verify). [`IdentityError::DigestRevoked`].
    pub fn verify(&self, root: &TrustRoot) -> Result<Signers, IdentityError> {
        let namespace = self.urn.namespace();
        let signers = root.signers(&self.envelope, namespace, DocumentKind::Promotion)?;
        if let Some(document) = root.document(namespace) {
            not_revoked(document, &[self.digest()])?;
        }
        Ok(signers)
    }
}

fn malformed(why: impl AsRef<str>) -> IdentityError {
    IdentityError::PromotionMalformed {
        // It may quote what came from outside.
        why: why.as_ref().chars().filter(|c| !c.is_control()).take(300).collect(),
    }
}

fn bounded(what: &str, size_bytes: usize, bytes_max: usize) -> Result<(), IdentityError> {
    if size_bytes > bytes_max {
        return Err(IdentityError::PromotionTooLarge {
            what: what.into(),
            size_bytes,
            bytes_max,
        });
    }
    Ok(())
}
