//! Transactions: what must hold, one thing at a time.

use super::*;

const MAIN: BranchId = BranchId::MAIN;

#[test]
fn a_write_skew_fails_for_the_second() {
    let driver = Driver::new();
    driver.put(MAIN, "alice", "on duty");
    driver.put(MAIN, "bob", "on duty");
    let (mut first, mut second) = (driver.begin(MAIN), driver.begin(MAIN));
    for transaction in [&mut first, &mut second] {
        transaction.get(&key("alice")).unwrap();
        transaction.get(&key("bob")).unwrap();
    }
    first.put(key("alice"), "off").unwrap();
    second.put(key("bob"), "off").unwrap();
    driver.finish(first).unwrap();
    let failed = driver.finish(second);
    assert_eq!(
        failed,
        Err(LedgerError::Conflict {
            key: "host/alice".into(),
            seq: 2
        })
    );
    assert_eq!(driver.get(MAIN, "bob").unwrap(), "on duty");
}

#[test]
fn a_phantom_in_a_scanned_range_fails_and_one_outside_of_it_does_not() {
    let driver = Driver::new();
    driver.put(MAIN, "a/1", "x");
    let range = KeyRange::prefix(&Owner::Host, b"a/");
    for (name, fails) in [("a/2", true), ("a/", true), ("a0", false), ("a", false)] {
        let mut transaction = driver.begin(MAIN);
        transaction.scan(&range, 100, None).unwrap();
        transaction.put(key("count"), "1").unwrap();
        driver.put(MAIN, name, "new");
        assert_eq!(is_conflict(&driver.finish(transaction)), fails, "{name}");
        driver.write(MAIN, name, None);
    }
    let mut transaction = driver.begin(MAIN);
    transaction.scan(&range, 100, None).unwrap();
    driver.write(MAIN, "a/1", None);
    assert!(is_conflict(&driver.finish(transaction)));
}

#[test]
fn a_scan_that_stopped_early_has_not_read_what_follows() {
    let driver = Driver::new();
    for name in ["a", "b", "c", "d"] {
        driver.put(MAIN, name, "x");
    }
    for (name, fails) in [("aa", true), ("b", true), ("bb", false), ("d", false)] {
        let mut transaction = driver.begin(MAIN);
        let page = transaction.scan(&KeyRange::owned_by(&Owner::Host), 2, None).unwrap();
        assert_eq!(page.next, Some(key("b")));
        driver.put(MAIN, name, "y");
        assert_eq!(is_conflict(&driver.finish(transaction)), fails, "{name}");
        if name == "aa" {
            driver.write(MAIN, name, None);
        }
    }
}

#[test]
fn what_is_disjoint_commits() {
    let driver = Driver::new();
    let (mut first, mut second) = (driver.begin(MAIN), driver.begin(MAIN));
    first.get(&key("a")).unwrap();
    first.scan(&KeyRange::prefix(&Owner::Host, b"x/"), 10, None).unwrap();
    first.put(key("a"), "1").unwrap();
    second.get(&key("b")).unwrap();
    second.scan(&KeyRange::prefix(&Owner::Host, b"y/"), 10, None).unwrap();
    second.put(key("b"), "1").unwrap();
    driver.finish(first).unwrap();
    driver.finish(second).unwrap();
    // Neither do blind writes of the same key, nor a transaction that reads what it wrote itself.
    let (mut first, mut second) = (driver.begin(MAIN), driver.begin(MAIN));
    for transaction in [&mut first, &mut second] {
        transaction.put(key("a"), "2").unwrap();
        assert_eq!(transaction.get(&key("a")).unwrap().unwrap(), "2");
    }
    driver.finish(first).unwrap();
    driver.finish(second).unwrap();
}

#[test]
fn what_was_staged_before_a_transaction_began_but_was_not_visible_conflicts() {
    let driver = Driver::new();
    driver.put(MAIN, "a", "old");
    let write = Write {
        branch: MAIN,
        key: key("a"),
        value: Some(Bytes::from_static(b"new")),
    };
    driver.stage(writes([write])).unwrap();
    let mut transaction = driver.begin(MAIN);
    assert_eq!(transaction.get(&key("a")).unwrap().unwrap(), "old");
    transaction.put(key("b"), "seen old").unwrap();
    driver.advance(0);
    assert!(is_conflict(&driver.finish(transaction)));
}

#[test]
fn a_transaction_that_was_validated_early_is_validated_for_the_rest_in_the_end() {
    let driver = Driver::new();
    let mut transaction = driver.begin(MAIN);
    transaction.scan(&KeyRange::everything(), 10, None).unwrap();
    transaction.put(key("b"), "1").unwrap();
    let (reads, parts) = transaction.into_commit_parts().unwrap();
    driver.put(MAIN, "late", "x");
    let commit = Commit {
        reads,
        writes: parts,
        ..Commit::default()
    };
    assert!(is_conflict(&driver.commit(commit)));
}

#[test]
fn a_transaction_reads_its_snapshot_and_its_own_writes() {
    let driver = Driver::new();
    for name in ["a", "b", "c"] {
        driver.put(MAIN, name, "old");
    }
    let mut transaction = driver.begin(MAIN);
    driver.put(MAIN, "c", "new");
    transaction.put(key("bb"), "mine").unwrap();
    transaction.put(key("c"), "mine").unwrap();
    transaction.delete(key("a")).unwrap();
    assert_eq!(transaction.get(&key("b")).unwrap().unwrap(), "old");
    assert_eq!(transaction.get(&key("a")).unwrap(), None);
    let names = |page: &Entries| page.entries.iter().map(|(key, _)| text(&key.key)).collect::<Vec<_>>();
    let all = transaction.scan(&KeyRange::everything(), 100, None).unwrap();
    assert_eq!(names(&all), ["b", "bb", "c"]);
    assert_eq!(all.entries[2].1, "mine");
    let first = transaction.scan(&KeyRange::everything(), 2, None).unwrap();
    assert_eq!(names(&first), ["b", "bb"][..first.entries.len()]);
    let rest = transaction
        .scan(&KeyRange::everything(), 100, first.next.as_ref())
        .unwrap();
    assert_eq!([names(&first), names(&rest)].concat(), ["b", "bb", "c"]);
    // c was scanned, and written by another.
    assert!(is_conflict(&driver.finish(transaction)));
}

#[test]
fn a_transaction_open_for_too_many_writes_says_so_and_memory_stays_bounded() {
    let driver = Driver::new();
    let mut transaction = driver.begin(MAIN);
    transaction
        .scan(&KeyRange::prefix(&Owner::Host, b"zz"), 10, None)
        .unwrap();
    transaction.put(key("a"), "1").unwrap();
    for round in 0..5_u32 {
        let write = |n: u32| Write {
            branch: MAIN,
            key: key(&format!("k{round}-{n}")),
            value: Some(Bytes::from_static(b"v")),
        };
        driver.commit(writes((0..60_000).map(write))).unwrap();
    }
    assert!(matches!(
        driver.finish(transaction),
        Err(LedgerError::TransactionTooOld { snapshot: 0, .. })
    ));
}
