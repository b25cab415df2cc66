//! Who provides what a capsule requires: from one capsule and all known ones to a provider for every requirement.
//!
//! Pure: it looks at what it is given and touches nothing, so it answers alike in whatever order the capsules come.
//! A URN keeps its meaning: where a version is active, no other one is chosen. Where several capsules provide an
//! interface, the operator's word comes first, then what is active, then the newest interface, the newest capsule, the URN.

mod interface;
mod known;
mod search;
mod why;

use std::collections::{BTreeMap, BTreeSet};

use kinetic_model::{Digest, Urn};
use semver::Version;

use crate::governance::Denied;
pub use interface::Interface;
pub(crate) use known::{Known, Standing};
pub(crate) use why::Explanation;

/// The most capsules that are looked at.
pub(crate) const KNOWN_MAX: usize = 10_000;
/// The most capsules one capsule may bring with it, itself included.
pub(crate) const CAPSULES_MAX: usize = 64;
/// The longest chain of capsules behind the wanted one.
pub(crate) const DEPTH_MAX: usize = 16;
/// The most requirements that are met at once; the search goes as deep as this.
pub(crate) const BINDINGS_MAX: usize = 256;
/// The most candidates that are weighed before the search gives up.
pub(crate) const STEPS_MAX: usize = 100_000;

/// One version of a capsule, by what cannot change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exact {
    pub(crate) urn: Urn,
    pub(crate) version: Version,
    pub(crate) digest: Digest,
}

/// Who meets a requirement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bound {
    pub(crate) provider: Exact,
    /// The interface as the provider has it; its version may be newer than the one required.
    pub(crate) interface: Interface,
}

/// A provider for every requirement of every capsule that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolution {
    /// For each needed capsule, the wanted one included: requirement to provider.
    pub(crate) bindings: BTreeMap<Exact, BTreeMap<Interface, Bound>>,
    /// Every needed capsule, each behind those it uses; the wanted one is the last.
    pub(crate) order: Vec<Exact>,
}

/// Why a capsule's requirements cannot be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// A requirement that no capsule meets, with every candidate and what speaks against it.
    Unmet { what: String, why: Explanation },
    /// A bound was reached before there was an answer.
    TooMany {
        what: String,
        counted: &'static str,
        max: usize,
    },
}

/// Says no to a binding: dependent, provider, the provider's interface.
pub(crate) type MayBind<'a> = dyn Fn(&Known, &Known, &Interface) -> Result<(), Denied> + 'a;

/// Finds a provider for everything that `wanted` and its providers require.
///
/// # Errors
/// [`Unresolved`], with sentences for a person.
pub(crate) fn resolve(wanted: &Known, known: &[Known], may_bind: &MayBind<'_>) -> Result<Resolution, Unresolved> {
    if known.len() > KNOWN_MAX {
        return Err(Unresolved::TooMany {
            what: wanted.to_string(),
            counted: "known capsules",
            max: KNOWN_MAX,
        });
    }
    let mut search = search::Search::new(wanted, known, may_bind);
    search.run()?;
    let mut bindings: BTreeMap<Exact, BTreeMap<Interface, Bound>> = BTreeMap::new();
    for capsule in search.capsules() {
        bindings.insert(capsule.exact(), BTreeMap::new());
    }
    for choice in search.choices() {
        let bound = Bound {
            provider: choice.provider.exact(),
            interface: choice.provided.clone(),
        };
        let of_owner = bindings.entry(choice.owner.exact()).or_default();
        of_owner.insert(choice.required.clone(), bound);
    }
    let mut order = Vec::new();
    behind_its_providers(&wanted.exact(), &bindings, &mut BTreeSet::new(), &mut order);
    Ok(Resolution { bindings, order })
}

/// Adds a capsule behind all it uses. The bindings hold no circle and at most [`CAPSULES_MAX`] capsules, so this ends.
fn behind_its_providers(
    capsule: &Exact,
    bindings: &BTreeMap<Exact, BTreeMap<Interface, Bound>>,
    seen: &mut BTreeSet<Exact>,
    order: &mut Vec<Exact>,
) {
    if !seen.insert(capsule.clone()) {
        return;
    }
    for bound in bindings.get(capsule).into_iter().flat_map(BTreeMap::values) {
        behind_its_providers(&bound.provider, bindings, seen, order);
    }
    order.push(capsule.clone());
}

#[cfg(test)]
mod tests;
