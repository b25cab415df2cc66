//! What the disk itself takes: nothing that is synced can be faster.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

const TIMES: usize = 1_000;
const BYTES: usize = 4_096;

pub fn measure() {
    let folder = crate::folder();
    let file = File::create(folder.path().join("file")).unwrap();
    let bytes = [7_u8; BYTES];
    let mut took: Vec<Duration> = (0..TIMES)
        .map(|n| {
            let started = Instant::now();
            file.write_all_at(&bytes, (n * BYTES) as u64).unwrap();
            file.sync_data().unwrap();
            started.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!(
        "append of {BYTES} bytes and fdatasync, {TIMES} times: p50 {:.3} ms, p99 {:.3} ms",
        took[TIMES / 2].as_secs_f64() * 1e3,
        took[TIMES * 99 / 100].as_secs_f64() * 1e3
    );
}

/// The machine's load of the last minute.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_string()
}
