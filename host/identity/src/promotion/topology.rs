//! A topology document: any JSON object, in one spelling and within bounds.

use kinetic_model::{Digest, Sorted, SortedMap};
use serde_json::{Map, Value};

use super::{bounded, malformed};
use crate::{IdentityError, strict_json};

/// The largest document, in bytes of its one spelling.
pub const TOPOLOGY_BYTES_MAX: usize = 1_048_576;
/// How deep a document may nest, itself included.
pub const TOPOLOGY_DEPTH_MAX: usize = 48;

/// A topology document. Its one spelling has no spaces, and the members of each object in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    members: Map<String, Value>,
    text: Vec<u8>,
    digest: Digest,
}

impl Topology {
    /// Takes a document; what it means is nobody's business here.
    ///
    /// # Errors
    /// [`IdentityError::PromotionTooLarge`] beyond [`TOPOLOGY_BYTES_MAX`], [`IdentityError::JsonTooDeep`] beyond
    /// [`TOPOLOGY_DEPTH_MAX`], [`IdentityError::PromotionMalformed`] when it is empty or a number of it cannot be kept.
    pub fn new(members: Map<String, Value>) -> Result<Self, IdentityError> {
        if members.is_empty() {
            return Err(malformed("its topology has no members"));
        }
        let text = serde_json::to_vec(&SortedMap(&members)).map_err(|error| malformed(error.to_string()))?;
        bounded("the topology", text.len(), TOPOLOGY_BYTES_MAX)?;
        // Who reads it must find the very same: a fraction of many digits may come back as its neighbour.
        let again = strict_json::parse(&text, TOPOLOGY_DEPTH_MAX)?;
        if serde_json::to_vec(&Sorted(&again)).ok().as_ref() != Some(&text) {
            return Err(malformed(
                "its topology holds a number with more digits than are kept; write it as text",
            ));
        }
        let digest = Digest::of(&text);
        Ok(Self { members, text, digest })
    }

    /// The members of the document.
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// Its one spelling.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// SHA-256 of that.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The size of that, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.text.len() as u64
    }
}
