//! How many different values there are, estimated from 4 KiB: HyperLogLog (Flajolet and others, 2007).

/// 2^12 registers: standard error 1.04 / sqrt(4096) = 1.6 %.
const BITS: u32 = 12;

/// FNV-1a with a final mix (that of MurmurHash3), so that registers fill evenly. The same on every machine.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Estimates how many different hashes it saw.
#[derive(Clone, Debug)]
pub(crate) struct Distinct {
    registers: Vec<u8>,
}

impl Default for Distinct {
    fn default() -> Self {
        Self {
            registers: vec![0; 1 << BITS],
        }
    }
}

impl Distinct {
    pub(crate) fn add(&mut self, hash: u64) {
        // The first bits choose the register, the rest say how rare the value is.
        let register = usize::try_from(hash >> (64 - BITS)).unwrap_or_default();
        let rank = u8::try_from(((hash << BITS) | (1 << (BITS - 1))).leading_zeros() + 1).unwrap_or(u8::MAX);
        if let Some(seen) = self.registers.get_mut(register) {
            *seen = rank.max(*seen);
        }
    }

    /// How many different hashes there were, more or less.
    // The estimate is positive and far below 2^52.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub(crate) fn estimate(&self) -> u64 {
        let registers = self.registers.len() as f64;
        let sum: f64 = self.registers.iter().map(|rank| 2.0_f64.powi(-i32::from(*rank))).sum();
        let estimate = 0.7213 / (1.0 + 1.079 / registers) * registers * registers / sum;
        // A crate to count 4,096 bytes faster is not worth it.
        #[allow(clippy::naive_bytecount)]
        let empty = self.registers.iter().filter(|rank| **rank == 0).count();
        // Few values fill few registers: then counting the empty ones is more exact.
        let small = estimate <= 2.5 * registers && empty > 0;
        let estimate = if small {
            registers * (registers / empty as f64).ln()
        } else {
            estimate
        };
        estimate.round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn estimate(values: impl Iterator<Item = String>) -> u64 {
        let mut distinct = Distinct::default();
        values.for_each(|value| distinct.add(hash(&value)));
        distinct.estimate()
    }

    #[test]
    fn nothing_is_no_value() {
        assert_eq!(estimate(std::iter::empty()), 0);
    }

    #[test]
    fn repeating_values_changes_nothing() {
        let once = estimate((0..3_000).map(|n| n.to_string()));
        assert_eq!(estimate((0..9_000).map(|n| (n % 3_000).to_string())), once);
    }

    #[test]
    fn the_mean_error_over_many_sets_is_what_the_paper_says() {
        let squares: f64 = (0..40)
            .map(|set| estimate((0..20_000).map(|n| format!("{set}/{n}"))))
            .map(|estimate| (i32::try_from(estimate).unwrap() - 20_000).pow(2))
            .map(f64::from)
            .sum();
        let error = (squares / 40.0).sqrt() / 20_000.0;
        assert!(error < 0.022, "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn four_standard_errors_hold(many in 1_000_u64..100_000, salt in any::<u32>()) {
            let estimate = estimate((0..many).map(|n| format!("{salt}-{n}")));
            prop_assert!(estimate.abs_diff(many) * 1_000 <= many * 65, "{} for {}", estimate, many);
        }
    }
}
