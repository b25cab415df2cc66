//! What must hold, one thing at a time.

use super::*;

const MAIN: BranchId = BranchId::MAIN;

fn is_conflict(result: &Result<u64, LedgerError>) -> bool {
    matches!(result, Err(LedgerError::Conflict { .. }))
}

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

#[test]
fn limits_are_checked() {
    let driver = Driver::new();
    let put = |key: Key, value: Vec<u8>| {
        driver.commit(writes([Write {
            branch: MAIN,
            key,
            value: Some(value.into()),
        }]))
    };
    assert!(matches!(put(key(""), vec![]), Err(LedgerError::InvalidKey { .. })));
    let long = Key::new(Owner::Host, vec![0; KEY_BYTES_MAX]);
    put(long.clone(), vec![]).unwrap();
    assert!(driver.state.get(MAIN, &long, driver.visible()).unwrap().is_some());
    assert!(matches!(
        put(Key::new(Owner::Host, vec![0; KEY_BYTES_MAX + 1]), vec![]),
        Err(LedgerError::InvalidKey { .. })
    ));
    let owner = Owner::Capsule("x".repeat(KEY_BYTES_MAX + 1));
    assert!(matches!(
        put(Key::new(owner, "a"), vec![]),
        Err(LedgerError::InvalidKey { .. })
    ));
    let large = usize::try_from(VALUE_BYTES_MAX).unwrap();
    put(key("large"), vec![1; large]).unwrap();
    assert!(matches!(
        put(key("large"), vec![1; large + 1]),
        Err(LedgerError::ValueTooLarge { .. })
    ));
    assert!(matches!(
        driver.commit(writes([Write {
            branch: BranchId(7),
            key: key("a"),
            value: None
        }])),
        Err(LedgerError::NoBranch { .. })
    ));
    let write = |n: usize| Write {
        branch: MAIN,
        key: key(&n.to_string()),
        value: None,
    };
    assert!(matches!(
        driver.commit(writes((0..=WRITES_MAX).map(write))),
        Err(LedgerError::TransactionTooLarge { .. })
    ));
}

#[test]
fn definitions_that_make_no_sense_are_refused() {
    let driver = Driver::new();
    driver.put(MAIN, "a", "1");
    let create = |name: &str, parent, base| driver.control(StateView::create_branch(Owner::Host, name, parent, base));
    for name in ["", "main", "white space", &"x".repeat(BRANCH_NAME_BYTES_MAX + 1)] {
        assert!(
            matches!(create(name, MAIN, 0), Err(LedgerError::InvalidDefinition { .. })),
            "{name}"
        );
    }
    assert!(matches!(create("b", MAIN, 100), Err(LedgerError::NotYet { .. })));
    assert!(matches!(create("b", BranchId(3), 1), Err(LedgerError::NoBranch { .. })));
    create("b", MAIN, 1).unwrap();
    assert!(matches!(create("b", MAIN, 1), Err(LedgerError::BranchExists { .. })));
    let other = StateView::create_branch(Owner::Type("t".into()), "b", MAIN, 1);
    driver.control(other).unwrap();
    let b = driver.state.branch(&Owner::Host, "b", driver.visible()).unwrap().id;
    let child = driver.branch("child", b, driver.visible());
    assert!(matches!(
        driver.control(StateView::discard_branch(b)),
        Err(LedgerError::BranchInUse { .. })
    ));
    driver.control(StateView::discard_branch(child)).unwrap();
    driver.control(StateView::discard_branch(b)).unwrap();
    assert!(matches!(
        driver.control(StateView::discard_branch(b)),
        Err(LedgerError::NoBranch { .. })
    ));
    assert!(matches!(
        driver.control(StateView::discard_branch(MAIN)),
        Err(LedgerError::InvalidDefinition { .. })
    ));
    create("b", MAIN, 1).unwrap();
    let mut parent = MAIN;
    for depth in 0..BRANCH_DEPTH_MAX {
        parent = driver.branch(&format!("deep{depth}"), parent, driver.visible());
    }
    assert!(matches!(
        create("deeper", parent, 1),
        Err(LedgerError::InvalidDefinition { .. })
    ));
    driver.control(StateView::retain(5)).unwrap();
    assert!(matches!(
        driver.control(StateView::retain(4)),
        Err(LedgerError::InvalidDefinition { .. })
    ));
    assert!(matches!(
        driver.control(StateView::retain(1000)),
        Err(LedgerError::NotYet { .. })
    ));
    assert!(matches!(
        create("late", MAIN, 4),
        Err(LedgerError::BelowHorizon { seq: 4, horizon: 5 })
    ));
    let garbage = Control {
        view: View::State,
        payload: Bytes::from_static(b"\xff"),
    };
    assert!(driver.control(garbage).is_err());
}

