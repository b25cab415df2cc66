//! In which order capsules are started: those that require nothing first, and each after all that could provide what it
//! requires.

use std::collections::{BTreeMap, BTreeSet};

use kinetic_model::Urn;

use crate::Manifest;
use crate::resolve::Interface;

/// A capsule that is to be started.
pub(super) struct Start {
    urn: Urn,
    provides: Vec<Interface>,
    requires: Vec<Interface>,
}

impl Start {
    /// As its manifest says. One whose manifest cannot be read is started like one that requires nothing, and says itself
    /// what is wrong.
    pub(super) fn of(urn: Urn, manifest: Option<&Manifest>) -> Self {
        let interfaces = |names: &[String]| -> Vec<Interface> {
            let parsed = names.iter().filter_map(|name| Interface::parse(name));
            parsed.collect()
        };
        let capabilities = manifest.map(|manifest| &manifest.capabilities);
        Self {
            urn,
            provides: capabilities.map_or_else(Vec::new, |all| interfaces(&all.provides)),
            requires: capabilities.map_or_else(Vec::new, |all| interfaces(&all.requires)),
        }
    }
}

/// The capsules in groups: those of one group do not need each other, and what they need is in groups before. In a circle
/// the first one by its place here begins; whether it may stand is not decided here.
pub(super) fn waves(starts: &[Start]) -> Vec<Vec<Urn>> {
    let needs = needs(starts);
    let mut left: BTreeSet<usize> = (0..starts.len()).collect();
    let mut waves = Vec::new();
    while let Some(first) = left.first().copied() {
        let is_free = |at: &usize| needs.get(*at).is_none_or(|needs| needs.is_disjoint(&left));
        let mut wave: Vec<usize> = left.iter().copied().filter(is_free).collect();
        if wave.is_empty() {
            wave.push(first);
        }
        for at in &wave {
            left.remove(at);
        }
        let urns = wave.iter().filter_map(|at| starts.get(*at));
        waves.push(urns.map(|start| start.urn.clone()).collect());
    }
    waves
}

/// For each capsule the places of the others that could provide what it requires.
fn needs(starts: &[Start]) -> Vec<BTreeSet<usize>> {
    let mut providers: BTreeMap<&str, Vec<(usize, &Interface)>> = BTreeMap::new();
    for (at, start) in starts.iter().enumerate() {
        for provided in &start.provides {
            providers
                .entry(provided.name.as_str())
                .or_default()
                .push((at, provided));
        }
    }
    let mut needs = Vec::with_capacity(starts.len());
    for (at, start) in starts.iter().enumerate() {
        let mut others = BTreeSet::new();
        for required in &start.requires {
            let named = providers.get(required.name.as_str()).into_iter().flatten();
            let meeting = named.filter(|(other, provided)| *other != at && provided.meets(required));
            others.extend(meeting.map(|(other, _)| *other));
        }
        needs.push(others);
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: &str, provides: &[&str], requires: &[&str]) -> Start {
        let interfaces = |names: &[&str]| -> Vec<Interface> {
            let parsed = names.iter().map(|name| Interface::parse(name).unwrap());
            parsed.collect()
        };
        Start {
            urn: format!("urn:acme:actionspace:solver:{name}:v1").parse().unwrap(),
            provides: interfaces(provides),
            requires: interfaces(requires),
        }
    }

    fn names(starts: &[Start]) -> Vec<Vec<String>> {
        let name = |urn: Urn| urn.name().to_string();
        let waves = waves(starts).into_iter();
        waves.map(|wave| wave.into_iter().map(name).collect()).collect()
    }

    #[test]
    fn each_comes_after_all_that_could_provide_what_it_requires_and_the_rest_together() {
        let starts = [
            start("asker", &[], &["acme:db/query@1.0.0", "acme:log/write@1.0.0"]),
            start("db", &["acme:db/query@1.2.0"], &["acme:disk/read@1.0.0"]),
            start("disk", &["acme:disk/read@1.0.0"], &[]),
            start("lone", &[], &["acme:nowhere/thing@1.0.0"]),
            start("old", &["acme:db/query@0.9.0"], &["acme:db/query@1.0.0"]),
        ];
        assert_eq!(names(&starts), [vec!["disk", "lone"], vec!["db"], vec!["asker", "old"]]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn a_circle_is_begun_with_its_first_one_and_nobody_is_left_out_or_started_twice() {
        let starts = [
            start("a", &["acme:a/a@1.0.0"], &["acme:b/b@1.0.0"]),
            start("b", &["acme:b/b@1.0.0"], &["acme:a/a@1.0.0"]),
            start("c", &["acme:a/a@1.0.0"], &["acme:a/a@1.0.0"]),
            start("d", &[], &[]),
        ];
        assert_eq!(names(&starts), [["d"], ["a"], ["c"], ["b"]]);
    }
}
