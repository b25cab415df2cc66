//! A number in decimal that counts on, since a stream's numbers mostly follow one another.

/// Digits of the largest number, 18446744073709551615.
pub(crate) const DIGITS_MAX: usize = 20;
/// Digits kept as one word, and the first number with more.
const LOW_DIGITS: usize = 8;
const LOW_END: u64 = 100_000_000;
/// Digits above those.
const HIGH_DIGITS_MAX: usize = DIGITS_MAX - LOW_DIGITS;
/// '0' eight times.
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// A number and its decimal digits, in ASCII.
#[derive(Clone, Debug)]
pub(crate) struct Decimal {
    value: u64,
    /// The last eight digits, zeros in front: the last one is the highest byte. A word and not bytes, since it changes
    /// with every number, and to read bytes together that were just written one by one is slow.
    low: u64,
    /// How many of them count.
    low_length: usize,
    /// The digits in front of those, left-aligned, and how many.
    high: [u8; HIGH_DIGITS_MAX],
    high_length: usize,
}

impl Default for Decimal {
    fn default() -> Self {
        Self {
            value: 0,
            low: ZEROS,
            low_length: 1,
            high: [b'0'; HIGH_DIGITS_MAX],
            high_length: 0,
        }
    }
}

impl Decimal {
    /// How many digits there are.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.high_length + self.low_length
    }

    /// The digits as the low bytes of a word, the first digit the lowest, if there are at most eight.
    #[inline]
    pub(crate) fn word(&self) -> Option<u64> {
        (self.high_length == 0).then_some(self.low >> (8 * (LOW_DIGITS - self.low_length)))
    }

    /// Writes the digits. None if there is no room for twenty, as more is written than counts.
    #[inline]
    pub(crate) fn write(&self, to: &mut [u8]) -> Option<()> {
        let mut to = to;
        if self.high_length > 0 {
            *to.first_chunk_mut()? = self.high;
            to = to.get_mut(self.high_length..)?;
        }
        let low = self.low >> (8 * (LOW_DIGITS - self.low_length));
        *to.first_chunk_mut()? = low.to_le_bytes();
        Some(())
    }

    /// Becomes this number.
    #[inline]
    pub(crate) fn set(&mut self, value: u64) {
        if let Some(ahead @ 0..10) = value.checked_sub(self.value) {
            // The last digit's byte does not wrap: it is at most '9', to which less than ten is added.
            let low = self.low + (ahead << 56);
            if low >> 56 <= u64::from(b'9') {
                self.value = value;
                self.low = low;
                return;
            }
        }
        self.spell(value);
    }

    #[inline(never)]
    fn spell(&mut self, value: u64) {
        let (high, low) = (value / LOW_END, value % LOW_END);
        let digits = eight_digits(low);
        if high == 0 {
            self.high_length = 0;
            // Zeros in front are low bytes of zero; the last digit always counts.
            self.low_length = LOW_DIGITS - (digits.trailing_zeros() as usize / 8).min(LOW_DIGITS - 1);
        } else {
            if self.high_length == 0 || high != self.value / LOW_END {
                self.spell_high(high);
            }
            self.low_length = LOW_DIGITS;
        }
        self.value = value;
        self.low = digits + ZEROS;
    }

    fn spell_high(&mut self, high: u64) {
        let mut reversed = [b'0'; HIGH_DIGITS_MAX];
        let mut rest = high;
        self.high_length = 0;
        for digit in &mut reversed {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            self.high_length += 1;
            if rest == 0 {
                break;
            }
        }
        let from_first = reversed.iter().take(self.high_length).rev();
        for (digit, from) in self.high.iter_mut().zip(from_first) {
            *digit = *from;
        }
    }
}

/// The eight digits of a number below 10^8, each a byte, the first the lowest: halves are split again and again, all at
/// once.
fn eight_digits(number: u64) -> u64 {
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x7f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(decimal: &Decimal) -> String {
        let mut digits = [0; DIGITS_MAX];
        decimal.write(&mut digits).unwrap();
        String::from_utf8_lossy(&digits[..decimal.length()]).into_owned()
    }

    #[test]
    fn it_counts_through_every_carry() {
        let mut decimal = Decimal::default();
        for value in 0..120_000_u64 {
            decimal.set(value);
            assert_eq!(text(&decimal), value.to_string());
        }
    }

    #[test]
    fn it_counts_on_from_nines_by_any_step_below_ten() {
        for step in 0..10 {
            for start in [9, 95, 99, 999_991, 999_999, 99_999_995, 999_999_999_999, u64::MAX - 9] {
                let mut decimal = Decimal::default();
                decimal.set(start);
                decimal.set(start + step);
                assert_eq!(text(&decimal), (start + step).to_string());
            }
        }
    }

    #[test]
    fn every_number_has_its_eight_digits() {
        for number in (0..100_000_000).step_by(9_973).chain(0..10_000) {
            let digits = (eight_digits(number) + ZEROS).to_le_bytes();
            assert_eq!(String::from_utf8_lossy(&digits), format!("{number:08}"));
        }
    }

    proptest! {
        #[test]
        fn it_spells_any_walk_of_numbers(start: u64, steps in prop::collection::vec(prop_oneof![0_u64..12, any::<u64>()], 1..40)) {
            let mut decimal = Decimal::default();
            let mut value = start;
            for step in steps {
                decimal.set(value);
                prop_assert_eq!(text(&decimal), value.to_string());
                value = value.wrapping_add(step);
            }
        }
    }
}
