//! Keeps the search at what this host could call: every active capsule, and those in the local store that are not.

use std::collections::BTreeSet;

use kinetic_model::Urn;
use parking_lot::RwLock;
use serde::Serialize;

use crate::search::{Document, Field, Index, Query, Ranked, Ranking};
use crate::{Capsule, Kernel, KernelError, Manifest};

/// What the host knows about capsules, for those who look for one.
#[derive(Default)]
pub(crate) struct Discovery(RwLock<Catalogue>);

#[derive(Default)]
struct Catalogue {
    index: Index,
    left_out: BTreeSet<Urn>,
}

/// What a search found on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The best of them, best first; those of the same score in the order of their URNs.
    pub hits: Vec<Hit>,
    /// How many capsules have one of the words at least.
    pub found: usize,
    /// How many capsules were looked at.
    pub searched: usize,
    /// How many could not be looked at: their manifest cannot be read, or the search is full.
    pub left_out: usize,
    /// Words that stand nowhere, and look like none that does.
    pub unknown: Vec<String>,
}

/// A capsule that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The capsule, and why it was found.
    #[serde(flatten)]
    pub ranked: Ranked,
    /// Whether the version that was found is what the URN means now; if not, the first call makes it ready.
    pub active: bool,
}

impl Kernel {
    /// Looks for capsules by words. Computes for milliseconds at most, and waits for nothing.
    pub fn search(&self, query: &Query) -> Found {
        let catalogue = self.0.discovery.0.read();
        let Ranking { hits, found, unknown } = catalogue.index.search(query);
        let active = self.0.active.load();
        let is_active = |ranked: &Ranked| {
            let current = active.by_urn.get(&ranked.urn);
            current.is_some_and(|capsule| capsule.manifest.version == ranked.version)
        };
        Found {
            hits: hits
                .into_iter()
                .map(|ranked| Hit {
                    active: is_active(&ranked),
                    ranked,
                })
                .collect(),
            found,
            searched: catalogue.index.len(),
            left_out: catalogue.left_out.len(),
            unknown,
        }
    }

    /// Has a search find what the URN means now: the active capsule if there is one.
    pub(crate) fn show_active(&self, urn: &Urn) {
        self.show(urn, Ok(None));
    }

    /// Has a search find what a call of the URN would make ready, when nothing is: the version in the local store. One
    /// that is quarantined is not offered.
    pub(crate) async fn show_stored(&self, urn: &Urn) {
        if self.current(urn).is_err() {
            self.show(urn, self.stored(urn).await);
        }
    }

    async fn stored(&self, urn: &Urn) -> Result<Option<Document>, String> {
        let Some(stored) = self.in_store(urn).await.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let kept_out = self.quarantine().get(&stored.digest);
        if kept_out.is_some_and(|entry| entry.manifest == stored.manifest_digest) {
            return Ok(None);
        }
        match &stored.manifest {
            Ok(manifest) => Ok(Some(of_manifest(manifest))),
            Err(why) => Err(why.clone()),
        }
    }

    /// Has a search find the active capsule, else what is stored, else nothing.
    fn show(&self, urn: &Urn, stored: Result<Option<Document>, String>) {
        // A part of the host is nothing that anybody could call.
        if self.is_part(urn) {
            return;
        }
        let mut catalogue = self.0.discovery.0.write();
        // Asked with the lock held, so that whoever shows a URN last shows how it stands then.
        let active = self.0.active.load().by_urn.get(urn).cloned();
        let shown = match active.map_or(stored, |capsule| Ok(Some(of_capsule(&capsule)))) {
            Ok(Some(document)) => catalogue.index.put(document).map_err(|error| error.to_string()),
            Ok(None) => {
                catalogue.index.remove(urn);
                Ok(())
            }
            Err(why) => Err(why),
        };
        match shown {
            Ok(()) => {
                catalogue.left_out.remove(urn);
            }
            Err(why) => {
                tracing::warn!(%urn, "no search finds it: {why}");
                // What may be there is of a version that the URN means no more.
                catalogue.index.remove(urn);
                catalogue.left_out.insert(urn.clone());
            }
        }
    }
}

