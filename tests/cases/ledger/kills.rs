//! A receipt that a caller has is in the log, however often the host is killed.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kinetic_testkit::host::{Host, binary};
use serde_json::json;

use super::files::{HEADER, frames, leaf_of};
use super::{Caller, REDACT, Random, proven, receipt, verify};

/// Calls until the host is gone; the names of the receipts that came.
fn call_until_killed(url: &str, salt: u64) -> Vec<String> {
    let mut names = Vec::new();
    let Ok(mut caller) = Caller::connect(url) else {
        return names;
    };
    for i in 0_u64.. {
        let intent = json!({ "text": format!("{salt}-{i}: a@example.com {}", "x".repeat((i % 7 * 300) as usize)) });
        match caller.execute(REDACT, "scrub", &intent) {
            Ok(answer) => names.push(
                answer["receipt_id"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{answer:#}"))
                    .into(),
            ),
            Err(_) => break,
        }
    }
    names
}

/// The names of the receipts of all records from `from` on, made from the files' bytes.
fn receipts_from(folder: &Path, from: u64) -> HashSet<String> {
    let mut names = HashSet::new();
    for entry in fs::read_dir(folder.join("data/ledger/segments")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for frame in frames(0, &bytes).iter().filter(|frame| frame.seq >= from) {
            let leaf = leaf_of(frame.seq, &bytes[frame.place.clone()][HEADER..]);
            let short: String = leaf[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            names.insert(format!("{}-{short}", frame.seq));
        }
    }
    names
}

/// Starts a host and kills it before it may be ready.
fn kill_while_starting(folder: &Path, after: Duration) {
    let mut child = Command::new(binary())
        .args(["--output", "json", "up", "--listen", "127.0.0.1:0", "--data", "data"])
        .current_dir(folder)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// KILLS says how often; a soak without it means 500.
fn kills() -> u64 {
    let set = |name: &str| std::env::var(name).ok();
    let count = set("KILLS").map(|text| text.parse().expect("KILLS is a number"));
    count.unwrap_or(if set("SOAK_SECONDS").is_some() { 500 } else { 30 })
}

#[test]
fn soak_no_receipt_is_lost_however_often_the_host_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("KINETIC_LEDGER__SEGMENT_BYTES", "1048576"),
        ("KINETIC_LEDGER__CHECKPOINT_RECORDS", "200"),
        ("KINETIC_LEDGER__CHECKPOINT_WITHIN_MS", "20"),
    ];
    let mut random = Random::new();
    let started = Instant::now();
    let (mut records, mut told) = (0, 0);
    let mut host = Host::start_in(folder.path(), &variables);
    let kills = kills();
    for round in 0..kills {
        // On a slow machine longer and longer, until there are receipts at all.
        let times = if told == 0 { round + 1 } else { 1 };
        let life = Duration::from_micros(random.below(150_000) * times);
        let names: Vec<String> = std::thread::scope(|scope| {
            let url = host.url.clone();
            let callers: Vec<_> = (0..3)
                .map(|salt| {
                    let url = url.clone();
                    scope.spawn(move || call_until_killed(&url, salt))
                })
                .collect();
            std::thread::sleep(life);
            host.kill();
            callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
        });
        if round % 3 == 2 {
            kill_while_starting(folder.path(), Duration::from_micros(random.below(60_000)));
        }
        host = Host::start_in(folder.path(), &variables);
        let after = host.get("/api/v1/ledger").json();
        let count = after["records"].as_u64().unwrap();
        assert!(
            count >= records + names.len() as u64,
            "round {round}: {records} then {after:#}"
        );
        let there = receipts_from(folder.path(), records);
        let lost: Vec<_> = names.iter().filter(|name| !there.contains(*name)).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        for name in names.iter().rev().take(2) {
            proven(&receipt(&host, &json!({ "receipt_id": name })));
        }
        let verified = verify(folder.path(), &[]).fine().json();
        assert_eq!(verified["first"], json!(0), "round {round}: {verified:#}");
        assert!(
            verified["records"].as_u64().unwrap() >= count,
            "round {round}: {verified:#}"
        );
        told += names.len();
        records = count;
    }
    println!(
        "{kills} kills in {:.1?}: {told} receipts that callers had were all there among {records} records",
        started.elapsed()
    );
    assert!(told > 0);
}
