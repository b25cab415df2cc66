//! After a crash, and after a hand in the folder, the next refresh sets things right.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{Data, Event, bytes, settings};
use crate::{CAPABILITIES, Gold, METRICS, USAGE_GRAPH, tables};

const FILES: [&str; 4] = [METRICS, USAGE_GRAPH, CAPABILITIES, ".progress.json"];

fn event(workflow: &'static str, sequence: u64) -> Event {
    Event {
        workflow: Some(workflow),
        sequence,
        model: Some("m"),
        usage: [Some(10), Some(1), None],
        kind: "execution",
        data: format!(r#"{{"receipt_id":1,"capsule":"urn:{workflow}"}}"#),
        ..Event::default()
    }
}

/// A folder of two refreshes, and what its files were after the first.
fn twice() -> (Data, Vec<Vec<u8>>) {
    let mut data = Data::of(&[event("a", 0), event("b", 0)]);
    data.gold().refresh(&data.sources).unwrap();
    let before = FILES.map(|name| fs::read(data.gold_folder().join(name)).unwrap());
    data.silver(&[event("a", 1), event("c", 0)]);
    data.gold().refresh(&data.sources).unwrap();
    (data, before.to_vec())
}

#[test]
fn nothing_new_writes_nothing() {
    let (data, _) = twice();
    let inodes = || FILES.map(|name| fs::metadata(data.gold_folder().join(name)).unwrap().ino());
    let before = inodes();
    let refreshed = data.gold().refresh(&data.sources).unwrap();
    assert!(refreshed.unchanged);
    assert_eq!(
        (refreshed.workflows, refreshed.rows_read, refreshed.end_offset),
        (0, 0, 4)
    );
    assert_eq!(inodes(), before);
}

#[test]
fn a_file_that_is_missing_or_damaged_or_old_is_made_again() {
    let (data, before) = twice();
    let expected = bytes(&data.gold_folder());
    for (name, old) in FILES.iter().zip(&before) {
        let path = data.gold_folder().join(name);
        for damage in [None, Some(Vec::new()), Some(b"{}".to_vec()), Some(old.clone())] {
            match damage {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            assert!(!data.gold().refresh(&data.sources).unwrap().unchanged, "{name}");
            assert!(bytes(&data.gold_folder()) == expected, "{name}");
            assert!(data.gold().refresh(&data.sources).unwrap().unchanged, "{name}");
        }
    }
}

#[test]
fn a_crash_after_any_of_the_renames_is_made_up_for() {
    let (data, before) = twice();
    let expected = bytes(&data.gold_folder());
    let folder = data.gold_folder();
    let after = FILES.map(|name| fs::read(folder.join(name)).unwrap());
    for renamed in 0..=FILES.len() {
        for (at, name) in FILES.iter().enumerate() {
            let bytes = if at < renamed { &after[at] } else { &before[at] };
            fs::write(folder.join(name), bytes).unwrap();
        }
        fs::write(folder.join(".metrics.parquet.tmp"), "half a file").unwrap();
        data.gold().refresh(&data.sources).unwrap();
        assert!(bytes(&folder) == expected, "after {renamed} renames");
        assert!(data.gold().refresh(&data.sources).unwrap().unchanged);
    }
}

#[test]
fn other_prices_make_other_tables() {
    let (data, _) = twice();
    let mut settings = settings();
    settings.prices.models.clear();
    settings.prices.default.completion_per_million = 1e6;
    let refreshed = Gold::open(data.gold_folder(), settings)
        .unwrap()
        .refresh(&data.sources)
        .unwrap();
    assert_eq!((refreshed.workflows, refreshed.unchanged), (3, false));
    let metrics = tables(&data.gold_folder()).unwrap().metrics;
    assert!(
        (metrics[0].cost - (2.0 + 20.0 * 0.1e-6)).abs() < 1e-12,
        "{}",
        metrics[0].cost
    );
}

#[test]
fn parts_that_do_not_go_on_from_the_last_time_make_all_anew() {
    let (mut data, _) = twice();
    let gone = data.sources.silver.remove(0);
    data.gold().refresh(&data.sources).unwrap();
    let names = |data: &Data| -> Vec<_> {
        let metrics = tables(&data.gold_folder()).unwrap().metrics;
        metrics
            .into_iter()
            .map(|row| (row.workflow_id.unwrap(), row.events))
            .collect()
    };
    assert_eq!(names(&data), [("a".to_owned(), 1), ("c".to_owned(), 1)]);
    data.sources.silver.insert(0, gone);
    data.gold().refresh(&data.sources).unwrap();
    assert_eq!(
        names(&data),
        [("a".to_owned(), 2), ("b".to_owned(), 1), ("c".to_owned(), 1)]
    );
}