#[test]
fn a_branch_shows_its_parent_as_it_was_and_its_own_writes() {
    let mut driver = Driver::new();
    driver.put(MAIN, "a", "1");
    driver.put(MAIN, "b", "1");
    let base = driver.visible();
    let branch = driver.branch("try", MAIN, base);
    driver.put(MAIN, "a", "2");
    driver.put(branch, "c", "mine");
    driver.write(branch, "b", None);
    for end in [None, Some(End::Close), Some(End::Kill), Some(End::Delete)] {
        if let Some(end) = end {
            driver.reopen(end);
        }
        assert_eq!(driver.get(branch, "a").unwrap(), "1");
        assert_eq!(driver.get(branch, "b"), None);
        assert_eq!(driver.get(branch, "c").unwrap(), "mine");
        assert_eq!(driver.get(MAIN, "c"), None);
        assert_eq!(driver.get(MAIN, "b").unwrap(), "1");
        let page = driver
            .state
            .scan(branch, &KeyRange::everything(), driver.visible(), 10, None)
            .unwrap();
        assert_eq!(page.entries.len(), 2);
    }
}

#[test]
fn a_merge_brings_changes_over_by_policy_and_can_be_done_again() {
    let driver = Driver::new();
    for name in ["same", "ours", "theirs", "both", "deleted"] {
        driver.put(MAIN, name, "0");
    }
    let branch = driver.branch("try", MAIN, driver.visible());
    driver.put(branch, "ours", "1");
    driver.put(branch, "both", "1");
    driver.put(branch, "new", "1");
    driver.put(branch, "same", "0");
    driver.write(branch, "deleted", None);
    driver.put(MAIN, "theirs", "2");
    driver.put(MAIN, "both", "2");
    let diff = driver.state.diff(branch, driver.visible(), 100, None).unwrap();
    let changed: Vec<String> = diff.differences.iter().map(|change| text(&change.key.key)).collect();
    assert_eq!(changed, ["both", "deleted", "new", "ours"]);
    assert!(
        diff.differences
            .iter()
            .all(|change| change.conflicts() == (change.key == key("both")))
    );
    let merge = |policy| driver.state.merge(branch, policy, || driver.visible());
    assert!(matches!(
        merge(MergePolicy::FailOnConflict),
        Err(LedgerError::MergeConflict { conflicts: 1, .. })
    ));
    let (_, theirs) = merge(MergePolicy::Theirs).unwrap();
    assert_eq!(theirs.len(), 3);
    let (reads, parts) = merge(MergePolicy::Ours).unwrap();
    assert_eq!(parts.len(), 4);
    driver
        .commit(Commit {
            reads,
            writes: parts,
            ..Commit::default()
        })
        .unwrap();
    let shown = ["same", "ours", "theirs", "both", "new"].map(|name| driver.get(MAIN, name).unwrap());
    assert_eq!(shown, ["0", "1", "2", "1", "1"]);
    assert_eq!(driver.get(MAIN, "deleted"), None);
    assert!(merge(MergePolicy::FailOnConflict).unwrap().1.is_empty());
}

#[test]
fn a_merge_fails_when_either_side_moved_on() {
    for moved in 0..2 {
        let driver = Driver::new();
        driver.put(MAIN, "a", "0");
        let branch = driver.branch("try", MAIN, driver.visible());
        driver.put(branch, "a", "1");
        let (reads, parts) = driver
            .state
            .merge(branch, MergePolicy::Ours, || driver.visible())
            .unwrap();
        if moved == 0 {
            driver.put(MAIN, "a", "2");
        } else {
            driver.put(branch, "other", "2");
        }
        assert!(is_conflict(&driver.commit(Commit {
            reads,
            writes: parts,
            ..Commit::default()
        })));
    }
}

#[test]
fn a_discarded_branch_is_gone_at_once_and_swept_when_nobody_reads_it() {
    let mut driver = Driver::new();
    let branch = driver.branch("try", MAIN, 0);
    for n in 0..50 {
        driver.put(branch, &n.to_string(), "x");
    }
    driver.put(MAIN, "kept", "x");
    let mut reader = driver.begin(branch);
    driver.control(StateView::discard_branch(branch)).unwrap();
    assert!(matches!(
        driver.state.get(branch, &key("1"), driver.visible()),
        Err(LedgerError::NoBranch { .. })
    ));
    let write = Write {
        branch,
        key: key("1"),
        value: None,
    };
    assert!(matches!(
        driver.commit(writes([write])),
        Err(LedgerError::NoBranch { .. })
    ));
    driver.sweep();
    assert_eq!(driver.versions(), 51);
    assert!(reader.get(&key("1")).unwrap().is_some());
    drop(reader);
    driver.sweep();
    assert_eq!(driver.versions(), 1);
    for end in [End::Close, End::Kill, End::Delete] {
        driver.reopen(end);
        assert!(driver.state.branches(driver.visible()).is_empty());
        driver.sweep();
        assert_eq!(driver.versions(), 1);
    }
    // Numbers are not given twice.
    assert_ne!(driver.branch("try", MAIN, 0), branch);
}

