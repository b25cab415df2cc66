//! What the store holds, in memory: which version a reference means, what is yanked, and how much each publisher has.

use std::collections::BTreeMap;
use std::sync::Arc;

use kinetic_identity::{IndexDocument, IndexEntry};
use kinetic_model::{CapsuleRef, Pin, Urn};
use kinetic_registry::Summary;
use semver::Version;

use crate::manifest::Manifest;
use crate::record::Record;
use crate::search::{self, Hit, Words};

/// One version.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// What the index says of it; `yanked` as of the newest one.
    pub(crate) entry: IndexEntry,
    words: Words,
}

/// How much a publisher has here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of components and manifests, in bytes.
    pub(crate) bytes: u64,
    pub(crate) versions: u64,
}

/// Those of a capsule, in the order of semantic versions.
type Versions = BTreeMap<Version, Held>;

/// Every version, by URN. Those of a capsule are shared with whoever looks through all, and copied when one of them changes
/// meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    versions: BTreeMap<Urn, Arc<Versions>>,
    usage: BTreeMap<String, Usage>,
}

/// What there was at one moment, in the order of URNs: looking through it holds nobody up.
pub(crate) struct Capsules(Vec<Arc<Versions>>);

impl Catalogue {
    /// Takes in a version; one that is known gets the receipt it has now.
    pub(crate) fn insert(&mut self, record: &Record, manifest: &Manifest) {
        let mut entry = record.entry();
        let versions = self.versions.entry(entry.urn.clone()).or_default();
        if let Some(held) = versions.get(&entry.version) {
            entry.yanked.clone_from(&held.entry.yanked);
        } else {
            count(&mut self.usage, &record.publisher, Usage::of(record));
        }
        let held = Held {
            words: Words::of(manifest),
            entry,
        };
        Arc::make_mut(versions).insert(held.entry.version.clone(), held);
    }

    /// Without a pin: the highest that is not yanked and no pre-release, or the highest pre-release when there is nothing
    /// else. A pin means a yanked one as well.
    pub(crate) fn resolve(&self, what: &CapsuleRef) -> Option<&Held> {
        let versions = self.versions.get(&what.urn)?;
        match &what.pin {
            Pin::Active => newest(versions),
            Pin::Version(version) => versions.get(version),
            Pin::Digest(digest) => versions.values().rev().find(|held| held.entry.component == *digest),
        }
    }

    /// The highest version of a URN, be it yanked or not.
    pub(crate) fn highest(&self, urn: &Urn) -> Option<&Held> {
        self.versions.get(urn)?.values().next_back()
    }

    /// What there is now, to be looked through without this being held.
    pub(crate) fn capsules(&self) -> Capsules {
        Capsules(self.versions.values().cloned().collect())
    }

    /// What a namespace's index should list of what is held here.
    pub(crate) fn entries(&self, namespace: &str) -> Vec<IndexEntry> {
        let versions = self.versions.iter().filter(|(urn, _)| urn.namespace() == namespace);
        versions
            .flat_map(|(_, versions)| versions.values().map(|held| held.entry.clone()))
            .collect()
    }

    /// How many versions of a namespace are held.
    pub(crate) fn held_of(&self, namespace: &str) -> usize {
        let versions = self.versions.iter().filter(|(urn, _)| urn.namespace() == namespace);
        versions.map(|(_, versions)| versions.len()).sum()
    }

    /// Every namespace of which something is held.
    pub(crate) fn namespaces(&self) -> Vec<String> {
        let mut all: Vec<String> = self.versions.keys().map(|urn| urn.namespace().to_string()).collect();
        all.dedup();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Takes over what an index says is yanked, and gives what it lists that is not held, or under another receipt.
    pub(crate) fn adopt(&mut self, index: &IndexDocument) -> Vec<(Urn, Version)> {
        let mut unknown = Vec::new();
        for entry in &index.entries {
            let versions = self.versions.get_mut(&entry.urn);
            let known = versions.is_some_and(|versions| adopted(versions, entry));
            if !known {
                unknown.push((entry.urn.clone(), entry.version.clone()));
            }
        }
        unknown
    }

    /// Counts something else that a publisher has here, of so many bytes.
    pub(crate) fn count(&mut self, publisher: &str, bytes: u64) {
        count(&mut self.usage, publisher, bytes);
    }

    pub(crate) fn usage(&self, publisher: &str) -> Usage {
        self.usage.get(publisher).copied().unwrap_or_default()
    }
}

impl Capsules {
    /// Every version that is not yanked: whoever picks from this list must not pick one that is.
    pub(crate) fn list(&self) -> Vec<Summary> {
        let all = self.0.iter().flat_map(|versions| versions.values());
        let good = all.filter(|held| held.entry.yanked.is_none());
        good.map(|Held { entry, .. }| Summary {
            urn: entry.urn.clone(),
            version: entry.version.clone(),
            digest: entry.component,
            size_bytes: entry.size_bytes,
        })
        .collect()
    }

    /// The newest versions that have the words of a question.
    pub(crate) fn search(&self, text: &str, limit: usize) -> Vec<Hit> {
        let question = search::question(text);
        if question.is_empty() {
            return Vec::new();
        }
        let newest = self.0.iter().filter_map(|versions| newest(versions));
        let hits = newest.filter_map(|held| {
            let (score, why) = held.words.score(&question)?;
            Some(Hit {
                urn: held.entry.urn.clone(),
                version: held.entry.version.clone(),
                digest: held.entry.component,
                score,
                why,
            })
        });
        search::ranked(hits.collect(), limit)
    }
}

impl Usage {
    /// What a version takes of its publisher's bytes.
    pub(crate) fn of(record: &Record) -> u64 {
        record
            .descriptor
            .size_bytes
            .saturating_add(record.descriptor.manifest.len() as u64)
    }
}

fn count(usage: &mut BTreeMap<String, Usage>, publisher: &str, bytes: u64) {
    let usage = usage.entry(publisher.to_string()).or_default();
    usage.bytes = usage.bytes.saturating_add(bytes);
    usage.versions = usage.versions.saturating_add(1);
}

/// Takes over what an index says of one version; whether that is held, and under the same receipt.
fn adopted(versions: &mut Arc<Versions>, entry: &IndexEntry) -> bool {
    let held = versions.get(&entry.version).map(|held| &held.entry);
    let Some(held) = held.filter(|held| held.component == entry.component) else {
        return false;
    };
    let is_same = held.receipt == entry.receipt;
    // Most say what is known, and whoever looks through all would have them copied.
    if held.yanked != entry.yanked
        && let Some(held) = Arc::make_mut(versions).get_mut(&entry.version)
    {
        held.entry.yanked.clone_from(&entry.yanked);
    }
    is_same
}

fn newest(versions: &Versions) -> Option<&Held> {
    let mut good = versions.values().rev().filter(|held| held.entry.yanked.is_none());
    good.clone()
        .find(|held| held.entry.version.pre.is_empty())
        .or_else(|| good.next())
}
