//! The tables depend on the rows alone: not on how they were cut into parts, nor on how many refreshes it took.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Data, Event, Shed, bytes, settings};
use crate::{Gold, GoldSettings, Sources, tables};

fn event() -> impl Strategy<Value = Event> {
    let ids = (
        select(vec![None, Some("a"), Some("b"), Some("c"), Some("")]),
        select(vec![None, Some("i"), Some("j")]),
        select(vec![None, Some("n"), Some("o")]),
        select(vec![None, Some("m"), Some("other")]),
    );
    let tokens = prop_oneof![
        4 => select(vec![Some("x"), Some("y"), Some("z")]),
        1 => select(vec![None, Some("")]),
    ];
    let times = prop_oneof![9 => 0..40_i64, 1 => select(vec![i64::MIN, -1, i64::MAX])];
    let number = || prop_oneof![3 => Just(None), 2 => (-3..300_i64).prop_map(Some), 1 => Just(Some(i64::MAX))];
    let calls = select(vec![
        None,
        None,
        Some(r#"{"receipt_id":1,"capsule":"urn:a","version":"1","function":"f","outcome":"ok","fuel":3}"#),
        Some(r#"{"receipt_id":1,"capsule":"urn:a","version":"2","function":"f","outcome":"x","wall_time_ns":70000}"#),
        Some(r#"{"data":{"receipt_id":1,"capsule":"urn:b","function":"g","fuel":18446744073709551615}}"#),
        Some("{broken"),
    ]);
    let rest = (
        select(vec![None, None, Some("broken")]),
        proptest::option::of(select(vec![0.0, -0.0, 1.5, 0.1, 1e300])),
    );
    (ids, tokens, times, (number(), number(), number()), calls, rest).prop_map(
        |((workflow, intent, node, model), token, received_unix_ns, usage, call, (error, duration_ms))| Event {
            workflow,
            intent,
            node,
            model,
            token,
            received_unix_ns,
            usage: [usage.0, usage.1, usage.2],
            kind: if call.is_some() { "execution" } else { "chat.chunk" },
            data: call.unwrap_or("{}").to_owned(),
            error,
            duration_ms,
            ..Event::default()
        },
    )
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    proptest::collection::vec(event(), 0..80).prop_map(|mut events| {
        // Silver has no two rows of a workflow, intent, node and sequence; several nodes may share a number.
        for (event, sequence) in events.iter_mut().zip(0_u64..) {
            event.sequence = sequence / 2 * 2 + u64::from(event.node == Some("n") && sequence % 2 == 1);
        }
        let mut seen = std::collections::HashSet::new();
        events.retain(|event| seen.insert((event.workflow, event.intent, event.node, event.sequence)));
        events
    })
}

fn shed() -> impl Strategy<Value = Vec<Shed>> {
    let workflows = select(vec![None, Some("a"), Some("gone")]);
    proptest::collection::vec((workflows, prop_oneof![9 => 0..50_u64, 1 => Just(u64::MAX)]), 0..12)
}

/// Cuts rows at these places.
fn cut<T: Clone>(rows: &[T], cuts: &[Index]) -> Vec<Vec<T>> {
    let mut places: Vec<usize> = cuts
        .iter()
        .map(|cut| cut.index(rows.len() + 1))
        .chain([0, rows.len()])
        .collect();
    places.sort_unstable();
    places.windows(2).map(|ends| rows[ends[0]..ends[1]].to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn however_rows_come_the_tables_are_the_same_bytes(
        events in events(),
        shuffled_by in any::<u64>(),
        shed in shed(),
        cuts in proptest::collection::vec(any::<Index>(), 0..6),
        shed_cuts in proptest::collection::vec(any::<Index>(), 0..3),
        rows_at_once_max in select(vec![1, 7, 1000]),
    ) {
        let mut whole = Data::of(&events);
        whole.shed(&shed);
        whole.gold().rebuild(&whole.sources).unwrap();
        let expected = bytes(&whole.gold_folder());

        let mut shuffled = events.clone();
        let mut state = shuffled_by;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        let mut parts = Data::new();
        let settings = GoldSettings { rows_at_once_max, ..settings() };
        let mut gold = Gold::open(parts.gold_folder(), settings).unwrap();
        let mut shed_parts = cut(&shed, &shed_cuts).into_iter();
        for rows in cut(&shuffled, &cuts) {
            parts.silver(&rows);
            if let Some(rows) = shed_parts.next() {
                parts.shed(&rows);
            }
            gold.refresh(&parts.sources).unwrap();
        }
        for rows in shed_parts {
            parts.shed(&rows);
        }
        gold.refresh(&parts.sources).unwrap();
        prop_assert!(gold.refresh(&parts.sources).unwrap().unchanged);
        if bytes(&parts.gold_folder()) != expected {
            prop_assert_eq!(tables(&parts.gold_folder()).unwrap(), tables(&whole.gold_folder()).unwrap());
            prop_assert!(false, "equal tables of other bytes");
        }
        gold.rebuild(&parts.sources).unwrap();
        prop_assert!(bytes(&parts.gold_folder()) == expected);
        let counted: u64 = tables(&parts.gold_folder()).unwrap().metrics.iter().map(|row| row.events).sum();
        prop_assert_eq!(counted, events.len() as u64);
    }
}

#[test]
fn a_refresh_reads_the_parts_of_what_is_new_and_no_other() {
    let of = |workflow, sequence| Event {
        workflow: Some(workflow),
        sequence,
        kind: "other",
        ..Event::default()
    };
    let rows = |workflow, sequences: std::ops::Range<u64>| -> Vec<_> {
        sequences.map(|sequence| of(workflow, sequence)).collect()
    };
    let mut data = Data::of(&rows("a", 0..10));
    data.silver(&rows("b", 0..200));
    let mut gold = data.gold();
    gold.refresh(&data.sources).unwrap();
    data.silver(&rows("a", 10..13));
    let refreshed = gold.refresh(&data.sources).unwrap();
    // The new part for its names; then both parts of its workflow.
    assert_eq!((refreshed.workflows, refreshed.rows_read), (1, 3 + 10 + 3));
    let metrics = tables(&data.gold_folder()).unwrap().metrics;
    assert_eq!(metrics.iter().map(|row| row.events).collect::<Vec<_>>(), [13, 200]);
}

#[test]
fn without_shed_and_with_empty_parts_there_are_tables() {
    let mut data = Data::of(&[]);
    data.shed(&[]);
    let none = Sources::default();
    data.gold().refresh(&none).unwrap();
    let before = bytes(&data.gold_folder());
    assert!(!data.gold().refresh(&data.sources).unwrap().unchanged);
    assert_eq!(bytes(&data.gold_folder()), before);
}