/// Looks for words in manifests that are not of this host.
///
/// # Errors
/// `SearchFull` for more than a search can hold.
pub fn search_manifests(manifests: &[Manifest], query: &Query) -> Result<Ranking, KernelError> {
    let mut index = Index::default();
    for manifest in manifests {
        index.put(of_manifest(manifest))?;
    }
    Ok(index.search(query))
}

/// What is searched of a capsule that is loaded: its component's own words about its functions count as well.
fn of_capsule(capsule: &Capsule) -> Document {
    let functions = &capsule.capability.interface().functions;
    let unsaid = functions.iter().filter(|function| {
        let said = capsule.manifest.functions.get(&function.name);
        said.is_none_or(|text| text.description.is_none())
    });
    let document = functions
        .iter()
        .fold(of_manifest(&capsule.manifest), |document, function| {
            // The manifest's functions are in it already.
            if capsule.manifest.functions.contains_key(&function.name) {
                document
            } else {
                document.with(Field::Function, function.name.as_str())
            }
        });
    unsaid
        .filter_map(|function| function.docs.as_deref())
        .fold(document, |document, docs| document.with(Field::FunctionText, docs))
}

/// What is searched of a capsule that is not.
fn of_manifest(manifest: &Manifest) -> Document {
    let governance = &manifest.governance;
    let mut document = Document::new(
        manifest.id.clone(),
        manifest.version.clone(),
        manifest.description.as_str(),
    )
    .with(Field::Kind, word(&manifest.kind))
    .with(Field::Tier, word(&governance.tier))
    .with(Field::Zone, word(&governance.trust_zone))
    .with(Field::Determinism, word(&governance.determinism));
    if let Some(title) = &manifest.title {
        document = document.titled(title.as_str());
    }
    for provided in &manifest.capabilities.provides {
        document = document.with(Field::Provides, provided.as_str());
    }
    for required in &manifest.capabilities.requires {
        document = document.with(Field::Requires, required.as_str());
    }
    for (name, text) in &manifest.functions {
        document = document.with(Field::Function, name.as_str());
        if let Some(title) = &text.title {
            document = document.with(Field::Function, title.as_str());
        }
        if let Some(description) = &text.description {
            document = document.with(Field::FunctionText, description.as_str());
        }
    }
    document
}

/// The word that manifests have for it.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_part_of_a_manifest_is_found_where_it_stands() {
        let manifest = json!({
            "id": "urn:acme:actionspace:oracle:weather:v2",
            "version": "2.7.1",
            "type": "resource",
            "title": "Forecast",
            "description": "Tells tomorrow's sky.",
            "capabilities": { "provides": ["acme:meteo/ask@2.0.0"], "requires": ["acme:places/lookup@1.0.0"] },
            "governance": { "tier": "extension", "trust_zone": "tenant", "determinism": "D2_soft_deterministic" },
            "functions": { "rain-tonight": { "title": "Umbrella", "description": "Says whether drops fall." } },
        });
        let mut index = Index::default();
        index
            .put(of_manifest(&Manifest::parse(&manifest.to_string()).unwrap()))
            .unwrap();
        for (query, field) in [
            ("weather", Field::Urn),
            ("7", Field::Version),
            ("forecast", Field::Title),
            ("tomorrow", Field::Description),
            ("meteo", Field::Provides),
            ("lookup", Field::Requires),
            ("tonight", Field::Function),
            ("umbrella", Field::Function),
            ("drops", Field::FunctionText),
            ("resource", Field::Kind),
            ("extension", Field::Tier),
            ("tenant", Field::Zone),
            ("D2_soft_deterministic", Field::Determinism),
        ] {
            let found = index.search(&Query::parse(query, None).unwrap());
            assert!(
                found.hits[0].why.iter().any(|why| why.field == field),
                "{query}: {found:#?}"
            );
        }
    }
}
