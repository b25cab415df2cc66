//! Replicas that apply the same level changes drop the same events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::gate::Level;
use crate::{Error, LevelChange};

type Kept = BTreeSet<(String, u64, Option<String>)>;

fn kept(rows: &[Row]) -> Kept {
    let key = |row: &Row| (row.stream.clone(), row.sequence.unwrap(), row.token.clone());
    rows.iter().map(key).collect()
}

fn change(from_sequence: u64, level: u16) -> LevelChange {
    LevelChange {
        stream: "a".to_owned(),
        from_sequence,
        level: Level::new(level).unwrap(),
    }
}

/// Offers in order, pulling now and then so that the level falls as well. What was taken, with its numbers; what was
/// kept; and all level changes.
fn lead(buffer: &mut Buffer, batches: &[(Vec<Row>, u32)]) -> (Vec<Row>, Vec<Row>, Vec<LevelChange>) {
    let (mut taken, mut came, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for (offered, pulled_max) in batches {
        let admission = buffer.offer(batch(offered)).unwrap();
        let mut assigned = admission.assigned.iter().copied();
        let count = offered.len() - admission.refused as usize;
        for row in &offered[..count] {
            taken.push(Row {
                sequence: row.sequence.or_else(|| assigned.next()),
                ..row.clone()
            });
        }
        changes.extend(admission.level_changes);
        let pulled = buffer.pull(*pulled_max, u64::MAX).unwrap();
        came.extend(rows(&pulled.batch));
        buffer.acknowledge(pulled.up_to).unwrap();
    }
    came.extend(drain(buffer));
    (taken, came, changes)
}

proptest! {
    #[test]
    fn a_follower_drops_the_same_events_in_any_order_and_any_batches(
        batches in prop::collection::vec((any_rows(60), 1_u32..60), 1..10),
        salt in prop_oneof![Just("none"), Just("stream")],
        tokens in prop_oneof![Just(""), Just("um,so"), Just("um")],
        size in 1_usize..50,
        seed: u64,
    ) {
        let config = [("salt", salt), ("shed-tokens", tokens)];
        let mut leader = Buffer::new(settings(&[config[0], config[1], ("buffer-events", "100")]));
        let (mut taken, came, changes) = lead(&mut leader, &batches);
        let mut follower = Buffer::new(settings(&config));
        follower.follow(&changes).unwrap();
        // Another order, made of the seed.
        let order = |(place, _): &(usize, Row)| (*place as u64).wrapping_mul(seed | 1).rotate_left(17);
        let mut places: Vec<(usize, Row)> = taken.drain(..).enumerate().collect();
        places.sort_by_key(order);
        let shuffled: Vec<Row> = places.into_iter().map(|(_, row)| row).collect();
        for piece in shuffled.chunks(size) {
            let admission = follower.offer(batch(piece)).unwrap();
            prop_assert!(admission.level_changes.is_empty());
            prop_assert_eq!(admission.refused, 0);
        }
        prop_assert_eq!(kept(&drain(&mut follower)), kept(&came));
        prop_assert_eq!(follower.totals().shed.map(|class| class.events), leader.totals().shed.map(|class| class.events));
    }
}

#[test]
fn an_event_that_comes_late_meets_the_level_of_its_number() {
    let mut buffer = Buffer::default();
    buffer.follow(&[change(10, 256), change(20, 0)]).unwrap();
    let numbers = [25, 15, 5, 19, 20, 10];
    let rows: Vec<Row> = numbers.map(|number| Row::new("a", Some(number), "um")).to_vec();
    let admission = buffer.offer(batch(&rows)).unwrap();
    assert_eq!(shed(&admission), 3);
    let kept: Vec<u64> = drain(&mut buffer).iter().map(|row| row.sequence.unwrap()).collect();
    assert_eq!(kept, [25, 5, 20]);
}

#[test]
fn a_follower_reports_the_level_it_was_told_and_never_its_own() {
    let mut buffer = Buffer::new(settings(&[("buffer-events", "10")]));
    buffer.follow(&[]).unwrap();
    let rows: Vec<Row> = (0..12).map(|_| Row::new("a", None, "um")).collect();
    let admission = buffer.offer(batch(&rows)).unwrap();
    assert_eq!((admission.kept, admission.refused, shed(&admission)), (10, 2, 0));
    assert_eq!(buffer.pressure().level, Level::NONE);
    buffer.follow(&[change(10, 48)]).unwrap();
    assert_eq!(buffer.pressure().level.get(), 48);
}

#[test]
fn who_followed_may_lead_and_never_contradicts_a_change_it_knows() {
    let mut buffer = Buffer::new(settings(&[("buffer-events", "10")]));
    buffer.follow(&[change(0, 0), change(50, 16)]).unwrap();
    let must: Vec<Row> = (0..10).map(|_| Row::new("b", None, "").at(4)).collect();
    buffer.offer(batch(&must)).unwrap();
    buffer.lead();
    assert_eq!(buffer.pressure().level, Level::ALL);
    // Numbers below 50 have their level already, and at it there is no room for them.
    let admission = buffer.offer(batch(&[Row::new("a", None, "um")])).unwrap();
    assert_eq!((admission.refused, shed(&admission)), (1, 0));
    let admission = buffer.offer(batch(&[Row::new("a", Some(50), "um")])).unwrap();
    assert_eq!((admission.refused, shed(&admission)), (0, 1));
}

#[test]
fn changes_for_more_streams_than_are_kept_are_refused() {
    let mut buffer = Buffer::new(settings(&[("streams-max", "1")]));
    let other = LevelChange {
        stream: "b".to_owned(),
        ..change(0, 16)
    };
    assert_eq!(buffer.follow(&[change(0, 16), other]), Err(Error::TooManyStreams(1)));
    assert_eq!(buffer.pressure().level, Level::NONE);
    assert_eq!(buffer.follow(&[change(0, 16)]), Ok(()));
}
