//! Limits and pages.

use super::*;

const MAIN: BranchId = BranchId::MAIN;

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
