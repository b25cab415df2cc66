//! What a registry reads of a manifest: whose it is, and the words it is found by. The rest is judged by hosts.

use std::collections::BTreeMap;

use kinetic_identity::strict_json;
use kinetic_model::Urn;
use semver::Version;
use serde::Deserialize;

use crate::ServerError;
use crate::error::tame;

/// How deep a manifest may nest, as hosts read it.
const DEPTH_MAX: usize = 16;

/// The parts of manifest.json that matter here.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) id: Urn,
    pub(crate) version: Version,
    #[serde(default)]
    pub(crate) title: Option<String>,
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) functions: BTreeMap<String, Function>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Function {
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
}

impl Manifest {
    /// Reads it; a member that stands twice is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, ServerError> {
        let bad = |why: String| ServerError::BadManifest { why };
        let value = strict_json::parse(text.as_bytes(), DEPTH_MAX)
            .map_err(|error| bad(error.to_string().trim_end_matches('.').into()))?;
        serde_json::from_value(value).map_err(|error| bad(tame(&error.to_string())))
    }
}
