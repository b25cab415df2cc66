//! How fast it is. Run by hand: `cargo test --release -p kinetic-ledger speed_of -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use super::*;

const KEYS: u64 = 1_000_000;
/// The keys with many versions, and how many they have.
const HOT_KEYS: u64 = 1000;
const HOT_VERSIONS: u64 = 1200;
const CACHE_BYTES: usize = 256 << 20;

fn key_number(n: u64) -> Key {
    Key::new(
        Owner::Capsule("urn:kinetic:capsule:example:counter".into()),
        format!("key-{n:08}"),
    )
}

fn percentiles(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
}

fn time(count: u64, mut read: impl FnMut(u64)) -> Vec<Duration> {
    let mut random = 1_u64;
    let mut one = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let number = random >> 20;
        let start = Instant::now();
        read(number);
        start.elapsed()
    };
    (0..count).map(|_| one()).collect()
}

#[test]
#[ignore = "a measurement"]
fn speed_of_commits_and_reads() {
    let folder = tempfile::tempdir().unwrap();
    let index = Arc::new(Index::open(folder.path(), (0, 0), CACHE_BYTES).unwrap());
    let state = Arc::new(StateView::open(Arc::clone(&index)).unwrap());
    let mut seq = 0;
    let mut commit = |keys: [u64; 2]| {
        index.wait_room();
        let write = |n: u64| Write {
            branch: BranchId::MAIN,
            key: key_number(n),
            value: Some(Bytes::from_static(&[1; 64])),
        };
        let commit = writes(keys.map(write));
        state.check(&commit).unwrap();
        let keys = state.place(&commit.writes);
        state.stage(seq, &commit, &keys).unwrap();
        seq += 1;
        index.settle();
        state.advance(seq);
        index.synced(seq);
    };
    let start = Instant::now();
    (0..KEYS / 2).for_each(|n| commit([n * 2, n * 2 + 1]));
    let loaded = start.elapsed();
    (0..HOT_KEYS * HOT_VERSIONS / 2).for_each(|n| commit([n * 2 % HOT_KEYS, (n * 2 + 1) % HOT_KEYS]));
    let staged = start.elapsed();
    let records = seq;
    index.flush().unwrap();
    let (elapsed, number) = (start.elapsed(), u32::try_from(records).unwrap());
    println!(
        "{records} records of two writes: {:?} each, {:?} each with the store's last batch",
        staged / number,
        elapsed / number
    );
    println!(
        "of them the first {} records of new keys: {:?} each",
        KEYS / 2,
        loaded / u32::try_from(KEYS / 2).unwrap()
    );
    let get = |n: u64, at: u64| drop(state.get(BranchId::MAIN, &key_number(n), at).unwrap().unwrap());
    percentiles("get, random of 1 M keys", time(300_000, |n| get(n % KEYS, records)));
    percentiles("get, again", time(300_000, |n| get(n % KEYS, records)));
    percentiles("get, hot keys", time(100_000, |n| get(n % HOT_KEYS, records)));
    // Each hot key is written once in so many records.
    let back = records - 1000 * HOT_KEYS / 2;
    percentiles(
        "get, hot keys 1,000 versions back",
        time(100_000, |n| get(n % HOT_KEYS, back)),
    );
    let range = KeyRange::owned_by(&key_number(0).owner);
    let scan = |n: u64| {
        let after = key_number(n % KEYS);
        state.scan(BranchId::MAIN, &range, records, 100, Some(&after)).unwrap();
    };
    percentiles("scan of 100", time(5000, scan));
    let start = Instant::now();
    drop(state);
    index.close();
    println!("close {:?}", start.elapsed());
    let start = Instant::now();
    let index = Arc::new(Index::open(folder.path(), (0, records), CACHE_BYTES).unwrap());
    let state = StateView::open(Arc::clone(&index)).unwrap();
    println!("open {:?}", start.elapsed());
    let get = |n: u64, at: u64| drop(state.get(BranchId::MAIN, &key_number(n), at).unwrap().unwrap());
    percentiles(
        "get, random of 1 M keys, just opened",
        time(100_000, |n| get(n % KEYS, records)),
    );
}
