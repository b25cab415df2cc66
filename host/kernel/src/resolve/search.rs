//! The search: one requirement after the other, the best candidate first, back where a choice led nowhere.
//!
//! Requirements are met in the order in which they come up: those of the wanted capsule, then those of its providers.
//! A failure knows which choices it rests on. Choices that have no part in it are passed over on the way back, which
//! keeps the search short and the explanation free of what does not matter.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use kinetic_model::Urn;

use super::why::{Against, Candidate, Unmet};
use super::{BINDINGS_MAX, CAPSULES_MAX, DEPTH_MAX, Interface, Known, MayBind, STEPS_MAX, Unresolved};

/// Number of a choice: the first is 1. At level 0 is the wanted capsule, which nobody chose.
type Level = usize;

/// A requirement with its provider.
pub(super) struct Choice<'a> {
    pub(super) owner: &'a Known,
    pub(super) required: &'a Interface,
    pub(super) provider: &'a Known,
    pub(super) provided: &'a Interface,
}

/// A capsule that is needed, and the choice that brought it in.
#[derive(Clone, Copy)]
struct Needed<'a> {
    capsule: &'a Known,
    level: Level,
    depth: usize,
}

/// A requirement that waits for its provider.
#[derive(Clone, Copy)]
struct Demand<'a> {
    owner: Needed<'a>,
    required: &'a Interface,
}

/// Why a branch of the search ended.
enum Stop<'a> {
    Unmet { unmet: Unmet<'a>, blame: BTreeSet<Level> },
    TooMany { counted: &'static str, max: usize },
}

pub(super) struct Search<'a> {
    wanted: &'a Known,
    /// By the name of an interface: who provides any version of it.
    providers: BTreeMap<&'a str, Vec<&'a Known>>,
    /// The one version that a URN may have here, where that is settled: the wanted capsule's own and the active ones.
    settled: BTreeMap<&'a Urn, &'a Known>,
    may_bind: &'a MayBind<'a>,
    needed: BTreeMap<&'a Urn, Needed<'a>>,
    /// The requirement at place `i` is met by the choice of level `i + 1`.
    demands: Vec<Demand<'a>>,
    choices: Vec<Choice<'a>>,
    steps: usize,
}

impl<'a> Search<'a> {
    pub(super) fn new(wanted: &'a Known, known: &'a [Known], may_bind: &'a MayBind<'a>) -> Self {
        let mut all: Vec<&Known> = known.iter().filter(|capsule| !capsule.is(wanted)).collect();
        all.push(wanted);
        all.sort_by(|a, b| (&a.urn, &a.version, a.digest).cmp(&(&b.urn, &b.version, b.digest)));
        all.dedup_by(|a, b| a.is(b));
        let mut providers: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
        let mut settled = BTreeMap::new();
        for capsule in all {
            let names: BTreeSet<&str> = capsule.provides.iter().map(|provided| provided.name.as_str()).collect();
            for name in names {
                providers.entry(name).or_default().push(capsule);
            }
            if capsule.standing.active {
                settled.insert(&capsule.urn, capsule);
            }
        }
        settled.insert(&wanted.urn, wanted);
        Self {
            wanted,
            providers,
            settled,
            may_bind,
            needed: BTreeMap::new(),
            demands: Vec::new(),
            choices: Vec::new(),
            steps: 0,
        }
    }

    /// Meets every requirement, or says why that cannot be.
    pub(super) fn run(&mut self) -> Result<(), Unresolved> {
        let root = Needed {
            capsule: self.wanted,
            level: 0,
            depth: 0,
        };
        let what = self.wanted.to_string();
        let met = self.need(root).and_then(|()| self.meet(0));
        met.map_err(|stop| match stop {
            Stop::Unmet { unmet, .. } => Unresolved::Unmet {
                what,
                why: unmet.explain(),
            },
            Stop::TooMany { counted, max } => Unresolved::TooMany { what, counted, max },
        })
    }

