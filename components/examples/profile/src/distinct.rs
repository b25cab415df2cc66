//! How many different values: exact while they are few, then HyperLogLog (Flajolet and others, 2007).

use std::collections::HashMap;

/// Different values counted exactly, with how often each occurs.
const EXACT_MAX: usize = 1_000;
/// 2^12 registers: standard error 1.04 / sqrt(4096) = 1.6 %.
const BITS: u32 = 12;
/// Characters of a value that are kept.
pub(crate) const VALUE_CHARS_MAX: usize = 80;

/// Counts different values and the frequent ones.
#[derive(Clone, Debug)]
pub(crate) struct Distinct {
    exact: HashMap<u64, (String, u64)>,
    complete: bool,
    registers: Vec<u8>,
}

/// FNV-1a with a final mix (that of MurmurHash3), so that registers fill evenly. The same on every machine.
fn hash(text: &str) -> u64 {
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// At most so many characters of a value, and a sign when there are more.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_string(),
    }
}

impl Default for Distinct {
    fn default() -> Self {
        Self { exact: HashMap::new(), complete: true, registers: vec![0; 1 << BITS] }
    }
}

impl Distinct {
    pub(crate) fn add(&mut self, text: &str) {
        let hash = hash(text);
        // The first bits choose the register, the rest say how rare the value is.
        let register = usize::try_from(hash >> (64 - BITS)).unwrap_or_default();
        let rank = u8::try_from((hash << BITS | 1 << (BITS - 1)).leading_zeros() + 1).unwrap_or(u8::MAX);
        if let Some(seen) = self.registers.get_mut(register) {
            *seen = rank.max(*seen);
        }
        if let Some((_, count)) = self.exact.get_mut(&hash) {
            *count += 1;
        } else if self.exact.len() < EXACT_MAX {
            self.exact.insert(hash, (shortened(text), 1));
        } else {
            self.complete = false;
        }
    }

    /// How many different values there were.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn count(&self) -> u64 {
        if self.complete {
            return self.exact.len() as u64;
        }
        let registers = self.registers.len() as f64;
        let sum: f64 = self.registers.iter().map(|rank| 2.0_f64.powi(-i32::from(*rank))).sum();
        let estimate = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        let empty = self.registers.iter().filter(|rank| **rank == 0).count();
        // Few values fill few registers: then counting the empty ones is more exact.
        let small = estimate <= 2.5 * registers && empty > 0;
        let estimate = if small { registers * (registers / empty as f64).ln() } else { estimate };
        (estimate.round() as u64).max(EXACT_MAX as u64 + 1)
    }

    /// The most frequent values, most frequent first, by text where equal.
    pub(crate) fn top(&self, most: usize) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self.exact.values().cloned().collect();
        all.sort_by(|(a, times_a), (b, times_b)| times_b.cmp(times_a).then_with(|| a.cmp(b)));
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_counted_exactly() {
        let mut distinct = Distinct::default();
        for n in 0..5_000 {
            distinct.add(&(n % 1_000).to_string());
        }
        assert_eq!(distinct.count(), 1_000);
        assert_eq!(distinct.top(1), [("0".to_string(), 5)]);
    }

    #[test]
    fn many_values_are_estimated_within_five_percent() {
        for many in [2_000_u64, 20_000, 300_000] {
            let mut distinct = Distinct::default();
            (0..many).for_each(|n| distinct.add(&format!("value {n}")));
            let off = distinct.count().abs_diff(many);
            assert!(off * 20 < many, "{} for {many}", distinct.count());
        }
    }
}
