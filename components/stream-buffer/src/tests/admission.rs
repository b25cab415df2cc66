//! What is kept, dropped, refused and numbered.

use proptest::prelude::*;

use super::*;
use crate::gate::{Level, value};
use crate::{Error, LevelChange};

#[test]
fn the_snapshot_of_a_thousand_tokens_comes_out_of_offer() {
    let mut buffer = Buffer::new(settings(&[("shed-tokens", "um")]));
    let change = LevelChange {
        stream: "session".to_owned(),
        from_sequence: 0,
        level: Level::new(128).unwrap(),
    };
    buffer.follow(&[change]).unwrap();
    let rows: Vec<Row> = snapshot_tokens()
        .iter()
        .map(|token| Row::new("session", None, token))
        .collect();
    // In pieces of many sizes, which must not matter.
    let mut rest = rows.as_slice();
    for length in (1..).map(|piece| piece * 7 % 90 + 1) {
        let (piece, left) = rest.split_at(length.min(rest.len()));
        buffer.offer(batch(piece)).unwrap();
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    let kept = drain(&mut buffer);
    let kept: Vec<&str> = kept.iter().map(|row| row.token.as_deref().unwrap()).collect();
    assert_eq!(kept.len(), 743);
    assert_eq!(
        sha256_hex(kept.join("\n").as_bytes()),
        "f4927e88f0f0db2fa4046dd2c1243c2b64aaebbedc893bbbf031979e752f774c"
    );
    assert_eq!(buffer.totals().shed[1].events, 257);
}

#[test]
fn a_flood_of_one_token_is_decided_as_its_events_alone_whatever_lies_between() {
    let level = Level::new(100).unwrap();
    let change = LevelChange {
        stream: "flood".to_owned(),
        from_sequence: 0,
        level,
    };
    // Each of these ends what can be decided together.
    let other = |at: usize| match at {
        700 => Row::new("flood", Some(700), "so"),
        701 => Row::new("flood", Some(701), "um").at(0),
        1_500 => Row::new("flood", Some(1_500), "um").at(2),
        2_300 => Row {
            tier: Some(1),
            ..Row::new("flood", Some(2_300), "um")
        },
        3_100 => Row {
            token: None,
            ..Row::new("flood", Some(3_100), "")
        },
        3_900 => Row::new("flood", Some(9_000), "um"),
        4_000 => Row::new("b", Some(4_000), "um"),
        _ => Row::new("flood", Some(at as u64), "um"),
    };
    let few = |row: &Row| Row {
        payload: None,
        ..row.clone()
    };
    let rows: Vec<Row> = (0..10_000).map(other).collect();
    for salt in ["none", "stream"] {
        for rows in [rows.as_slice(), &rows[4_001..], &rows[4_050..4_200]] {
            let rows: Vec<Row> = rows.iter().map(few).collect();
            let mut buffer = Buffer::new(settings(&[("shed-tokens", "um"), ("salt", salt)]));
            buffer.follow(std::slice::from_ref(&change)).unwrap();
            let admission = buffer.offer(batch(&rows)).unwrap();
            let prefix: &[u8] = if salt == "none" { b"" } else { b"flood/" };
            let is_dropped = |row: &Row| {
                let may_be = row.stream == "flood" && row.priority < 2 && row.tier.is_none_or(|tier| tier > 1);
                may_be && row.token.as_deref() == Some("um") && level.drops(value(prefix, row.sequence.unwrap(), b"um"))
            };
            let (dropped, kept): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_dropped);
            assert_eq!(drain(&mut buffer), kept);
            for (priority, class) in (0..).zip(admission.shed) {
                let of_class = dropped.iter().filter(|row| row.priority == priority).count();
                assert_eq!(class.events, of_class as u64);
                // Three texts' offsets, a number, two bytes, the stream and the token.
                assert_eq!(class.size_bytes, class.events * (3 * 4 + 8 + 2 + 5 + 2));
            }
        }
    }
}

#[test]
fn events_without_a_number_get_the_next_of_their_stream() {
    let mut buffer = Buffer::default();
    let rows = [
        Row::new("a", None, ""),
        Row::new("b", Some(7), ""),
        Row::new("a", None, ""),
        Row::new("b", None, ""),
        Row::new("a", Some(1), ""),
        Row::new("a", None, ""),
    ];
    let admission = buffer.offer(batch(&rows)).unwrap();
    assert_eq!(admission.assigned, [0, 1, 8, 2]);
    let numbers: Vec<u64> = drain(&mut buffer).iter().map(|row| row.sequence.unwrap()).collect();
    assert_eq!(numbers, [0, 7, 1, 8, 1, 2]);
    let admission = buffer.offer(batch(&[Row::new("b", None, "")])).unwrap();
    assert_eq!(admission.assigned, [9]);
}