#[test]
fn retention_keeps_what_the_horizon_branches_and_transactions_show() {
    let driver = Driver::new();
    for n in 0..10 {
        driver.put(MAIN, "k", &n.to_string());
    }
    driver.put(MAIN, "gone", "x");
    driver.write(MAIN, "gone", None);
    let branch = driver.branch("old", MAIN, 3);
    let mut reader = driver.begin(MAIN);
    driver.put(MAIN, "k", "last");
    let horizon = driver.visible();
    driver.control(StateView::retain(horizon)).unwrap();
    let below = driver.state.get(MAIN, &key("k"), horizon - 1);
    assert_eq!(
        below,
        Err(LedgerError::BelowHorizon {
            seq: horizon - 1,
            horizon
        })
    );
    assert!(driver.state.history(MAIN, &key("k"), horizon - 1, 10).is_err());
    driver.sweep();
    // For the branch, for the transaction, and the newest.
    assert_eq!(driver.versions(), 3);
    assert_eq!(reader.get(&key("k")).unwrap().unwrap(), "9");
    assert_eq!(driver.get(branch, "k").unwrap(), "2");
    assert_eq!(
        driver.state.get(MAIN, &key("k"), horizon).unwrap().unwrap().value,
        "last"
    );
    drop(reader);
    driver.sweep();
    assert_eq!(driver.versions(), 2);
    driver.control(StateView::discard_branch(branch)).unwrap();
    driver.control(StateView::retain(driver.visible())).unwrap();
    driver.sweep();
    assert_eq!(driver.versions(), 1);
    assert_eq!(driver.get(MAIN, "k").unwrap(), "last");
    let history = driver.state.history(MAIN, &key("k"), driver.visible(), 10).unwrap();
    assert_eq!(history.revisions.len(), 1);
    assert!(!history.more);
}

#[test]
fn pages_are_bounded_and_go_on() {
    let driver = Driver::new();
    let mut expected = Vec::new();
    for n in 0..30 {
        let name = format!("{n:02}");
        driver.put(MAIN, &name, "x");
        driver.put(MAIN, "hot", &n.to_string());
        expected.push(name);
    }
    let large = Bytes::from(vec![1; PAGE_BYTES_MAX / 2]);
    for n in 0..5 {
        let name = format!("large{n}");
        driver
            .commit(writes([Write {
                branch: MAIN,
                key: key(&name),
                value: Some(large.clone()),
            }]))
            .unwrap();
        expected.push(name);
    }
    expected.push("hot".into());
    expected.sort();
    for limit in [1, 7, 1000] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = driver
                .state
                .scan(MAIN, &KeyRange::everything(), driver.visible(), limit, after.as_ref())
                .unwrap();
            assert!(page.entries.len() <= limit);
            assert!(
                page.entries
                    .iter()
                    .map(|(_, version)| version.value.len())
                    .sum::<usize>()
                    < 2 * PAGE_BYTES_MAX
            );
            found.extend(page.entries.into_iter().map(|(key, _)| text(&key.key)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
    }
    let mut before = driver.visible();
    let mut values = Vec::new();
    loop {
        let history = driver.state.history(MAIN, &key("hot"), before, 7).unwrap();
        values.extend(
            history
                .revisions
                .iter()
                .map(|revision| text(revision.value.as_ref().unwrap())),
        );
        if !history.more {
            break;
        }
        before = history.revisions.last().unwrap().seq;
    }
    assert_eq!(values, (0..30).rev().map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_thousand_versions_back_is_as_fast_as_now() {
    let driver = Driver::new();
    for n in 0..5000 {
        driver.put(MAIN, "hot", &n.to_string());
        driver.put(MAIN, "other", "x");
    }
    driver.index.flush().unwrap();
    let time = |at: u64| {
        let mut times: Vec<u128> = (0..2000)
            .map(|_| {
                let start = std::time::Instant::now();
                driver.state.get(MAIN, &key("hot"), at).unwrap().unwrap();
                start.elapsed().as_nanos()
            })
            .collect();
        times.sort_unstable();
        times[1000]
    };
    let (now, back) = (time(driver.visible()), time(driver.visible() - 2000));
    println!("now {now} ns, 1,000 versions back {back} ns");
}
