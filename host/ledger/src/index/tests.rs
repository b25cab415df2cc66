//! Tests of the index: against one ordered map, across reopening, wiping, a killed process, a failing disk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Index, Pair, Staged, Table};

const CACHE_BYTES: usize = 256 << 20;

fn open(folder: &Path, log_next: u64) -> Index {
    Index::open(folder, log_next, CACHE_BYTES).unwrap()
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
        let mut log: Vec<Vec<(Vec<u8>, Option<Vec<u8>>)>> = Vec::new();
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
        (Table::Runs, seq.to_be_bytes().to_vec(), Some(vec![7; 100])),
        (Table::Meta, b"count".to_vec(), Some((seq + 1).to_be_bytes().to_vec())),
        // Every record deletes one of an earlier one.
        (
            Table::Runs,
            (seq / 2).to_be_bytes().to_vec(),
            (!seq.is_multiple_of(2)).then(|| vec![1]),
        ),
    ]
}

/// Whether the index holds what the records below a number left. Of `State`, later ones as well.
fn is_as_of(index: &Index, applied: u64) -> Result<bool, crate::LedgerError> {
    let mut expected = [Model::new(), Model::new(), Model::new()];
    for (table, key, value) in (0..applied).flat_map(numbered) {
        let map = &mut expected[table as usize];
        match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
    for (table, expected) in Table::ALL.into_iter().zip(expected) {
        let mut found = index.range(table, &[], &[255; 8], usize::MAX)?;
        if table == Table::State {
            found.retain(|(_, value)| u64::from_be_bytes(value[..].try_into().unwrap()) < applied);
        }
        if !found.into_iter().eq(expected) {
            return Ok(false);
        }
    }
    Ok(true)
}

const CHILD: &str = "KINETIC_TEST_INDEX_FOLDER";

/// Not a test by itself: what the next one starts and kills.
#[test]
fn feeding_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else {
        return;
    };
    let index = open(Path::new(&folder), u64::MAX);
    for seq in index.applied().. {
        index.stage(seq, numbered(seq));
        if seq.is_multiple_of(50) {
            index.synced(seq + 1);
            index.wait_room();
        }
        if seq % 20_000 == 19_999 {
            index.synced(seq + 1);
            index.flush().unwrap();
        }
    }
}

#[test]
fn after_a_kill_in_the_middle_of_feeding_the_store_holds_exactly_what_its_number_says() {
    let folder = folder();
    let mut before = 0;
    for round in 0..8_u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["feeding_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300 + 137 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let index = open(folder.path(), u64::MAX);
        let applied = index.applied();
        assert!(applied >= before, "{applied} records after {before}");
        before = applied;
        assert!(is_as_of(&index, applied).unwrap());
    }
    assert!(before > 0);
}

const RECORDS: u64 = 10_000;

fn fill(folder: &Path) {
    let index = open(folder, RECORDS);
    for seq in index.applied()..RECORDS {
        index.stage(seq, numbered(seq));
        if seq == RECORDS - 100 {
            // One part as a sorted file, the last hundred through the store's journal.
            index.synced(seq + 1);
            index.flush().unwrap();
        }
    }
    index.synced(RECORDS);
    index.flush().unwrap();
    assert_eq!(index.applied(), RECORDS);
    assert!(is_as_of(&index, RECORDS).unwrap());
}

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn an_index_ahead_of_the_log_is_wiped() {
    let folder = folder();
    fill(folder.path());
    assert_eq!(open(folder.path(), RECORDS).applied(), RECORDS);
    let index = open(folder.path(), RECORDS - 1);
    assert_eq!(index.applied(), 0);
    assert!(everything(&index, Table::State).is_empty());
    drop(index);
    fill(folder.path());
}

