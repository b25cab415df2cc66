//! Reading state: the newest version of one of a million keys, and a version a thousand versions back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_identity::SigningKey;
use kinetic_ledger::state::{BranchId, Key, Owner, Write};
use kinetic_ledger::{Commit, Durability, Ledger, LedgerConfig};
use kinetic_testkit::engine::runtime;

const KEYS: u64 = 1_000_000;
/// Keys with many versions, and how many they have.
const HOT_KEYS: u64 = 1_000;
const VERSIONS: u64 = 1_200;
const BACK: u64 = 1_000;
const WRITES_AT_ONCE: u64 = 1_000;
const READS: u64 = 300_000;
/// Half of what the keys and values take.
const CACHE_BYTES: usize = 256 << 20;

fn key(n: u64) -> Key {
    Key::new(
        Owner::Capsule("urn:bench:actionspace:solver:writer:v1".into()),
        format!("key-{n:08}"),
    )
}

async fn write(ledger: &Ledger, keys: impl Iterator<Item = u64>) -> u64 {
    let write = |n| Write {
        branch: BranchId::MAIN,
        key: key(n),
        value: Some(Bytes::from_static(&[1; 64])),
    };
    let commit = Commit {
        durability: Some(Durability::Written),
        writes: keys.map(write).collect(),
        ..Commit::default()
    };
    ledger.commit(commit).await.unwrap().seq
}

pub fn measure() {
    let folder = crate::folder();
    let open = || {
        let config = LedgerConfig {
            index_cache_bytes: CACHE_BYTES,
            ..LedgerConfig::new(folder.path(), "kinetic/bench")
        };
        Ledger::open(config, SigningKey::generate().unwrap()).unwrap()
    };
    let ledger = open();
    let begun = Instant::now();
    let mut back = 0;
    runtime().block_on(async {
        for from in (0..KEYS).step_by(WRITES_AT_ONCE as usize) {
            write(&ledger, from..from + WRITES_AT_ONCE).await;
        }
        for version in 0..VERSIONS {
            let seq = write(&ledger, 0..HOT_KEYS).await;
            if version + BACK == VERSIONS {
                back = seq;
            }
        }
    });
    let written = KEYS + HOT_KEYS * VERSIONS;
    println!("{written} versions written in {:.1?}", begun.elapsed());
    // What was written last is still in memory; what counts is what the store answers.
    std::thread::sleep(Duration::from_secs(3));
    let newest = ledger.visible();
    let get = |n: u64, at: u64| assert!(ledger.state().get(BranchId::MAIN, &key(n), at).unwrap().is_some());
    let cold = read("get, random of 1 M keys, first time", |n| get(n % KEYS, newest));
    let warm = read("get, random of 1 M keys", |n| get(n % KEYS, newest));
    let hot = read("get, of 1,000 keys with 1,200 versions", |n| get(n % HOT_KEYS, newest));
    let past = read("as_of 1,000 versions back, of those keys", |n| {
        get(n % HOT_KEYS, back + 1)
    });
    println!(
        "as_of to get of the same keys: {:.1}; to get of 1 M keys: {:.1}, first time {:.1}",
        past / hot,
        past / warm,
        past / cold
    );
}

/// Prints how long one takes; gives the median in microseconds.
fn read(what: &str, mut once: impl FnMut(u64)) -> f64 {
    let mut random = 1_u64;
    let mut times: Vec<Duration> = (0..READS)
        .map(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let begun = Instant::now();
            once(random >> 20);
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
    println!(
        "{what}: p50 {:.2} us, p90 {:.2} us, p99 {:.2} us",
        at(50),
        at(90),
        at(99)
    );
    at(50)
}
