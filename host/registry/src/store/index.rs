//! What the store holds, in memory, and which version a reference means.

use std::collections::BTreeMap;

use kinetic_model::{CapsuleRef, Pin, Urn};
use semver::Version;

use crate::Summary;

/// Every version, by URN and then in the order of semantic versions.
#[derive(Default)]
pub(super) struct Index {
    versions: BTreeMap<Urn, BTreeMap<Version, Summary>>,
}

impl Index {
    pub(super) fn insert(&mut self, summary: Summary) {
        self.versions
            .entry(summary.urn.clone())
            .or_default()
            .insert(summary.version.clone(), summary);
    }

    /// Without a pin: the highest that is no pre-release, or the highest pre-release when there is nothing else.
    pub(super) fn resolve(&self, what: &CapsuleRef) -> Option<&Summary> {
        let versions = self.versions.get(&what.urn)?;
        let mut newest_first = versions.values().rev();
        match &what.pin {
            Pin::Active => newest_first
                .clone()
                .find(|s| s.version.pre.is_empty())
                .or_else(|| newest_first.next()),
            Pin::Version(version) => versions.get(version),
            Pin::Digest(digest) => newest_first.find(|summary| summary.digest == *digest),
        }
    }

    /// What each URN means without a pin, sorted by URN.
    pub(super) fn newest(&self) -> Vec<Summary> {
        let urns = self.versions.keys().cloned();
        urns.filter_map(|urn| self.resolve(&CapsuleRef::from(urn)).cloned())
            .collect()
    }

    pub(super) fn list(&self) -> Vec<Summary> {
        self.versions.values().flat_map(BTreeMap::values).cloned().collect()
    }
}
