//! Watchers: everything, in order, once, also when they are slow, late, or begin in the past.

use super::*;

impl Driver {
    fn watch(&self, branch: BranchId, range: KeyRange, from: u64) -> Watch {
        let log = Arc::clone(&self.log);
        let read: ReadRecord = Arc::new(move |seq| {
            assert!(seq < log.visible(), "record {seq} is not visible yet");
            Ok(log.records.lock()[usize::try_from(seq).unwrap()].clone())
        });
        self.state.watch(branch, range, from, read).unwrap()
    }
}

async fn take(watch: &mut Watch, count: usize) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match watch.next().await {
            Ok(change) => seen.push((change.seq, change.value().map_or_else(String::new, |value| text(value)))),
            Err(LedgerError::WatchLagged { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

#[tokio::test]
async fn a_watcher_from_the_past_sees_all_changes_of_its_range_once_and_in_order() {
    let driver = Driver::new();
    let mut expected = Vec::new();
    let mut write = |n: u64| {
        let seq = driver.put(BranchId::MAIN, "in/x", &n.to_string());
        expected.push((seq, n.to_string()));
        driver.put(BranchId::MAIN, "out/x", "other");
    };
    (0..500).for_each(&mut write);
    let mut watch = driver.watch(BranchId::MAIN, KeyRange::prefix(&Owner::Host, b"in/"), 0);
    let mut seen = take(&mut watch, 300).await;
    (500..600).for_each(&mut write);
    seen.extend(take(&mut watch, 300).await);
    (600..700).for_each(&mut write);
    seen.extend(take(&mut watch, 100).await);
    assert_eq!(seen, expected);
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), watch.next());
    assert!(waiting.await.is_err(), "there is nothing more");
}

#[tokio::test]
async fn a_slow_watcher_is_told_so_and_still_loses_nothing() {
    let driver = Driver::new();
    let mut watch = driver.watch(BranchId::MAIN, KeyRange::everything(), 0);
    driver.put(BranchId::MAIN, "x", "first");
    assert_eq!(take(&mut watch, 1).await, [(0, "first".into())]);
    // It is live from the next question on.
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), watch.next());
    assert!(waiting.await.is_err());
    for n in 0..3000 {
        driver.put(BranchId::MAIN, "x", &n.to_string());
    }
    let mut lagged = 0;
    let mut seen = Vec::new();
    while seen.len() < 3000 {
        match watch.next().await {
            Ok(change) => seen.push(text(change.value().unwrap())),
            Err(LedgerError::WatchLagged { seq }) => {
                lagged += 1;
                assert_eq!(seq, 1 + seen.len() as u64);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(lagged, 1);
    assert_eq!(seen, (0..3000).map(|n| n.to_string()).collect::<Vec<_>>());
    watch.skip_to_now();
    driver.put(BranchId::MAIN, "x", "after");
    assert_eq!(take(&mut watch, 1).await[0].1, "after");
}

#[tokio::test]
async fn nothing_is_told_before_it_is_visible() {
    let driver = Driver::new();
    let write = || {
        writes([Write {
            branch: BranchId::MAIN,
            key: key("x"),
            value: None,
        }])
    };
    driver.stage(write()).unwrap();
    let mut watch = driver.watch(BranchId::MAIN, KeyRange::everything(), 0);
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), watch.next());
    assert!(waiting.await.is_err());
    driver.stage(write()).unwrap();
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), watch.next());
    assert!(waiting.await.is_err());
    driver.advance(0);
    assert_eq!(
        take(&mut watch, 2)
            .await
            .iter()
            .map(|(seq, _)| *seq)
            .collect::<Vec<_>>(),
        [0, 1]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_beside_writers_see_the_same_as_the_log() {
    let driver = Arc::new(Driver::new());
    let branch = driver.branch("b", BranchId::MAIN, 0);
    let writer = {
        let driver = Arc::clone(&driver);
        tokio::task::spawn_blocking(move || {
            for n in 0..2000_u64 {
                let to = if n % 3 == 0 { branch } else { BranchId::MAIN };
                driver.put(to, &format!("{}", n % 10), &n.to_string());
            }
        })
    };
    let mut readers = Vec::new();
    for from in [0, 1, 700] {
        let mut watch = driver.watch(
            branch,
            KeyRange::between(
                &Owner::Host,
                std::ops::Bound::Included(b"3"),
                std::ops::Bound::Unbounded,
            ),
            from,
        );
        readers.push(tokio::spawn(async move {
            let expected: Vec<(u64, String)> = (0..2000_u64)
                .filter(|n| n % 3 == 0 && n % 10 >= 3 && n + 1 >= from)
                .map(|n| (n + 1, n.to_string()))
                .collect();
            assert_eq!(take(&mut watch, expected.len()).await, expected);
        }));
    }
    for reader in readers {
        reader.await.unwrap();
    }
    writer.await.unwrap();
}

#[test]
fn too_many_watchers_are_refused_and_those_gone_make_room() {
    let driver = Driver::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let begin = async |driver: &Driver| {
            let mut watch = driver.watch(BranchId::MAIN, KeyRange::everything(), 0);
            let first = tokio::time::timeout(std::time::Duration::ZERO, watch.next()).await;
            (watch, matches!(first, Ok(Err(LedgerError::TooManyWatchers { .. }))))
        };
        let mut open = Vec::new();
        for _ in 0..WATCHERS_MAX {
            let (watch, refused) = begin(&driver).await;
            assert!(!refused);
            open.push(watch);
        }
        assert!(begin(&driver).await.1);
        open.pop();
        assert!(!begin(&driver).await.1);
    });
}
