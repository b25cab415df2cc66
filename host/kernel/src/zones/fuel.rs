//! What a tenant's calls burn: a bucket that may be in debt, and what went through it in the last second.

/// Nanoseconds in a second: the bucket is counted in billionths of a unit of fuel, so that no refill is lost to rounding.
const BILLION: i128 = 1_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// A token bucket. It holds what one second brings, and is charged after the fact.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    fuel_per_s: i128,
    level: i128,
    filled_ns: u64,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(fuel_per_s: u64) -> Self {
        let fuel_per_s = i128::from(fuel_per_s.max(1));
        Self {
            fuel_per_s,
            level: fuel_per_s * BILLION,
            filled_ns: 0,
        }
    }

    fn fill(&mut self, now_ns: u64) {
        let passed = i128::from(now_ns.saturating_sub(self.filled_ns));
        self.filled_ns = self.filled_ns.max(now_ns);
        let level = self.level.saturating_add(passed.saturating_mul(self.fuel_per_s));
        self.level = level.min(self.fuel_per_s * BILLION);
    }

    /// Takes what was burnt.
    pub(super) fn charge(&mut self, fuel: u64, now_ns: u64) {
        self.fill(now_ns);
        self.level = self.level.saturating_sub(i128::from(fuel) * BILLION);
    }

    /// When its debt is paid, if it has one.
    pub(super) fn paid_at_ns(&mut self, now_ns: u64) -> Option<u64> {
        self.fill(now_ns);
        if self.level >= 0 {
            return None;
        }
        // Up, so that who looks then finds it paid.
        let wait = self.level.saturating_neg().saturating_add(self.fuel_per_s - 1) / self.fuel_per_s;
        Some(now_ns.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }
}

/// What was burnt in the last whole second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    second: u64,
    now: u64,
    before: u64,
    total: u64,
}

impl Rate {
    fn turn(&mut self, now_ns: u64) {
        let second = now_ns / SECOND_NS;
        match second.saturating_sub(self.second) {
            0 => return,
            1 => self.before = self.now,
            _ => self.before = 0,
        }
        self.now = 0;
        self.second = second;
    }

    pub(super) fn note(&mut self, fuel: u64, now_ns: u64) {
        self.turn(now_ns);
        self.now = self.now.saturating_add(fuel);
        self.total = self.total.saturating_add(fuel);
    }

    /// Of the last whole second.
    pub(super) fn last_second(mut self, now_ns: u64) -> u64 {
        self.turn(now_ns);
        self.before
    }

    pub(super) const fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_is_paid_exactly_when_it_says_and_not_a_nanosecond_before() {
        let mut bucket = Bucket::new(1_000);
        bucket.charge(1_000, 0);
        assert_eq!(bucket.paid_at_ns(0), None);
        bucket.charge(2_500, 0);
        assert_eq!(bucket.paid_at_ns(0), Some(2_500_000_000));
        assert_eq!(bucket.paid_at_ns(2_499_999_999), Some(2_500_000_000));
        assert_eq!(bucket.paid_at_ns(2_500_000_000), None);
    }

    #[test]
    fn looking_often_neither_loses_nor_gains_fuel() {
        let mut bucket = Bucket::new(3);
        bucket.charge(4, 0);
        for now_ns in (0..333_333_334).step_by(1_000_003) {
            assert_eq!(bucket.paid_at_ns(now_ns), Some(333_333_334), "{now_ns}");
        }
        assert_eq!(bucket.paid_at_ns(333_333_334), None);
    }

    #[test]
    fn no_more_than_a_second_is_saved_up() {
        let mut bucket = Bucket::new(1_000);
        bucket.charge(0, 3_600 * SECOND_NS);
        bucket.charge(2_000, 3_600 * SECOND_NS);
        assert_eq!(bucket.paid_at_ns(3_600 * SECOND_NS), Some(3_601 * SECOND_NS));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let mut bucket = Bucket::new(u64::MAX);
        bucket.charge(u64::MAX, u64::MAX);
        bucket.charge(u64::MAX, u64::MAX);
        assert!(bucket.paid_at_ns(u64::MAX).is_some());
    }

    #[test]
    fn only_the_last_whole_second_is_told() {
        let mut rate = Rate::default();
        rate.note(5, 100);
        rate.note(6, 200);
        assert_eq!(rate.last_second(300), 0);
        assert_eq!(rate.last_second(SECOND_NS), 11);
        assert_eq!(rate.last_second(2 * SECOND_NS), 0);
        rate.note(7, SECOND_NS + 1);
        assert_eq!((rate.last_second(2 * SECOND_NS), rate.total()), (7, 18));
    }
}
