//! What the store holds, in memory, and which version a reference means.

use std::collections::BTreeMap;

use kinetic_model::{CapsuleRef, Pin, Urn};
use semver::Version;

use crate::Summary;

/// Every version, by URN and then in the order of semantic versions.
#[derive(Default)]
pub(crate) struct Index {
    versions: BTreeMap<Urn, BTreeMap<Version, Summary>>,
}

impl Index {
    pub(crate) fn insert(&mut self, summary: Summary) {
        self.versions
            .entry(summary.urn.clone())
            .or_default()
            .insert(summary.version.clone(), summary);
    }

    /// Forgets a version.
    pub(crate) fn remove(&mut self, summary: &Summary) {
        if let Some(versions) = self.versions.get_mut(&summary.urn) {
            versions.remove(&summary.version);
            if versions.is_empty() {
                self.versions.remove(&summary.urn);
            }
        }
    }

    /// The versions of a URN, oldest first.
    pub(crate) fn of(&self, urn: &Urn) -> impl Iterator<Item = &Summary> {
        self.versions.get(urn).into_iter().flat_map(BTreeMap::values)
    }

    /// Every version, by URN and version.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Summary> {
        self.versions.values().flat_map(BTreeMap::values)
    }

    /// Without a pin: the highest that is no pre-release, or the highest pre-release when there is nothing else.
    pub(crate) fn resolve(&self, what: &CapsuleRef) -> Option<&Summary> {
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
    pub(crate) fn newest(&self) -> Vec<Summary> {
        let urns = self.versions.keys().cloned();
        urns.filter_map(|urn| self.resolve(&CapsuleRef::from(urn)).cloned())
            .collect()
    }

    pub(crate) fn list(&self) -> Vec<Summary> {
        self.all().cloned().collect()
    }
}
