//! The naive answer: every way to meet every requirement is written down, those that break a rule are struck out, and of
//! the rest the one with the best choices is taken.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::*;

/// The choices of one way, in the order in which requirements come up.
type Way = Vec<(Exact, Interface, Bound)>;
type Rank = (
    Reverse<bool>,
    Reverse<bool>,
    Reverse<Version>,
    Reverse<Version>,
    String,
    Digest,
);

/// The best way; none when there is no way at all.
pub(super) fn best(wanted: &Known, known: &[Known], may_bind: &MayBind<'_>) -> Option<Way> {
    let all: Vec<&Known> = known
        .iter()
        .filter(|one| one.exact() != wanted.exact())
        .chain([wanted])
        .collect();
    let slots: Vec<(&Known, &Interface)> = all
        .iter()
        .flat_map(|one| one.requires.iter().map(|r| (*one, r)))
        .collect();
    let mut best: Option<(Vec<Rank>, Way)> = None;
    let mut assigned = BTreeMap::new();
    every(&slots, &all, &mut assigned, &mut |assigned| {
        if let Some((ranks, way)) = way(wanted, &all, assigned, may_bind)
            && best.as_ref().is_none_or(|(least, _)| ranks < *least)
        {
            best = Some((ranks, way));
        }
    });
    best.map(|(_, way)| way)
}

type Assigned<'a> = BTreeMap<(Exact, Interface), &'a Known>;

/// Calls `visit` with every assignment of providers to requirements; a requirement may stay without one.
fn every<'a>(
    slots: &[(&'a Known, &'a Interface)],
    all: &[&'a Known],
    assigned: &mut Assigned<'a>,
    visit: &mut dyn FnMut(&Assigned<'a>),
) {
    let Some(((owner, required), rest)) = slots.split_first() else {
        return visit(assigned);
    };
    let slot = (owner.exact(), (*required).clone());
    every(rest, all, assigned, visit);
    for provider in all
        .iter()
        .filter(|one| one.provides.iter().any(|provided| provided.meets(required)))
    {
        assigned.insert(slot.clone(), provider);
        every(rest, all, assigned, visit);
    }
    assigned.remove(&slot);
}

/// The way an assignment describes, if it breaks no rule.
fn way(wanted: &Known, all: &[&Known], assigned: &Assigned<'_>, may_bind: &MayBind<'_>) -> Option<(Vec<Rank>, Way)> {
    let (mut ranks, mut way): (Vec<Rank>, Way) = (Vec::new(), Vec::new());
    let mut reached: Vec<&Known> = vec![wanted];
    let mut pending = VecDeque::from([wanted]);
    while let Some(owner) = pending.pop_front() {
        for required in &owner.requires {
            let provider = *assigned.get(&(owner.exact(), required.clone()))?;
            let meeting = provider.provides.iter().filter(|provided| provided.meets(required));
            let interface = meeting.max_by_key(|provided| provided.version.clone())?;
            may_bind(owner, provider, interface).ok()?;
            ranks.push((
                Reverse(provider.standing.bound),
                Reverse(provider.standing.active),
                Reverse(interface.version.clone()),
                Reverse(provider.version.clone()),
                provider.urn.to_string(),
                provider.digest,
            ));
            let bound = Bound {
                provider: provider.exact(),
                interface: interface.clone(),
            };
            way.push((owner.exact(), required.clone(), bound));
            if !reached.iter().any(|one| one.exact() == provider.exact()) {
                reached.push(provider);
                pending.push_back(provider);
            }
        }
    }
    let one_version = reached
        .iter()
        .all(|a| reached.iter().all(|b| a.urn != b.urn || a.exact() == b.exact()));
    let keeps_meaning = reached.iter().all(|one| {
        let active = all.iter().find(|other| other.urn == one.urn && other.standing.active);
        one.urn == wanted.urn || active.is_none_or(|active| active.exact() == one.exact())
    });
    (one_version && keeps_meaning && !has_circle(&way, reached.len())).then_some((ranks, way))
}

/// Whether some chain of uses is longer than there are capsules.
fn has_circle(way: &Way, capsules: usize) -> bool {
    let mut at: BTreeSet<&Exact> = way.iter().map(|(owner, ..)| owner).collect();
    for _ in 0..capsules {
        at = way
            .iter()
            .filter(|(owner, ..)| at.contains(owner))
            .map(|(.., bound)| &bound.provider)
            .collect();
    }
    !at.is_empty()
}
