//! The most frequent values in bounded memory (Misra and Gries, 1982).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values counted at once. Up to as many different values, all counts are exact.
pub(crate) const COUNTERS_MAX: usize = 1_000;
/// Characters of a value that are kept.
const VALUE_CHARS_MAX: usize = 80;

/// At most so many characters of a value, and a sign when there are more.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_string(),
    }
}

/// Counts values by their hash. A count is never too high, and too low by at most one in `COUNTERS_MAX + 1` of all
/// values added; every value more frequent than that is among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frequent {
    counters: HashMap<u64, (String, u64), BuildHasherDefault<AsIs>>,
    /// Set once a value found no counter.
    overflowed: bool,
}

impl Frequent {
    /// Counts a value; linear over many calls, as each value that takes one from every counter was paid for by those.
    pub(crate) fn add(&mut self, hash: u64, text: &str) {
        if let Some((_, count)) = self.counters.get_mut(&hash) {
            *count += 1;
        } else if self.counters.len() < COUNTERS_MAX {
            self.counters.insert(hash, (shortened(text), 1));
        } else {
            self.overflowed = true;
            self.counters.retain(|_, (_, count)| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// How many different values there were, if they are few enough to know.
    pub(crate) fn different(&self) -> Option<u64> {
        (!self.overflowed).then_some(self.counters.len() as u64)
    }

    /// The most frequent values, most frequent first, by text where equal.
    pub(crate) fn top(self, most: usize) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self.counters.into_values().collect();
        all.sort_by(|(a, times_a), (b, times_b)| times_b.cmp(times_a).then_with(|| a.cmp(b)));
        all.truncate(most);
        all
    }
}

/// The keys are hashes already. Values made to collide cost a walk of `COUNTERS_MAX` at most.
#[derive(Clone, Copy, Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distinct::hash;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn few_values_are_counted_exactly() {
        let mut frequent = Frequent::default();
        for n in 0..5_000 {
            let text = (n % COUNTERS_MAX).to_string();
            frequent.add(hash(&text), &text);
        }
        assert_eq!(frequent.different(), Some(1_000));
        assert_eq!(frequent.top(2), [("0".to_string(), 5), ("1".to_string(), 5)]);
    }

    #[test]
    fn a_value_that_comes_late_but_often_is_found() {
        let mut frequent = Frequent::default();
        for n in 0..50_000 {
            let text = if n > 20_000 && n % 3 == 0 {
                "often".to_string()
            } else {
                n.to_string()
            };
            frequent.add(hash(&text), &text);
        }
        let (text, count) = frequent.top(1).remove(0);
        assert_eq!(text, "often");
        assert!((10_000 - 50_000 / 1_001..=10_000).contains(&count), "{count}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn counts_are_never_too_high_and_hardly_too_low(seed in any::<u64>(), skew in 1_u32..5) {
            let mut frequent = Frequent::default();
            let mut truth = BTreeMap::<String, u64>::new();
            let mut state = seed;
            let all = 30_000_u64;
            for _ in 0..all {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let text = (0..skew).fold(state >> 40, |rest, _| (rest * (state >> 50)) >> 14).to_string();
                frequent.add(hash(&text), &text);
                *truth.entry(text).or_default() += 1;
            }
            let error = all / (COUNTERS_MAX as u64 + 1);
            let counted: BTreeMap<_, _> = frequent.top(usize::MAX).into_iter().collect();
            for (text, times) in truth {
                let count = counted.get(&text).copied().unwrap_or_default();
                prop_assert!(count <= times && count + error >= times, "{} for {}", count, times);
            }
        }
    }
}
