//! Looking: which documents have the words, which have them most tellingly, and why.

use std::cmp::Reverse;

use kinetic_model::Urn;
use semver::Version;
use serde::Serialize;

use super::index::Stored;
use super::score::{SAME_MILLI, frequency, points, rarity};
use super::vocabulary::{Posting, WordId};
use super::{Field, GUESSES_MAX, Index, Query};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ranking {
    /// The best of them, best first; those of the same score in the order of their URNs.
    pub hits: Vec<Ranked>,
    /// How many capsules have one of the words at least.
    pub found: usize,
    /// Words that stand nowhere, and look like none that does.
    pub unknown: Vec<String>,
}

/// A capsule that has one of the words at least.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ranked {
    /// Its URN.
    pub urn: Urn,
    /// The version that was looked at.
    pub version: Version,
    /// Its short name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The beginning of what it says it does.
    pub description: String,
    /// The sum of all points, in thousandths.
    pub score: u64,
    /// Where the points come from, the most first.
    pub why: Vec<Why>,
}

/// One reason why a capsule was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// The word that was asked for.
    pub word: String,
    /// The word of the capsule it was taken for, where it stands in no capsule itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spelled_like: Option<String>,
    /// How alike the two are, in thousandths; 1,000 when they are the same.
    pub similarity_milli: u64,
    /// Where it stands.
    pub field: Field,
    /// What it adds to the score, in thousandths.
    pub points: u64,
}

/// A word of the query, as a word of the index.
struct Meant<'a> {
    asked: &'a str,
    id: WordId,
    similarity_milli: u64,
    rarity: u64,
}

impl Index {
    /// Looks for a query's words.
    pub fn search(&self, query: &Query) -> Ranking {
        let (meant, unknown) = self.understand(query);
        let mut scores = vec![0_u64; self.slots()];
        for meant in &meant {
            for posting in self.vocabulary.postings(meant.id) {
                if let Some(score) = scores.get_mut(posting.document as usize) {
                    *score += self.points(meant, posting);
                }
            }
        }
        let slots = 0_u32..;
        let mut found: Vec<(u64, &Stored, u32)> = slots
            .zip(scores)
            .filter(|(_, score)| *score > 0)
            .filter_map(|(slot, score)| Some((score, self.stored(slot)?, slot)))
            .collect();
        let count = found.len();
        let better = |one: &(u64, &Stored, u32), other: &(u64, &Stored, u32)| {
            (Reverse(one.0), &one.1.urn).cmp(&(Reverse(other.0), &other.1.urn))
        };
        if count > query.results_max {
            // Of thousands that have a common word a few are wanted: those are sorted, and no others.
            found.select_nth_unstable_by(query.results_max, better);
            found.truncate(query.results_max);
        }
        found.sort_unstable_by(better);
        let hits = found
            .into_iter()
            .map(|(score, stored, slot)| Ranked {
                urn: stored.urn.clone(),
                version: stored.version.clone(),
                title: stored.title.clone(),
                description: stored.description.clone(),
                score,
                why: self.why(&meant, slot),
            })
            .collect();
        Ranking {
            hits,
            found: count,
            unknown,
        }
    }

    /// What the words of a query mean: themselves where they are known, else those that look most like them. Only the
    /// first few are looked for by their spelling, so that a query of nonsense costs no more than others.
    fn understand<'a>(&self, query: &'a Query) -> (Vec<Meant<'a>>, Vec<String>) {
        let (mut all, mut unknown, mut guesses) = (Vec::new(), Vec::new(), 0);
        for asked in &query.words {
            let known = match self.vocabulary.id(asked) {
                Some(id) => vec![(id, SAME_MILLI)],
                None if guesses == GUESSES_MAX => Vec::new(),
                None => {
                    guesses += 1;
                    self.vocabulary.nearest(asked)
                }
            };
            if known.is_empty() {
                unknown.push(asked.clone());
            }
            all.extend(known.into_iter().map(|(id, similarity_milli)| Meant {
                asked,
                id,
                similarity_milli,
                rarity: rarity(self.len() as u64, self.vocabulary.documents_with(id)),
            }));
        }
        (all, unknown)
    }

    fn points(&self, meant: &Meant<'_>, posting: &Posting) -> u64 {
        let often = frequency(posting.count.into(), posting.words.into(), self.size(posting.field));
        points(posting.field.weight(), meant.rarity, often, meant.similarity_milli)
    }

    fn why(&self, meant: &[Meant<'_>], slot: u32) -> Vec<Why> {
        let reason = |meant: &Meant<'_>, posting: &Posting| {
            let known = self.vocabulary.text(meant.id);
            Why {
                word: meant.asked.to_string(),
                spelled_like: (known != meant.asked).then(|| known.to_string()),
                similarity_milli: meant.similarity_milli,
                field: posting.field,
                points: self.points(meant, posting),
            }
        };
        let mut all: Vec<Why> = meant
            .iter()
            .flat_map(|meant| {
                let here = self.vocabulary.postings_in(meant.id, slot);
                here.iter().map(move |posting| reason(meant, posting))
            })
            .collect();
        // Stable, so words stay in the order in which they were asked for.
        all.sort_by_key(|why| (Reverse(why.points), why.field));
        all
    }
}
