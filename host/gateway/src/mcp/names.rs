//! What tools are called: short where that is unambiguous, and never twice the same.

use std::collections::{HashMap, HashSet};

use kinetic_model::{Digest, Urn};

/// The longest name MCP recommends, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 128;
/// Digits of a digest that tell names apart which would otherwise be the same.
const SUFFIX_DIGITS: usize = 12;

/// A name for each function, in the order given.
///
/// `redact.scrub` is the rule. Where several URNs share a short name, all of them carry their namespace
/// (`acme.redact.scrub`), and class and major too where that is not enough (`acme.solver.redact.v2.scrub`).
pub(crate) fn names(functions: &[(&Urn, &str)]) -> Vec<String> {
    let urns: HashSet<&Urn> = functions.iter().map(|(urn, _)| *urn).collect();
    let by_name = counted(urns.iter().map(|urn| urn.name().to_string()));
    let by_namespace = counted(urns.iter().map(|urn| format!("{}.{}", urn.namespace(), urn.name())));
    let mut taken = HashSet::new();
    let mut names = Vec::with_capacity(functions.len());
    for (urn, function) in functions {
        let (namespace, name) = (urn.namespace(), urn.name());
        let short = format!("{namespace}.{name}");
        let prefix = if by_name.get(name) == Some(&1) {
            name.to_string()
        } else if by_namespace.get(&short) == Some(&1) {
            short
        } else {
            let class = urn.as_str().split(':').nth(3).unwrap_or_default();
            format!("{namespace}.{class}.{name}.v{}", urn.major())
        };
        let name = fitted(&format!("{prefix}.{function}"), urn, function, &taken);
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

fn counted(names: impl Iterator<Item = String>) -> HashMap<String, usize> {
    names.fold(HashMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}

/// The name in the characters and the length MCP allows. Where that loses something, or another has the name, a digest of
/// what it stands for is put behind it.
fn fitted(wanted: &str, urn: &Urn, function: &str, taken: &HashSet<String>) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
            c
        } else {
            '_'
        }
    };
    let name: String = wanted.chars().map(allowed).collect();
    if name == wanted && name.len() <= NAME_BYTES_MAX && !taken.contains(&name) {
        return name;
    }
    let digest = Digest::of(format!("{urn} {function}").as_bytes()).hex();
    let suffix: String = digest.chars().take(SUFFIX_DIGITS).collect();
    let room = NAME_BYTES_MAX - SUFFIX_DIGITS - 1;
    let start: String = name.chars().take(room).collect();
    format!("{start}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(functions: &[(&str, &str)]) -> Vec<String> {
        let parsed: Vec<(Urn, &str)> = functions
            .iter()
            .map(|(urn, function)| (urn.parse().unwrap(), *function))
            .collect();
        names(
            &parsed
                .iter()
                .map(|(urn, function)| (urn, *function))
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_name_is_short_when_nobody_else_has_it() {
        let names = of(&[
            ("urn:kinetic:actionspace:solver:redact:v1", "scrub"),
            ("urn:kinetic:actionspace:solver:redact:v1", "kinds"),
            ("urn:kinetic:actionspace:solver:chunk:v1", "split"),
        ]);
        assert_eq!(names, ["redact.scrub", "redact.kinds", "chunk.split"]);
    }

    #[test]
    fn all_that_collide_carry_their_namespace_and_more_only_where_needed() {
        let names = of(&[
            ("urn:kinetic:actionspace:solver:redact:v1", "scrub"),
            ("urn:acme:actionspace:solver:redact:v1", "scrub"),
            ("urn:acme:actionspace:solver:redact:v2", "scrub"),
        ]);
        assert_eq!(
            names,
            [
                "kinetic.redact.scrub",
                "acme.solver.redact.v1.scrub",
                "acme.solver.redact.v2.scrub"
            ]
        );
    }

    #[test]
    fn every_name_is_unique_short_and_of_allowed_characters() {
        let long = "x".repeat(200);
        let longer = "x".repeat(201);
        let names = of(&[
            ("urn:a:actionspace:solver:b:v1", "c.d"),
            ("urn:b:actionspace:solver:b:v1", "d"),
            ("urn:a:actionspace:solver:a:v1", "b.c.d"),
            ("urn:a:actionspace:solver:a:v1", &long),
            ("urn:a:actionspace:solver:a:v1", &longer),
            ("urn:a:actionspace:solver:a:v1", "odd/name"),
        ]);
        let unique: HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "{names:?}");
        for name in names {
            assert!(name.len() <= NAME_BYTES_MAX && !name.contains('/'), "{name}");
        }
    }
}
