//! What policies see of a capsule.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use kinetic_model::{AuditLevel, Determinism, Urn};
use semver::Version;
use serde::Serialize;

use super::Denied;
use crate::resolve::Known;
use crate::{Governance, Manifest};

/// A capsule that asks or is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// Its URN.
    pub urn: &'a Urn,
    /// Its version.
    pub version: &'a Version,
    /// What its manifest says about its trust.
    pub governance: &'a Governance,
}

impl<'a> From<&'a Manifest> for Party<'a> {
    fn from(manifest: &'a Manifest) -> Self {
        Self {
            urn: &manifest.id,
            version: &manifest.version,
            governance: &manifest.governance,
        }
    }
}

impl<'a> From<&'a Known> for Party<'a> {
    fn from(known: &'a Known) -> Self {
        Self {
            urn: &known.urn,
            version: &known.version,
            governance: &known.governance,
        }
    }
}

impl Party<'_> {
    pub(super) fn uid(self) -> Result<EntityUid, Denied> {
        uid("Capsule", self.urn.as_str())
    }

    pub(super) fn entity(self) -> Result<Entity, Denied> {
        let governance = self.governance;
        let (determinism, audit) = (governance.determinism, governance.audit_level);
        let texts = [
            ("urn", self.urn.to_string()),
            ("version", self.version.to_string()),
            ("tenant", self.urn.namespace().to_string()),
            ("tier", word(governance.tier)),
            ("zone", governance.trust_zone.as_str().to_string()),
            ("determinism", word(determinism)),
            ("audit_level", word(audit)),
        ];
        let ranks = [
            ("determinism_rank", determinism_rank(determinism)),
            ("audit_rank", audit_rank(audit)),
        ];
        let texts = texts.map(|(name, text)| (name.to_string(), RestrictedExpression::new_string(text)));
        let ranks = ranks.map(|(name, rank)| (name.to_string(), RestrictedExpression::new_long(rank)));
        let attributes: HashMap<String, RestrictedExpression> = texts.into_iter().chain(ranks).collect();
        Entity::new(self.uid()?, attributes, HashSet::new()).map_err(|e| unasked(&e))
    }
}

/// The name of something of a type that the schema has.
pub(super) fn uid(kind: &str, id: &str) -> Result<EntityUid, Denied> {
    let kind = kind.parse::<EntityTypeName>().map_err(|e| unasked(&e))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// The question cannot be put to the policies, and what is not asked is not allowed.
pub(super) fn unasked(why: &dyn std::error::Error) -> Denied {
    Denied::unpermitted(&format!("the policies cannot be asked: {why}"))
}

/// The word that manifests use.
pub(super) fn word(value: impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_string()
}

/// The less is promised, the higher.
const fn determinism_rank(determinism: Determinism) -> i64 {
    match determinism {
        Determinism::D0BitExact => 0,
        Determinism::D1NumericallyStable => 1,
        Determinism::D2SoftDeterministic => 2,
        Determinism::NxExperimental => 3,
    }
}

/// The more is recorded, the higher.
const fn audit_rank(level: AuditLevel) -> i64 {
    match level {
        AuditLevel::None => 0,
        AuditLevel::Low => 1,
        AuditLevel::Standard => 2,
        AuditLevel::Elevated => 3,
        AuditLevel::Critical => 4,
    }
}
