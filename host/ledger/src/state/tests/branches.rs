//! Branches, merging, retention: what must hold, one thing at a time.

use super::*;

const MAIN: BranchId = BranchId::MAIN;

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