#[test]
fn a_full_buffer_drops_what_it_may_and_refuses_the_first_event_that_must_stay_and_all_behind_it() {
    let mut buffer = Buffer::new(settings(&[("buffer-events", "10")]));
    let must_stay: Vec<Row> = (0..10).map(|_| Row::new("a", None, "must").at(4)).collect();
    assert_eq!(buffer.offer(batch(&must_stay)).unwrap().kept, 10);
    let rows = [
        Row::new("a", None, "may").at(0),
        Row::new("a", None, "may"),
        Row::new("a", None, "must").at(2),
        Row::new("a", None, "may"),
    ];
    let admission = buffer.offer(batch(&rows)).unwrap();
    assert_eq!((admission.kept, admission.refused), (0, 2));
    assert_eq!((admission.shed[0].events, admission.shed[1].events), (1, 1));
    assert_eq!(admission.assigned, [10, 11]);
    let change = LevelChange {
        stream: "a".to_owned(),
        from_sequence: 10,
        level: Level::ALL,
    };
    assert_eq!(admission.level_changes, [change]);
    // What was refused gets the number it would have had.
    let pulled = buffer.pull(10, u64::MAX).unwrap();
    buffer.acknowledge(pulled.up_to).unwrap();
    let admission = buffer.offer(batch(&rows[2..])).unwrap();
    assert_eq!(
        (admission.kept, admission.refused, admission.assigned),
        (2, 0, vec![12, 13])
    );
    assert_eq!(
        admission.level_changes.last().map(|change| change.level),
        Some(Level::NONE)
    );
}

#[test]
fn the_level_rises_within_a_batch() {
    let mut buffer = Buffer::new(settings(&[("buffer-events", "1000")]));
    let rows: Vec<Row> = (0..3000).map(|_| Row::new("a", None, "um")).collect();
    let admission = buffer.offer(batch(&rows)).unwrap();
    assert_eq!(admission.refused, 0);
    assert_eq!(admission.kept, 900);
    let levels: Vec<u16> = admission
        .level_changes
        .iter()
        .map(|change| change.level.get())
        .collect();
    assert_eq!(levels, (1..=16).map(|step| step * 16).collect::<Vec<_>>());
}

#[test]
fn a_batch_larger_than_the_buffer_is_an_error_and_changes_nothing() {
    let mut buffer = Buffer::new(settings(&[("buffer-bytes", "1000")]));
    let rows: Vec<Row> = (0..100).map(|_| Row::new("a", None, "um")).collect();
    let Err(Error::TooLarge {
        size_bytes,
        size_bytes_max,
    }) = buffer.offer(batch(&rows))
    else {
        panic!("it was taken");
    };
    // sequence 8, three offsets of 4, priority and tier 1 each, and the text.
    assert_eq!((size_bytes, size_bytes_max), (100 * (8 + 12 + 2 + 5), 1000));
    assert_eq!(buffer.totals().offered, 0);
    assert_eq!(buffer.offer(batch(&rows[..1])).unwrap().assigned, [0]);
}

#[test]
fn a_stream_whose_numbers_are_used_up_takes_only_given_ones() {
    let mut buffer = Buffer::default();
    buffer.offer(batch(&[Row::new("a", Some(u64::MAX), "um")])).unwrap();
    let error = buffer
        .offer(batch(&[Row::new("b", None, ""), Row::new("a", None, "")]))
        .unwrap_err();
    assert!(
        matches!(&error, Error::BadBatch(text) if text.contains("no numbers left")),
        "{error:?}"
    );
    assert_eq!(buffer.offer(batch(&[Row::new("a", Some(3), "")])).unwrap().kept, 1);
    assert_eq!(buffer.offer(batch(&[Row::new("b", None, "")])).unwrap().assigned, [0]);
}

#[test]
fn several_record_batches_of_one_stream_count_as_one() {
    let mut buffer = Buffer::new(settings(&[("buffer-events", "5")]));
    let rows: Vec<Row> = (0..8).map(|_| Row::new("a", None, "x").at(4)).collect();
    let batches: Vec<_> = rows.chunks(3).map(record_batch).collect();
    let admission = buffer.offer(ipc(&batches)).unwrap();
    assert_eq!((admission.offered, admission.kept, admission.refused), (8, 5, 3));
    assert_eq!(drain(&mut buffer).len(), 5);
}

