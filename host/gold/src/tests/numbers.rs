//! Percentiles and drift against numbers known beforehand.

use crate::drift::drift;
use crate::percentiles::Percentiles;

#[test]
fn a_percentile_is_the_smallest_sample_that_so_many_do_not_exceed() {
    let hundred = Percentiles::of_whole((1..=100).rev().collect());
    assert_eq!(
        [50, 95, 99, 100].map(|percent| hundred.at(percent)),
        [50, 95, 99, 100].map(Some)
    );
    let five = Percentiles::of(vec![35.0, 20.0, 15.0, 50.0, 40.0]);
    assert_eq!(
        [5, 30, 40, 50, 100].map(|percent| five.at(percent)),
        [15.0, 20.0, 20.0, 35.0, 50.0].map(Some)
    );
    let one = Percentiles::of_whole(vec![7]);
    assert_eq!([one.at(1), one.at(50), one.at(99)], [Some(7); 3]);
    assert_eq!(Percentiles::of(Vec::new()).at(50), None);
}

#[test]
fn drift_is_the_jensen_shannon_divergence_of_the_halves() {
    let drift = |tokens: &[&str]| drift(tokens.iter());
    assert_eq!(drift(&[]), None);
    assert_eq!(drift(&["a"]), None);
    assert_eq!(drift(&["a", "b"]), Some(1.0));
    assert_eq!(drift(&["a", "b", "b", "a"]), Some(0.0));
    let known = drift(&["a", "a", "a", "b"]).unwrap();
    assert!((known - 0.311_278_124_459_132_9).abs() < 1e-15, "{known}");
    // An odd one is in the later half.
    assert_eq!(drift(&["a", "b", "b"]), Some(1.0));
}
