//! Percentiles by nearest rank: the smallest sample that at least so many percent of the samples do not exceed.

/// Samples in order.
#[derive(Debug)]
pub(crate) struct Percentiles<T>(Vec<T>);

impl Percentiles<f64> {
    /// Puts samples in order, -0 before 0 and NaN at the end, so that equal sets have equal percentiles to the bit.
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_unstable_by(f64::total_cmp);
        Self(samples)
    }
}

impl Percentiles<u64> {
    /// Puts samples in order.
    pub(crate) fn of_whole(mut samples: Vec<u64>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }
}

impl<T: Copy> Percentiles<T> {
    /// The percentile, 1 to 100; none without samples.
    pub(crate) fn at(&self, percent: usize) -> Option<T> {
        let rank = (percent * self.0.len()).div_ceil(100);
        self.0.get(rank.checked_sub(1)?).copied()
    }
}