    /// The capsules that are needed.
    pub(super) fn capsules(&self) -> impl Iterator<Item = &'a Known> {
        self.needed.values().map(|needed| needed.capsule)
    }

    /// The choices, in the order in which they were made.
    pub(super) fn choices(&self) -> &[Choice<'a>] {
        &self.choices
    }

    /// Meets the requirement at that place and all behind it.
    fn meet(&mut self, place: usize) -> Result<(), Stop<'a>> {
        let Some(demand) = self.demands.get(place).copied() else {
            return Ok(());
        };
        let level = place + 1;
        let mut blame = BTreeSet::from([demand.owner.level]);
        let mut candidates = Vec::new();
        for capsule in self.candidates(demand.required) {
            self.step()?;
            let provided = match self.usable(demand, capsule) {
                Ok(provided) => provided,
                Err((against, levels)) => {
                    blame.extend(levels);
                    candidates.push(Candidate { capsule, against });
                    continue;
                }
            };
            let demands_before = self.demands.len();
            let is_new = self.choose(demand, capsule, provided, level)?;
            match self.meet(level) {
                Ok(()) => return Ok(()),
                Err(Stop::Unmet { unmet, blame: because }) => {
                    self.demands.truncate(demands_before);
                    self.choices.truncate(place);
                    if is_new {
                        self.needed.remove(&capsule.urn);
                    }
                    if !because.contains(&level) {
                        return Err(Stop::Unmet { unmet, blame: because });
                    }
                    blame.extend(because.into_iter().filter(|other| *other != level));
                    candidates.push(Candidate {
                        capsule,
                        against: Against::Then(Box::new(unmet)),
                    });
                }
                Err(stop) => return Err(stop),
            }
        }
        let unmet = Unmet {
            owner: demand.owner.capsule,
            required: demand.required,
            candidates,
        };
        Err(Stop::Unmet { unmet, blame })
    }

    fn step(&mut self) -> Result<(), Stop<'a>> {
        self.steps += 1;
        within("candidates to weigh", self.steps, STEPS_MAX)
    }

    /// Everybody who provides the interface in any version, the best first; those that do not meet it come last.
    fn candidates(&self, required: &Interface) -> Vec<&'a Known> {
        let mut candidates = self.providers.get(required.name.as_str()).cloned().unwrap_or_default();
        candidates.sort_by_key(|&capsule| {
            let meeting = capsule.meeting(required).map(|provided| &provided.version);
            (
                meeting.is_none(),
                Reverse(capsule.standing.bound),
                Reverse(capsule.standing.active),
                Reverse(meeting),
                Reverse(&capsule.version),
                &capsule.urn,
                capsule.digest,
            )
        });
        candidates
    }

    /// The interface by which a capsule meets a requirement, or what speaks against it and the choices that rests on.
    fn usable(&self, demand: Demand<'a>, capsule: &'a Known) -> Result<&'a Interface, (Against<'a>, Vec<Level>)> {
        let (owner, required) = (demand.owner.capsule, demand.required);
        let Some(provided) = capsule.meeting(required) else {
            return Err((Against::Version, Vec::new()));
        };
        let settled = self.settled.get(&capsule.urn).copied();
        if let Some(settled) = settled.filter(|settled| !settled.is(capsule)) {
            return Err((Against::NotTheOne(settled), Vec::new()));
        }
        if let Some((circle, levels)) = self.path(capsule, owner) {
            return Err((Against::Circle(circle), levels));
        }
        if let Err(denied) = (self.may_bind)(owner, capsule, provided) {
            return Err((Against::Denied(denied), Vec::new()));
        }
        match self.needed.get(&capsule.urn) {
            Some(needed) if needed.capsule.is(capsule) => Ok(provided),
            Some(needed) => Err((Against::OtherVersion(needed.capsule), vec![needed.level])),
            None if demand.owner.depth >= DEPTH_MAX => Err((Against::TooDeep, self.chain(demand.owner))),
            None => Ok(provided),
        }
    }

    /// Takes a candidate; whether it is a capsule that was not needed before.
    fn choose(
        &mut self,
        demand: Demand<'a>,
        provider: &'a Known,
        provided: &'a Interface,
        level: Level,
    ) -> Result<bool, Stop<'a>> {
        self.choices.push(Choice {
            owner: demand.owner.capsule,
            required: demand.required,
            provider,
            provided,
        });
        if self.needed.contains_key(&provider.urn) {
            return Ok(false);
        }
        self.need(Needed {
            capsule: provider,
            level,
            depth: demand.owner.depth + 1,
        })?;
        Ok(true)
    }

    fn need(&mut self, needed: Needed<'a>) -> Result<(), Stop<'a>> {
        self.needed.insert(&needed.capsule.urn, needed);
        within("capsules it brings with it", self.needed.len(), CAPSULES_MAX)?;
        let demands = needed.capsule.requires.iter().map(|required| Demand {
            owner: needed,
            required,
        });
        self.demands.extend(demands);
        within("requirements to meet", self.demands.len(), BINDINGS_MAX)
    }

    /// How one capsule uses another one, directly or through others: those on the way, and the choices that made it so.
    fn path(&self, from: &'a Known, to: &'a Known) -> Option<(Vec<&'a Known>, Vec<Level>)> {
        let mut reached_by: BTreeMap<&Urn, Option<Level>> = BTreeMap::from([(&from.urn, None)]);
        let mut pending = vec![from];
        while let Some(capsule) = pending.pop() {
            if capsule.is(to) {
                return Some(self.trace(capsule, &reached_by));
            }
            for (place, choice) in self
                .choices
                .iter()
                .enumerate()
                .filter(|(_, choice)| choice.owner.is(capsule))
            {
                if !reached_by.contains_key(&choice.provider.urn) {
                    reached_by.insert(&choice.provider.urn, Some(place + 1));
                    pending.push(choice.provider);
                }
            }
        }
        None
    }

    /// The way back from where a path ended.
    fn trace(&self, end: &'a Known, reached_by: &BTreeMap<&Urn, Option<Level>>) -> (Vec<&'a Known>, Vec<Level>) {
        let (mut capsules, mut levels) = (vec![end], Vec::new());
        let mut at = end;
        while let Some(level) = reached_by.get(&at.urn).copied().flatten() {
            let Some(choice) = self.choices.get(level - 1) else {
                break;
            };
            levels.push(level);
            capsules.push(choice.owner);
            at = choice.owner;
        }
        capsules.reverse();
        (capsules, levels)
    }

    /// The choices through which a capsule came in.
    fn chain(&self, needed: Needed<'a>) -> Vec<Level> {
        let mut levels = Vec::new();
        let mut at = Some(needed);
        while let Some(needed) = at.filter(|needed| needed.level > 0) {
            levels.push(needed.level);
            let brought_by = self.choices.get(needed.level - 1).map(|choice| choice.owner);
            at = brought_by.and_then(|owner| self.needed.get(&owner.urn)).copied();
        }
        levels
    }
}

fn within<'a>(counted: &'static str, count: usize, max: usize) -> Result<(), Stop<'a>> {
    if count > max {
        return Err(Stop::TooMany { counted, max });
    }
    Ok(())
}
