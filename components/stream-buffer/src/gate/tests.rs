//! The golden vectors, and what must hold for any events.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/vectors/forget-gate-v1.json")).unwrap()
}

#[test]
fn every_point_of_the_golden_vectors_comes_out() {
    let vectors = vectors();
    let points = vectors["points"].as_array().unwrap();
    assert!(!points.is_empty());
    for point in points {
        let text = |key: &str| point[key].as_str().unwrap().as_bytes();
        let index = point["index"].as_u64().unwrap();
        let (salt, token) = (text("salt"), text("token"));
        assert_eq!(
            u64::from(value(salt, index, token)),
            point["v"].as_u64().unwrap(),
            "{point}"
        );
        let dropped_at: Vec<u64> = serde_json::from_value(point["dropped_at_level"].clone()).unwrap();
        for level in [0, 64, 128, 192, 255, 256] {
            let dropped = decide(salt, index, [token].into_iter(), Level::new(level).unwrap());
            assert_eq!(dropped, [dropped_at.contains(&u64::from(level))], "{point} at {level}");
        }
    }
}

#[test]
fn the_snapshot_of_a_thousand_tokens_comes_out() {
    let vectors = vectors();
    let snapshot = &vectors["snapshot_1000"];
    let tokens = crate::tests::snapshot_tokens();
    let level = Level::new(u16::try_from(snapshot["level"].as_u64().unwrap()).unwrap()).unwrap();
    let dropped = decide(b"", 0, tokens.iter().map(|token| token.as_bytes()), level);
    let kept = tokens
        .iter()
        .zip(dropped)
        .filter(|(token, dropped)| **token != "um" || !dropped);
    let kept: Vec<&str> = kept.map(|(token, _)| *token).collect();
    assert_eq!(kept.len() as u64, snapshot["kept"].as_u64().unwrap());
    let ums = kept.iter().filter(|token| **token == "um").count();
    assert_eq!(ums as u64, snapshot["um_kept"].as_u64().unwrap());
    assert_eq!(
        crate::tests::sha256_hex(kept.join("\n").as_bytes()),
        snapshot["sha256_of_kept_joined_by_newline"].as_str().unwrap()
    );
}

#[test]
fn there_is_no_level_above_256() {
    assert_eq!(Level::new(256), Some(Level::ALL));
    assert_eq!(Level::new(257), None);
    assert!(Level::ALL.drops(u32::MAX));
    assert!(!Level::NONE.drops(0));
}

#[test]
fn a_series_goes_to_the_largest_number_and_through_every_length_of_numbers() {
    let level = Level::new(128).unwrap();
    let mut series = Series::new();
    let powers = (3..20).map(|digits| 10_u64.pow(digits) - 150);
    for first in powers.chain([100, 101, 199, u64::MAX - 299]) {
        for count in [1, 7, 8, 9, 300] {
            let message = Message {
                salt: b"a/",
                index: first,
                token: b"um",
            };
            let mut dropped = vec![false; count];
            series.decide(&message, level, &mut dropped).unwrap();
            let indexes = (first..=u64::MAX).take(count);
            let expected: Vec<bool> = indexes.map(|index| level.drops(value(b"a/", index, b"um"))).collect();
            assert_eq!(dropped, expected, "{count} from {first} on");
        }
    }
}

proptest! {
    #[test]
    fn four_lanes_decide_as_one_event_alone(
        salt in prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 0..80)],
        first_index in prop_oneof![0_u64..2_000, any::<u64>(), Just(u64::MAX - 3)],
        tokens in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..40),
        level in 0_u16..=256,
    ) {
        let level = Level::new(level).unwrap();
        let decided = decide(&salt, first_index, tokens.iter().map(Vec::as_slice), level);
        let index = |place: usize| first_index.wrapping_add(place as u64);
        let alone = tokens.iter().enumerate().map(|(place, token)| level.drops(value(&salt, index(place), token)));
        prop_assert_eq!(decided, alone.collect::<Vec<_>>());
    }

    #[test]
    fn a_series_decides_as_each_event_alone(
        salt in prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 0..40)],
        starts in prop::collection::vec((prop_oneof![100_u64..3_000, 99_900..100_000_u64, any::<u64>()], 1..300_usize), 1..4),
        token in prop::collection::vec(any::<u8>(), 0..30),
        level in 1_u16..256,
    ) {
        let level = Level::new(level).unwrap();
        // The same one for all, as what it keeps must not show.
        let mut series = Series::new();
        for (first, count) in starts {
            let message = Message { salt: &salt, index: first, token: &token };
            let mut dropped = vec![false; count];
            let indexes = (first..=u64::MAX).take(count);
            let expected: Vec<bool> = indexes.map(|index| level.drops(value(&salt, index, &token))).collect();
            if series.decide(&message, level, &mut dropped).is_some() {
                prop_assert_eq!(dropped, expected);
            } else {
                let wraps = first.checked_add(count as u64 - 1).is_none();
                prop_assert!(first < 100 || wraps || salt.len() + token.len() > 34);
            }
        }
    }

    #[test]
    fn what_a_level_drops_every_higher_one_drops(salt: Vec<u8>, index: u64, token: Vec<u8>, level in 0_u16..256) {
        let value = value(&salt, index, &token);
        let (lower, higher) = (Level::new(level).unwrap(), Level::new(level + 1).unwrap());
        prop_assert!(higher.drops(value) || !lower.drops(value));
    }
}
