//! What a promotion says: the in-toto statement, and that its parts fit each other.

use kinetic_model::{CapsuleRef, Digest, Pin, Urn};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::topology::{TOPOLOGY_DEPTH_MAX, Topology};
use super::{Promoting, malformed};
use crate::{DocumentKind, IdentityError, PublicKey, framed_digest, in_toto};

/// What a promotion's predicate is.
pub const PROMOTION: &str = "urn:kinetic:predicate:epistemic-promotion:v1";
/// The most events a topology may be made from.
pub const PROMOTION_SOURCES_MAX: usize = 1_024;

const TOPOLOGY_CLASS: &str = "epistemic_promotion";
/// The document stands in the predicate, which stands in the statement.
const DEPTH_MAX: usize = TOPOLOGY_DEPTH_MAX + 2;
/// What the digest is of that an event is called by.
const EVENT_DOMAIN: &str = "kinetic/epistemic-promotion/v1";
/// The longest name of an event, in bytes.
const CID_BYTES_MAX: usize = 128;
/// The longest name of a workflow or a program, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// The longest version, in bytes: it is a file name.
const VERSION_BYTES_MAX: usize = 128;
/// The last second of the year 9999.
const SECONDS_MAX: f64 = 253_402_300_799.0;

/// The event that a topology became permanent knowledge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionEvent {
    /// What share of the events' bytes the document has, rounded up to a millionth: above 0 and at most 1.
    pub compression_ratio: f64,
    /// The document by its content: `sha256:` and the digest of its one spelling.
    pub crystallized_semantic_node_cid: String,
    /// The event by its content: `sha256:` and the framed digest (domain `kinetic/epistemic-promotion/v1`) of URN, version,
    /// the document's digest and the sources with a line feed behind each.
    pub event_cid: String,
    /// The recorded events that the document was made from, by the names of their receipts, sorted, each once.
    pub source_episodic_event_cids: Vec<String>,
    /// When the newest of them was written, in seconds since 1970, to the millisecond.
    pub timestamp: f64,
    /// `epistemic_promotion`.
    pub topology_class: String,
}

/// Who made a promotion, and what was measured. Signed with it; recorded, never a reason to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionProvenance {
    /// What the events take in the ledger, in bytes.
    pub events_bytes: u64,
    /// The key of the ledger that holds the events.
    pub host: PublicKey,
    /// What made it, with its version.
    pub software: String,
    /// What the document has in its one spelling, in bytes.
    pub topology_bytes: u64,
    /// The workflow or thread it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
}

/// A promotion's statement.
pub(super) struct Statement(in_toto::Statement<Predicate>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    event: PromotionEvent,
    provenance: PromotionProvenance,
    topology: Map<String, Value>,
}

impl Statement {
    pub(super) fn of(what: &Promoting) -> Result<Self, IdentityError> {
        let digest = what.topology.digest();
        let topology_bytes = what.topology.size_bytes();
        let sources: Vec<String> = what.sources.iter().cloned().collect();
        let predicate = Predicate {
            event: PromotionEvent {
                compression_ratio: ratio(topology_bytes, what.events_bytes)?,
                crystallized_semantic_node_cid: digest.to_string(),
                event_cid: event_cid(&what.urn, &what.version, &digest, &sources)?,
                source_episodic_event_cids: sources,
                timestamp: seconds(what.newest_unix_ms),
                topology_class: TOPOLOGY_CLASS.into(),
            },
            provenance: PromotionProvenance {
                events_bytes: what.events_bytes,
                host: what.host,
                software: what.software.clone(),
                topology_bytes,
                workflow_id: what.workflow_id.clone(),
            },
            topology: what.topology.members().clone(),
        };
        let name = format!("{}@{}", what.urn, what.version);
        Ok(Self(in_toto::Statement::new(name, &digest, PROMOTION, predicate)))
    }

    /// Its one spelling.
    pub(super) fn text(&self) -> Result<Vec<u8>, IdentityError> {
        self.0.text().map_err(|error| malformed(error.to_string()))
    }

    /// Reads a statement in its one spelling.
    pub(super) fn read(payload: &[u8]) -> Result<Self, IdentityError> {
        let statement = in_toto::Statement::read(payload, DocumentKind::Promotion, PROMOTION, DEPTH_MAX);
        let statement = Self(statement.map_err(|error| match error {
            IdentityError::StatementMalformed { why, .. } => malformed(why),
            other => other,
        })?);
        if statement.text()? != payload {
            return Err(malformed(
                "its statement is not in canonical form: sorted members, no spaces, each value in one spelling",
            ));
        }
        Ok(statement)
    }

