//! How fast it is. Run by hand.

use std::time::{Duration, Instant};

use super::crash::files;
use super::*;

/// Run by hand: `cargo test --release -p kinetic-ledger speed_of -- --ignored --nocapture`.
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
    let elapsed = started.elapsed();
    let mut found = Vec::new();
    files(folder.path(), &mut found);
    let size: u64 = found
        .iter()
        .map(|file| std::fs::metadata(file).map_or(0, |data| data.len()))
        .sum();
    let each = |time: Duration| time.as_nanos() / u128::from(records);
    println!(
        "{records} records of two entries: {} ns each, staging {} ns of it, {} bytes each on disk",
        each(elapsed),
        each(staging),
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
