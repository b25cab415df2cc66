//! Adds up silver rows by workflow, stream, intent, node and model: what most columns of gold are made of.

use polars::prelude::*;

use crate::interner::{Number, Ranks};

/// How many groups are looked up by what they have in common; more of them are put on a pile.
const RECENT_MAX: usize = 32_768;

/// What the rows of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupKey {
    pub(crate) workflow: Option<Number>,
    pub(crate) stream: Number,
    pub(crate) intent: Option<Number>,
    pub(crate) node: Option<Number>,
    pub(crate) model: Option<Number>,
}

/// What they add up to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    pub(crate) events: u64,
    pub(crate) errors: u64,
    /// Events that have a duration.
    pub(crate) durations: u64,
    pub(crate) first_unix_ns: i64,
    pub(crate) last_unix_ns: i64,
    /// Prompt, completion and cached tokens. Sums of 64-bit numbers never overflow these.
    pub(crate) usage: [i128; 3],
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.errors += other.errors;
        self.durations += other.durations;
        self.first_unix_ns = self.first_unix_ns.min(other.first_unix_ns);
        self.last_unix_ns = self.last_unix_ns.max(other.last_unix_ns);
        for (sum, tokens) in self.usage.iter_mut().zip(other.usage) {
            *sum += tokens;
        }
    }
}

/// The rows of silver that have a key in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventGroup {
    pub(crate) key: GroupKey,
    pub(crate) sums: Sums,
}

/// Groups while rows are added. Those of rows that follow each other are few, or few of them come again: a table of all
/// of them would be more than twice as large as a pile.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    recent: PlHashMap<GroupKey, Sums>,
    pile: Vec<EventGroup>,
    /// How many of the pile were left when equal ones were put together.
    settled: usize,
}

impl Groups {
    /// Adds rows of a key.
    pub(crate) fn add(&mut self, key: GroupKey, sums: Sums) {
        let known = self.recent.entry(key);
        known.and_modify(|known| known.add(&sums)).or_insert(sums);
        if self.recent.len() >= RECENT_MAX {
            self.put_on_pile();
            if self.pile.len() >= 2 * self.settled.max(RECENT_MAX) {
                self.settle();
            }
        }
    }

    /// The groups with their numbers in order, by workflow, intent and node, those without one at the end.
    pub(crate) fn sorted(mut self, ranks: &Ranks) -> Vec<EventGroup> {
        self.put_on_pile();
        self.settle();
        let mut groups = self.pile;
        for group in &mut groups {
            let GroupKey {
                workflow,
                stream,
                intent,
                node,
                model,
            } = &mut group.key;
            ranks.put(stream);
            let names = [workflow, intent, node, model].into_iter();
            names.flatten().for_each(|name| ranks.put(name));
        }
        groups.sort_unstable_by_key(|EventGroup { key, .. }| {
            let order = (none_last(key.workflow), none_last(key.intent), none_last(key.node));
            (order, key.stream, none_last(key.model))
        });
        groups
    }

    fn put_on_pile(&mut self) {
        let recent = self.recent.drain();
        self.pile.extend(recent.map(|(key, sums)| EventGroup { key, sums }));
    }

    fn settle(&mut self) {
        self.pile.sort_unstable_by_key(|group| group.key);
        self.pile.dedup_by(|group, kept| {
            let same = group.key == kept.key;
            if same {
                kept.sums.add(&group.sums);
            }
            same
        });
        self.settled = self.pile.len();
    }
}

/// A key by which those without come after all that have one.
pub(crate) fn none_last<T>(value: Option<T>) -> (bool, Option<T>) {
    (value.is_none(), value)
}