#[test]
fn streams_with_their_names_as_salt_lose_different_events() {
    let mut buffer = Buffer::new(settings(&[("salt", "stream")]));
    let change = |stream: &str| LevelChange {
        stream: stream.to_owned(),
        from_sequence: 0,
        level: Level::new(128).unwrap(),
    };
    buffer.follow(&[change("stream-a"), change("b")]).unwrap();
    let rows: Vec<Row> = (0..100)
        .flat_map(|_| [Row::new("stream-a", None, "um"), Row::new("b", None, "um")])
        .collect();
    buffer.offer(batch(&rows)).unwrap();
    let kept = drain(&mut buffer);
    let of = |name: &str| -> Vec<u64> {
        let rows = kept.iter().filter(|row| row.stream == name);
        rows.map(|row| row.sequence.unwrap()).collect()
    };
    let expected = |salt: &str| -> Vec<u64> {
        let level = Level::new(128).unwrap();
        (0..100)
            .filter(|index| !level.drops(value(salt.as_bytes(), *index, b"um")))
            .collect()
    };
    assert_eq!(of("stream-a"), expected("stream-a/"));
    assert_eq!(of("b"), expected("b/"));
    assert_ne!(of("stream-a"), of("b"));
}

/// Whether the rules allow an event to be dropped.
fn may_be_dropped(row: &Row) -> bool {
    row.priority <= 1 && row.tier.unwrap_or(2) >= 2 && row.token.as_deref() == Some("um")
}

/// Small buffers, so that all levels occur.
fn any_settings() -> impl Strategy<Value = Settings> {
    (
        1_u64..80,
        200_u64..8_000,
        prop_oneof![Just(""), Just("um")],
        prop_oneof![Just("none"), Just("stream")],
    )
        .prop_map(|(events, bytes, tokens, salt)| {
            settings(&[
                ("buffer-events", &events.to_string()),
                ("buffer-bytes", &bytes.to_string()),
                ("shed-tokens", tokens),
                ("salt", salt),
            ])
        })
}

proptest! {
    #[test]
    fn offered_is_kept_and_shed_and_refused_and_what_is_kept_fits_and_stays_in_order(
        settings in any_settings(),
        batches in prop::collection::vec((any_rows(60), 0_u32..40), 1..8),
    ) {
        let mut buffer = Buffer::new(settings.clone());
        let (mut expected, mut came) = (Vec::new(), Vec::new());
        for (rows_offered, pulled_max) in batches {
            let Ok(admission) = buffer.offer(batch(&rows_offered)) else {
                continue;
            };
            prop_assert_eq!(admission.offered, rows_offered.len() as u64);
            prop_assert_eq!(admission.offered, admission.kept + shed(&admission) + admission.refused);
            let pressure = buffer.pressure();
            prop_assert!(pressure.held.events <= settings.events_max);
            prop_assert!(pressure.held.size_bytes <= settings.size_bytes_max);
            for class in &admission.shed[2..] {
                prop_assert_eq!(class.events, 0);
            }
            let taken = &rows_offered[..rows_offered.len() - admission.refused as usize];
            expected.push((taken.to_vec(), admission));
            if pulled_max > 0 {
                let pulled = buffer.pull(pulled_max, u64::MAX).unwrap();
                came.extend(rows(&pulled.batch));
                buffer.acknowledge(pulled.up_to).unwrap();
            }
        }
        came.extend(drain(&mut buffer));
        let mut came = came.into_iter().peekable();
        let mut totals = crate::Totals::default();
        for (taken, admission) in expected {
            let (mut kept, mut assigned) = (0, admission.assigned.iter());
            for row in taken {
                let number = row.sequence.or_else(|| assigned.next().copied());
                let row = Row { sequence: number, ..row };
                if came.peek() == Some(&row) {
                    came.next();
                    kept += 1;
                } else {
                    let any_token = settings.shed_tokens.is_empty() && row.priority <= 1 && row.tier.unwrap_or(2) >= 2;
                    prop_assert!(any_token || may_be_dropped(&row), "{row:?} was dropped");
                }
            }
            prop_assert_eq!(kept, admission.kept);
            prop_assert_eq!(assigned.next(), None);
            totals.offered += admission.offered;
            totals.kept += admission.kept;
            totals.refused += admission.refused;
            for (total, class) in totals.shed.iter_mut().zip(admission.shed) {
                *total = total.plus(class);
            }
        }
        prop_assert_eq!(came.next(), None);
        prop_assert_eq!(buffer.totals(), totals);
        let end = buffer.pull(1, 1).unwrap().up_to;
        buffer.acknowledge(end).unwrap();
        prop_assert_eq!(buffer.pressure().held, crate::Amount::default());
    }
}
