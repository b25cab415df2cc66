//! How far the later half of a workflow's tokens is from its earlier half: the Jensen-Shannon divergence (Lin, 1991).

use std::collections::HashMap;
use std::hash::Hash;

/// The divergence, base 2, from 0 (equal shares) to 1 (no token in common), of tokens in their order. The earlier half is
/// the smaller one of an odd number. None of fewer than 2 tokens.
pub(crate) fn drift<T: Eq + Hash>(mut tokens: impl ExactSizeIterator<Item = T>) -> Option<f64> {
    if tokens.len() < 2 {
        return None;
    }
    let earlier = tokens.len() / 2;
    let later = tokens.len() - earlier;
    let mut counts: HashMap<T, (u64, u64)> = HashMap::new();
    for token in tokens.by_ref().take(earlier) {
        counts.entry(token).or_default().0 += 1;
    }
    for token in tokens {
        counts.entry(token).or_default().1 += 1;
    }
    // Terms depend on the counts alone, so in their order the sum is the same each time.
    let mut counts: Vec<(u64, u64)> = counts.into_values().collect();
    counts.sort_unstable();
    let sum: f64 = counts
        .into_iter()
        .map(|(in_earlier, in_later)| term(share(in_earlier, earlier), share(in_later, later)))
        .sum();
    Some(sum.clamp(0.0, 1.0))
}

#[allow(clippy::cast_precision_loss)] // Counts of tokens are far below 2^53.
fn share(count: u64, of: usize) -> f64 {
    count as f64 / of as f64
}

fn term(earlier: f64, later: f64) -> f64 {
    let middle = f64::midpoint(earlier, later);
    let half = |share: f64| {
        if share > 0.0 {
            share / 2.0 * (share / middle).log2()
        } else {
            0.0
        }
    };
    half(earlier) + half(later)
}
