//! A successor goes on exactly as its predecessor would have.

use proptest::prelude::*;

use super::*;
use crate::gate::Level;
use crate::{FORMAT_VERSION, LevelChange, Pulled, StateError};

/// What may be asked of a buffer.
#[derive(Clone, Debug)]
enum Ask {
    Offer(Vec<Row>),
    Pull(u32, u64),
    Acknowledge,
    Rewind,
    Follow(u64, u16),
    Lead,
}

fn any_ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => any_rows(50).prop_map(Ask::Offer),
        2 => (0_u32..40, 0_u64..3_000).prop_map(|(events, bytes)| Ask::Pull(events, bytes)),
        1 => Just(Ask::Acknowledge),
        1 => Just(Ask::Rewind),
        1 => (0_u64..300, 0_u16..=256).prop_map(|(from, level)| Ask::Follow(from, level)),
        1 => Just(Ask::Lead),
    ]
}

#[derive(Debug, PartialEq)]
enum Answer {
    Admission(Result<Admission, crate::Error>),
    /// The record batches; their bytes may differ where a null leaves them open.
    Pulled(Vec<RecordBatch>, u64, u64),
    Followed(Result<(), crate::Error>),
    Done,
}

fn ask(buffer: &mut Buffer, what: &Ask) -> Answer {
    match what {
        Ask::Offer(rows) => return Answer::Admission(buffer.offer(batch(rows))),
        Ask::Pull(events, bytes) => {
            let Pulled { batch, events, up_to } = buffer.pull(*events, *bytes).unwrap();
            let reader = (events > 0).then(|| StreamReader::try_new(&*batch, None).unwrap());
            let batches = reader.into_iter().flatten().map(Result::unwrap);
            return Answer::Pulled(batches.collect(), events, up_to);
        }
        Ask::Acknowledge => buffer.acknowledge(buffer.queue.pulled()).unwrap(),
        Ask::Rewind => buffer.rewind(),
        Ask::Follow(from_sequence, level) => {
            let change = LevelChange {
                stream: "a".to_owned(),
                from_sequence: *from_sequence,
                level: Level::new(*level).unwrap(),
            };
            return Answer::Followed(buffer.follow(&[change]));
        }
        Ask::Lead => buffer.lead(),
    }
    Answer::Done
}

fn successor(of: &Buffer) -> Buffer {
    let mut successor = Buffer::new(of.settings.clone());
    successor
        .import_state(FORMAT_VERSION, &of.export_state().unwrap())
        .unwrap();
    successor
}

fn used() -> Buffer {
    let mut buffer = Buffer::new(settings(&[("buffer-events", "50")]));
    let rows: Vec<Row> = (0..60).map(|_| Row::new("a", None, "um")).collect();
    buffer.offer(batch(&rows)).unwrap();
    buffer.offer(batch(&[Row::new("b", Some(9), "so").at(4)])).unwrap();
    buffer.pull(5, u64::MAX).unwrap();
    buffer.acknowledge(3).unwrap();
    buffer
}

proptest! {
    #[test]
    fn a_buffer_that_is_exchanged_after_every_call_answers_as_one_that_never_is(
        asks in prop::collection::vec(any_ask(), 1..20),
        events_max in 5_u64..150,
        streams_max in 2_u64..5,
    ) {
        let settings = settings(&[
            ("buffer-events", &events_max.to_string()),
            ("buffer-bytes", "9000"),
            ("streams-max", &streams_max.to_string()),
        ]);
        let (mut lasting, mut exchanged) = (Buffer::new(settings.clone()), Buffer::new(settings));
        for what in &asks {
            prop_assert_eq!(ask(&mut lasting, what), ask(&mut exchanged, what), "{:?}", what);
            prop_assert_eq!(lasting.pressure(), exchanged.pressure());
            exchanged = successor(&exchanged);
            prop_assert_eq!(lasting.pressure(), exchanged.pressure());
            prop_assert_eq!(lasting.totals(), exchanged.totals());
        }
        lasting.rewind();
        exchanged.rewind();
        prop_assert_eq!(drain(&mut lasting), drain(&mut exchanged));
    }

    #[test]
    fn a_damaged_snapshot_is_refused_wherever_the_damage_is(place: prop::sample::Index, flip in 1_u8..) {
        let mut bytes = used().export_state().unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        let mut buffer = Buffer::default();
        let refused = buffer.import_state(FORMAT_VERSION, &bytes);
        prop_assert!(matches!(refused, Err(StateError::DamagedSnapshot(_))), "{:?}", refused);
        prop_assert!(buffer.is_fresh());
    }

    /// Whoever writes the checksum as well still gets no further than the checks.
    #[test]
    fn a_forged_snapshot_never_panics(place: prop::sample::Index, flip in 1_u8.., cut: prop::sample::Index) {
        let bytes = used().export_state().unwrap();
        let mut body = bytes[..bytes.len() - 20].to_vec();
        let place = place.index(body.len());
        body[place] ^= flip;
        let short = body[..cut.index(body.len())].to_vec();
        for mut forged in [body, short] {
            let mut hash = crate::digest::Sha1::default();
            hash.update(&forged);
            forged.extend(hash.finish_bytes());
            let mut buffer = Buffer::default();
            if buffer.import_state(FORMAT_VERSION, &forged).is_ok() {
                buffer.rewind();
                while buffer.pull(10, u64::MAX).unwrap().events > 0 {}
                let _ = buffer.offer(batch(&[Row::new("a", None, "um")]));
                buffer.export_state().unwrap();
            }
        }
    }

    #[test]
    fn random_bytes_are_no_snapshot(bytes: Vec<u8>) {
        let refused = Buffer::default().import_state(FORMAT_VERSION, &bytes);
        prop_assert!(matches!(refused, Err(StateError::DamagedSnapshot(_))));
    }
}

#[test]
fn another_format_is_refused_by_its_number() {
    let bytes = used().export_state().unwrap();
    for version in [0, 2, u32::MAX] {
        let refused = Buffer::default().import_state(version, &bytes);
        assert_eq!(refused, Err(StateError::UnknownFormat(1)));
    }
}

#[test]
fn a_buffer_in_use_imports_nothing() {
    let mut buffer = used();
    let before = buffer.pressure();
    let bytes = buffer.export_state().unwrap();
    assert!(matches!(
        buffer.import_state(FORMAT_VERSION, &bytes),
        Err(StateError::Other(_))
    ));
    assert_eq!(buffer.pressure(), before);
}

#[test]
fn a_smaller_successor_takes_nothing_until_enough_is_acknowledged() {
    let predecessor = used();
    let held = predecessor.pressure().held.events;
    let mut small = Buffer::new(settings(&[("buffer-events", "10")]));
    small
        .import_state(FORMAT_VERSION, &predecessor.export_state().unwrap())
        .unwrap();
    assert_eq!(small.pressure().held.events, held);
    assert_eq!(small.pressure().level, Level::ALL);
    let critical = || batch(&[Row::new("c", None, "").at(4)]);
    assert_eq!(small.offer(critical()).unwrap().refused, 1);
    small.rewind();
    let pulled = small.pull(u32::try_from(held).unwrap() - 9, u64::MAX).unwrap();
    small.acknowledge(pulled.up_to).unwrap();
    assert_eq!(small.offer(critical()).unwrap().kept, 1);
}
