//! Tests of the index: against one ordered map, across reopening, wiping, a killed process, a failing disk.

mod crash;
mod speed;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::{Index, Pair, Staged, Table};

const CACHE_BYTES: usize = 256 << 20;

fn open(folder: &Path, log_next: u64) -> Index {
    Index::open(folder, (0, log_next), CACHE_BYTES).unwrap()
}

/// In memory where there is such a thing: the store syncs its files often.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn everything(index: &Index, table: Table) -> Vec<Pair> {
    index.range(table, &[], &[255; 8], usize::MAX).unwrap()
}

/// The entries of a record.
type Record = Vec<(Vec<u8>, Option<Vec<u8>>)>;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Stage(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Synced(u64),
    Flush,
    /// Without a word: what is not stored is lost.
    Kill,
    Close,
    Delete,
    Read(Vec<u8>, Vec<u8>),
}

fn small_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255), 0..4_u8], 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    let entry = (small_key(), prop::option::of(prop::collection::vec(any::<u8>(), 0..3)));
    prop_oneof![
        20 => prop::collection::vec(entry, 0..6).prop_map(Step::Stage),
        6 => (0..4_u64).prop_map(Step::Synced),
        2 => Just(Step::Flush),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
        1 => Just(Step::Delete),
        12 => (small_key(), small_key()).prop_map(|(from, end)| Step::Read(from, end)),
    ]
}

fn check_reads(index: &Index, model: &Model, from: &[u8], end: &[u8]) {
    let table = Table::Runs;
    let expected: Vec<Pair> = model
        .iter()
        .filter(|(key, _)| from <= key.as_slice() && key.as_slice() < end)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(index.range(table, from, end, usize::MAX).unwrap(), expected);
    assert_eq!(
        index.range(table, from, end, 2).unwrap(),
        expected[..expected.len().min(2)]
    );
    assert_eq!(index.first(table, from, end).unwrap(), expected.first().cloned());
    assert_eq!(index.last(table, from, end).unwrap(), expected.last().cloned());
    assert_eq!(index.get(table, from).unwrap().as_ref(), model.get(from));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_index_is_an_ordered_map_whatever_happens_to_it(steps in prop::collection::vec(step(), 1..60)) {
        let folder = folder();
        let mut index = open(folder.path(), 0);
        let mut log: Vec<Record> = Vec::new();
        let mut model = Model::new();
        let stage = |index: &Index, seq: usize, record: &[(Vec<u8>, Option<Vec<u8>>)]| {
            // In two parts, as two views do it.
            let (first, second) = record.split_at(record.len() / 2);
            for part in [first, second] {
                let entries = part.iter().map(|(key, value)| (Table::Runs, key.clone(), value.clone()));
                index.stage(seq as u64, entries);
            }
        };
        for step in steps {
            match step {
                Step::Stage(record) => {
                    stage(&index, log.len(), &record);
                    for (key, value) in &record {
                        match value {
                            Some(value) => model.insert(key.clone(), value.clone()),
                            None => model.remove(key),
                        };
                    }
                    log.push(record);
                }
                Step::Synced(behind) => index.synced((log.len() as u64).saturating_sub(behind)),
                Step::Flush => {
                    index.synced(log.len() as u64);
                    index.flush().unwrap();
                    prop_assert!(index.applied() <= log.len() as u64);
                }
                Step::Read(from, end) => check_reads(&index, &model, &from, &end),
                Step::Kill | Step::Close | Step::Delete => {
                    if matches!(step, Step::Close) {
                        index.synced(log.len() as u64);
                    }
                    index.close();
                    drop(index);
                    if matches!(step, Step::Delete) {
                        std::fs::remove_dir_all(folder.path()).unwrap();
                    }
                    index = open(folder.path(), log.len() as u64);
                    let applied = usize::try_from(index.applied()).unwrap();
                    prop_assert!(applied <= log.len());
                    // The store holds what the records below its number left, no more and no less.
                    let mut stored = Model::new();
                    for (key, value) in log[..applied].iter().flatten() {
                        match value {
                            Some(value) => stored.insert(key.clone(), value.clone()),
                            None => stored.remove(key),
                        };
                    }
                    prop_assert_eq!(everything(&index, Table::Runs), stored.into_iter().collect::<Vec<_>>());
                    for (seq, record) in log.iter().enumerate().skip(applied) {
                        stage(&index, seq, record);
                    }
                }
            }
        }
        prop_assert_eq!(everything(&index, Table::Runs), model.into_iter().collect::<Vec<_>>());
    }
}