#[test]
fn a_damaged_store_is_rebuilt_at_once_or_when_it_was_noticed() {
    let folder = folder();
    fill(folder.path());
    let good = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        let _ = std::fs::remove_dir_all(to);
        let mut found = Vec::new();
        files(from, &mut found);
        for file in found {
            let target = to.join(file.strip_prefix(from).unwrap());
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(file, target).unwrap();
        }
    };
    copy(folder.path(), good.path());
    let mut names = Vec::new();
    files(good.path(), &mut names);
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.truncate(10),
        Vec::clear,
        |bytes| bytes.iter_mut().take(100).for_each(|byte| *byte = !*byte),
        |bytes| bytes.iter_mut().rev().take(100).for_each(|byte| *byte = !*byte),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 4);
        },
    ];
    for name in names {
        for damage in damages {
            copy(good.path(), folder.path());
            let file = folder.path().join(name.strip_prefix(good.path()).unwrap());
            let mut bytes = std::fs::read(&file).unwrap();
            damage(&mut bytes);
            std::fs::write(&file, bytes).unwrap();
            let index = open(folder.path(), RECORDS);
            let outcome = is_as_of(&index, index.applied());
            drop(index);
            match outcome {
                Ok(right) => assert!(right, "{}", file.display()),
                Err(_) => assert_eq!(open(folder.path(), RECORDS).applied(), 0, "{}", file.display()),
            }
        }
    }
    fill(folder.path());
}

#[test]
fn a_store_that_broke_is_opened_again_while_it_is_read() {
    let folder = folder();
    let index = open(folder.path(), 0);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                index.range(Table::Runs, &[0], &[1], 100).unwrap();
                index.get(Table::Meta, b"count").unwrap();
            }
        });
        for round in 0..5_u64 {
            for seq in round * 100..(round + 1) * 100 {
                index.stage(seq, numbered(seq));
            }
            let store = index.shared.layers.read().store.clone().unwrap();
            store.break_it();
            drop(store);
            index.synced((round + 1) * 100);
            index.flush().unwrap();
            assert_eq!(index.applied(), (round + 1) * 100);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(is_as_of(&index, 500).unwrap());
}

#[test]
fn a_second_process_is_refused_and_does_not_wipe() {
    let folder = folder();
    let index = open(folder.path(), 10);
    index.stage(0, numbered(0));
    index.synced(1);
    index.flush().unwrap();
    assert!(Index::open(folder.path(), 0, CACHE_BYTES).is_err());
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

/// Run by hand: `cargo test --release -p kinetic-ledger index::tests::speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed_of_staging_and_feeding() {
    let folder = folder();
    let index = open(folder.path(), 0);
    let records = 2_000_000_u64;
    let keys = 1_000_000_u64;
    let entry = |seq: u64, n: u64| {
        let key = (seq * 2 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys;
        let key = [
            b"\0\0\0\0\x01urn:capsule:example\0\x01",
            format!("key-{key:09}").as_bytes(),
            &(!seq).to_be_bytes(),
        ]
        .concat();
        (Table::State, key, Some(vec![1; 65]))
    };
    let started = Instant::now();
    let mut staging = Duration::ZERO;
    for seq in 0..records {
        index.wait_room();
        let record = [entry(seq, 0), entry(seq, 1)];
        let at = Instant::now();
        index.stage(seq, record);
        staging += at.elapsed();
        index.synced(seq + 1);
    }
    index.synced(records);
    index.flush().unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let mut found = Vec::new();
    files(folder.path(), &mut found);
    let size: u64 = found
        .iter()
        .map(|file| std::fs::metadata(file).map_or(0, |data| data.len()))
        .sum();
    println!(
        "{records} records of two entries: {:.0} records/s, staging {:.2} us each, {} bytes each on disk",
        records as f64 / seconds,
        staging.as_secs_f64() * 1e6 / records as f64,
        size / records
    );
    for round in 0..3 {
        let mut times: Vec<u128> = (0..500_000_u64)
            .map(|n| {
                let placed = entry(n * 7919 % records, 0).1;
                let placed = &placed[..placed.len() - 8];
                let at = Instant::now();
                let found = index.newest(placed, records, |_, value| value.len()).unwrap();
                let time = at.elapsed().as_nanos();
                assert_eq!(found, Some(65));
                time
            })
            .collect();
        times.sort_unstable();
        println!(
            "newest, round {round}: p50 {} ns, p90 {} ns, p99 {} ns",
            times[times.len() / 2],
            times[times.len() * 9 / 10],
            times[times.len() * 99 / 100]
        );
    }
    let at = Instant::now();
    index.close();
    drop(index);
    println!("close {:?}", at.elapsed());
    let at = Instant::now();
    open(folder.path(), records);
    println!("reopen {:?}", at.elapsed());
}