    /// Checks that everything fits; gives what it is about.
    pub(super) fn check(&self) -> Result<(Urn, Version, Topology), IdentityError> {
        let Predicate {
            event,
            provenance,
            topology,
        } = self.0.predicate();
        let (urn, version) = named(self.0.name())?;
        let topology = Topology::new(topology.clone())?;
        let digest = topology.digest();
        if self.0.sha256() != digest.hex() {
            return Err(malformed(format!(
                "its subject has the digest {} and its topology {}",
                self.0.sha256(),
                digest.hex()
            )));
        }
        let sources = &event.source_episodic_event_cids;
        if sources.is_empty() || sources.len() > PROMOTION_SOURCES_MAX {
            return Err(malformed(format!(
                "it does not name 1 to {PROMOTION_SOURCES_MAX} events"
            )));
        }
        if let Some(bad) = sources.iter().find(|source| !is_cid(source)) {
            return Err(malformed(format!("\"{bad}\" is not the name of an event")));
        }
        if !sources.is_sorted_by(|a, b| a < b) {
            return Err(malformed("its events are not sorted, or one is named twice"));
        }
        if event.topology_class != TOPOLOGY_CLASS {
            return Err(malformed(format!("its topology_class is not {TOPOLOGY_CLASS}")));
        }
        if event.crystallized_semantic_node_cid != digest.to_string() {
            return Err(malformed(
                "its crystallized_semantic_node_cid is not that of its topology",
            ));
        }
        if event.event_cid != event_cid(&urn, &version, &digest, sources)? {
            return Err(malformed("its event_cid is not that of what it says"));
        }
        if !(0.0..=SECONDS_MAX).contains(&event.timestamp) {
            return Err(malformed("its timestamp is no time"));
        }
        if provenance.topology_bytes != topology.size_bytes() {
            return Err(malformed("its topology_bytes are not those of its topology"));
        }
        // Bit by bit: it is made by a division of integers, the same everywhere.
        if event.compression_ratio.to_bits() != ratio(provenance.topology_bytes, provenance.events_bytes)?.to_bits() {
            return Err(malformed("its compression_ratio is not that of its sizes"));
        }
        if !is_name(&provenance.software) {
            return Err(malformed(format!(
                "its software does not have 1 to {NAME_BYTES_MAX} bytes"
            )));
        }
        if !provenance.workflow_id.as_deref().is_none_or(is_name) {
            return Err(malformed(format!(
                "its workflow_id does not have 1 to {NAME_BYTES_MAX} bytes"
            )));
        }
        Ok((urn, version, topology))
    }

    pub(super) fn into_parts(self) -> (PromotionEvent, PromotionProvenance) {
        let Predicate { event, provenance, .. } = self.0.into_predicate();
        (event, provenance)
    }
}

/// The parts of `URN@VERSION`.
fn named(name: &str) -> Result<(Urn, Version), IdentityError> {
    let parsed: Option<CapsuleRef> = name.parse().ok();
    let Some(CapsuleRef {
        urn,
        pin: Pin::Version(version),
    }) = parsed
    else {
        return Err(malformed(format!("its subject \"{name}\" is not URN@VERSION")));
    };
    if name != format!("{urn}@{version}") {
        return Err(malformed(format!("its subject is not written as {urn}@{version}")));
    }
    if version.major != urn.major() {
        return Err(malformed("the version's major is not the one the URN ends in"));
    }
    if version.to_string().len() > VERSION_BYTES_MAX {
        return Err(malformed(format!(
            "its version is longer than {VERSION_BYTES_MAX} bytes"
        )));
    }
    Ok((urn, version))
}

/// How much smaller the document is than the events, rounded up to a millionth.
fn ratio(topology_bytes: u64, events_bytes: u64) -> Result<f64, IdentityError> {
    let not_smaller = || IdentityError::NotCompressed {
        topology_bytes,
        events_bytes,
    };
    if topology_bytes == 0 || topology_bytes > events_bytes {
        return Err(not_smaller());
    }
    let millionths = (u128::from(topology_bytes) * 1_000_000).div_ceil(u128::from(events_bytes));
    let millionths = u32::try_from(millionths).map_err(|_| not_smaller())?;
    Ok(f64::from(millionths) / 1e6)
}

/// A moment in seconds. Read from its digits: the nearest number to them, which every reader finds again.
fn seconds(unix_ms: u64) -> f64 {
    format!("{unix_ms}e-3").parse().unwrap_or_default()
}

fn event_cid(urn: &Urn, version: &Version, topology: &Digest, sources: &[String]) -> Result<String, IdentityError> {
    let mut listed = String::new();
    for source in sources {
        listed.push_str(source);
        listed.push('\n');
    }
    let (version, topology) = (version.to_string(), topology.to_string());
    let parts = [
        ("sources", listed.as_bytes()),
        ("topology", topology.as_bytes()),
        ("urn", urn.as_str().as_bytes()),
        ("version", version.as_bytes()),
    ];
    let digest = framed_digest(EVENT_DOMAIN, &parts);
    digest
        .map(|digest| digest.to_string())
        .ok_or_else(|| malformed("its parts have one name"))
}

fn is_cid(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    (1..=CID_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}
