//! A process killed while it feeds, damaged files, a store that broke.

use std::path::Path;
use std::time::Duration;

use super::*;

/// Whether the index holds what the records below a number left. But for `Meta`, later ones as well.
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
        if table != Table::Meta {
            found.retain(|(_, value)| u64::from_be_bytes(value[..8].try_into().unwrap()) < applied);
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
        // On a slow machine longer and longer, until something is in the store.
        let times = if before == 0 { round + 1 } else { 1 };
        std::thread::sleep(Duration::from_millis((300 + 137 * round) * times));
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

pub(super) fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
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
