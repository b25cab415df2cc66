//! What is held of a part follows the settings, and the tables do not follow how the part is packed.

use super::{Data, Event, bytes, settings};
use crate::scan::Scan;
use crate::{Gold, GoldSettings, Refreshed, tables};

const WORKFLOWS: [Option<&str>; 7] = [Some("a"), Some("b"), None, Some("c"), Some("d"), Some("e"), Some("f")];

/// 700 rows of seven workflows, which take turns.
fn events() -> Vec<Event> {
    let long = ["a", "b"].map(|end| -> &'static str { format!("{}{end}", "x".repeat(100)).leak() });
    let event = |at: u64| Event {
        workflow: WORKFLOWS[usize::try_from(at % 7).unwrap()],
        intent: [None, Some("i"), Some("j")][usize::try_from(at / 7 % 3).unwrap()],
        node: Some(["n", "o"][usize::try_from(at / 21 % 2).unwrap()]),
        sequence: at,
        token: [Some("t"), Some(long[0]), None, Some(long[1]), Some("")][usize::try_from(at / 13 % 5).unwrap()],
        received_unix_ns: i64::try_from(at * 7919 % 700).unwrap() * 1_000_000,
        kind: if at % 10 == 3 { "execution" } else { "chat.chunk" },
        model: Some("m"),
        usage: [at.is_multiple_of(4).then_some(3), None, Some(1)],
        error: at.is_multiple_of(50).then_some("broken"),
        duration_ms: at.is_multiple_of(9).then_some(1.5),
        data: format!(r#"{{"receipt_id":1,"capsule":"urn:{}","fuel":{at}}}"#, at % 30),
    };
    (0..700).map(event).collect()
}

fn rebuilt(data: &Data, rows_at_once_max: u64) -> Refreshed {
    let settings = GoldSettings {
        rows_at_once_max,
        ..settings()
    };
    let mut gold = Gold::open(data.gold_folder(), settings).unwrap();
    gold.rebuild(&data.sources).unwrap()
}

#[test]
fn however_a_part_is_packed_and_sliced_the_tables_are_the_same_bytes() {
    let events = events();
    let data = Data::of(&events);
    data.gold().rebuild(&data.sources).unwrap();
    let expected = bytes(&data.gold_folder());
    // One row group; as many as rows; some that no slice is a multiple of.
    for (row_group_rows, page_bytes) in [(700, 1 << 20), (700, 200), (1, 1 << 20), (97, 100)] {
        let mut data = Data::new();
        data.silver_of(events.chunks(row_group_rows).map(<[Event]>::to_vec), page_bytes);
        for rows_at_once_max in [40, 222, 2_000_000] {
            rebuilt(&data, rows_at_once_max);
            let same = bytes(&data.gold_folder()) == expected;
            assert!(same, "row groups of {row_group_rows}, {rows_at_once_max} rows at once");
        }
    }
}

#[test]
fn rows_held_at_once_are_no_more_than_the_setting_says() {
    let events = events();
    let mut data = Data::new();
    data.silver_of([events], 200);
    // Each workflow has 100 rows, and all of them together are more than may be held.
    for rows_at_once_max in [120, 240, 699] {
        let refreshed = rebuilt(&data, rows_at_once_max);
        assert!(refreshed.rows_at_once <= rows_at_once_max, "{refreshed:?}");
        assert!(refreshed.rows_at_once > rows_at_once_max / 3, "{refreshed:?}");
    }
    // A workflow that is larger than that is held alone.
    let refreshed = rebuilt(&data, 16);
    assert!((100..=102).contains(&refreshed.rows_at_once), "{refreshed:?}");
}

#[test]
fn rows_with_large_columns_are_read_few_at_a_time() {
    let calls = (0..40).map(|sequence| Event {
        sequence,
        kind: "execution",
        data: format!(r#"{{"fuel":{sequence},"more":"{}"}}"#, "x".repeat(1 << 20)),
        ..Event::default()
    });
    let data = Data::of(&calls.collect::<Vec<_>>());
    let scan = Scan::new(settings().rows_at_once_max);
    let part = scan.open(&data.sources.silver[0]).unwrap();
    assert_eq!(part.slices(&["workflow_id"]).count(), 1);
    assert_eq!(part.slices(&["kind", "data"]).count(), 3);
    data.gold().rebuild(&data.sources).unwrap();
    let capabilities = tables(&data.gold_folder()).unwrap().capabilities;
    assert_eq!((capabilities[0].calls, capabilities[0].fuel_total), (40, 780));
}