fn numbered(seq: u64) -> Vec<Staged> {
    let spread = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    vec![
        (Table::State, spread.to_vec(), Some(seq.to_be_bytes().to_vec())),
        (
            Table::Runs,
            seq.to_be_bytes().to_vec(),
            Some([&seq.to_be_bytes()[..], &[7; 92]].concat()),
        ),
        (Table::Meta, b"count".to_vec(), Some((seq + 1).to_be_bytes().to_vec())),
        // Every record changes what an earlier one left, or deletes it.
        (
            Table::Meta,
            (seq / 2).to_be_bytes().to_vec(),
            (!seq.is_multiple_of(2)).then(|| vec![1]),
        ),
    ]
}

#[test]
fn a_second_process_is_refused_and_does_not_wipe() {
    let folder = folder();
    let index = open(folder.path(), 10);
    index.stage(0, numbered(0));
    index.synced(1);
    index.flush().unwrap();
    assert!(Index::open(folder.path(), (0, 0), CACHE_BYTES).is_err());
    index.close();
    drop(index);
    assert_eq!(open(folder.path(), 10).applied(), 1);
}

#[test]
fn what_the_log_does_not_have_on_disk_does_not_go_to_the_store() {
    let folder = folder();
    let index = open(folder.path(), 0);
    index.stage(0, numbered(0));
    index.synced(1);
    index.flush().unwrap();
    index.stage(1, numbered(1));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(index.applied(), 1);
    index.close();
    drop(index);
    let index = open(folder.path(), 2);
    assert_eq!(index.applied(), 1);
    assert_eq!(index.get(Table::Meta, b"count").unwrap().unwrap(), 1_u64.to_be_bytes());
}

#[test]
fn records_without_entries_are_noted_as_well() {
    let folder = folder();
    let index = open(folder.path(), 0);
    index.stage(41, []);
    index.synced(42);
    index.flush().unwrap();
    assert_eq!(index.applied(), 42);
    index.stage(42, []);
    index.synced(43);
    index.close();
    drop(index);
    assert_eq!(open(folder.path(), 43).applied(), 43);
}

#[test]
fn a_closed_index_says_so() {
    let folder = folder();
    let index = open(folder.path(), 0);
    index.close();
    assert!(index.get(Table::Meta, b"x").is_err());
    assert!(
        index
            .visit(Table::Meta, b"", b"x", |_, _| ControlFlow::Continue(()))
            .is_err()
    );
    assert!(index.flush().is_ok(), "nothing was staged");
    index.close();
}

#[test]
fn memory_stays_bounded_when_entries_come_faster_than_they_are_stored() {
    let folder = folder();
    let index = open(folder.path(), 0);
    let value = vec![5_u8; 100_000];
    for seq in 0..3000_u64 {
        index.wait_room();
        index.stage(seq, [(Table::Runs, seq.to_be_bytes().to_vec(), Some(value.clone()))]);
        index.synced(seq + 1);
        assert!(index.admit().is_ok());
    }
    index.synced(3000);
    index.flush().unwrap();
    assert_eq!(index.applied(), 3000);
}

#[test]
fn commits_are_refused_when_far_too_much_waits() {
    let folder = folder();
    let index = open(folder.path(), 0);
    for seq in 0..30_u64 {
        // Nothing is synced, so nothing can be stored.
        index.stage(
            seq,
            [(Table::Runs, seq.to_be_bytes().to_vec(), Some(vec![5_u8; 10 << 20]))],
        );
    }
    assert!(index.admit().is_err());
    index.synced(30);
    index.flush().unwrap();
    assert!(index.admit().is_ok());
}
