//! Which events may be dropped at all.

use std::collections::BTreeSet;

use arrow_array::Array;

use crate::events::{Events, highest};
use crate::runs::{Run, repeats};
use crate::settings::Settings;

/// Tiers below, D0 and D1, are never dropped.
const TIER_MIN: u8 = 2;

/// Shorter series are not looked for.
const SERIES_ROWS_MIN: usize = 64;

/// What the settings allow to be dropped.
#[derive(Clone, Debug)]
pub(crate) struct Sheddable {
    priority_max: u8,
    /// Which tokens; when empty, any.
    tokens: BTreeSet<Box<[u8]>>,
    /// The only one of them, as is usual: it is found without a search.
    only: Option<Box<[u8]>>,
}

impl Sheddable {
    pub(crate) fn of(settings: &Settings) -> Self {
        let tokens = settings.shed_tokens.clone();
        Self {
            priority_max: settings.shed_priority_max,
            only: tokens.first().filter(|_| tokens.len() == 1).cloned(),
            tokens,
        }
    }

    /// The rows of a run that may be dropped, each with its number (of `numbers`, those of the run) and token.
    #[inline]
    pub(crate) fn rows<'a, 'b>(
        &'a self,
        events: &'a Events<'b>,
        run: Run,
        numbers: &'a [u64],
    ) -> impl Iterator<Item = (usize, u64, &'b [u8])> + Clone + use<'a, 'b> {
        let priorities = events.priorities.get(run.start..run.end).unwrap_or_default();
        let tiers = events.tiers.get(run.start..run.end).unwrap_or_default();
        let offsets = events.tokens.value_offsets();
        let from = offsets.get(run.start..run.end).unwrap_or_default();
        let to = offsets.get(run.start + 1..=run.end).unwrap_or_default();
        let (bytes, nulls) = (events.tokens.value_data(), events.tokens.nulls());
        // Slices only, so that this is one loop with one end.
        let rows = numbers.iter().zip(priorities).zip(tiers).zip(from.iter().zip(to));
        rows.enumerate()
            .filter_map(move |(place, (((number, priority), tier), (from, to)))| {
                if *priority > self.priority_max || *tier < TIER_MIN {
                    return None;
                }
                let row = run.start + place;
                // Offsets are checked when a batch is read: not negative and never falling.
                let mut token = bytes
                    .get(from.cast_unsigned() as usize..to.cast_unsigned() as usize)
                    .unwrap_or_default();
                if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                    token = &[];
                }
                self.names(token).then_some((row, *number, token))
            })
    }

    /// The token and the first number of a run, if all its rows may be dropped, have the same token and numbers that follow
    /// one another.
    pub(crate) fn series<'b>(&self, events: &Events<'b>, run: Run, numbers: &[u64]) -> Option<(&'b [u8], u64)> {
        if run.end - run.start < SERIES_ROWS_MIN || events.tokens.null_count() > 0 {
            return None;
        }
        let (_, number, token) = self
            .rows(events, run, numbers)
            .next()
            .filter(|(row, ..)| *row == run.start)?;
        let priorities = events.priorities.get(run.start..run.end)?;
        let tiers = events.tiers.get(run.start..run.end)?;
        let is_series = repeats(events.tokens, token, run.start, run.end)
            && follow(numbers)
            && highest(priorities) <= self.priority_max
            && lowest(tiers) >= TIER_MIN;
        is_series.then_some((token, number))
    }

    #[inline]
    fn names(&self, token: &[u8]) -> bool {
        if let Some(only) = &self.only {
            // Byte by byte, as the tokens that are dropped are short: a call costs more.
            return only.len() == token.len() && only.iter().zip(token).all(|(left, right)| left == right);
        }
        self.tokens.is_empty() || self.tokens.contains(token)
    }
}

/// Whether each number is one more than the one before it.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn follow(numbers: &[u64]) -> bool {
    let pairs = numbers.iter().zip(numbers.iter().skip(1));
    pairs.fold(0, |gaps, (one, next)| gaps | (next.wrapping_sub(*one) ^ 1)) == 0
}

#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn lowest(values: &[u8]) -> u8 {
    values.iter().fold(u8::MAX, |lowest, value| lowest.min(*value))
}
