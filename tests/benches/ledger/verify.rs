//! A log of a million records whose writer was killed: `kinetic verify` over it, and opening it again.

use std::fs::DirBuilder;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use kinetic_identity::SigningKey;
use kinetic_ledger::{Ledger, LedgerConfig};
use kinetic_testkit::engine::runtime;
use kinetic_testkit::host::kinetic_in;

use crate::BODY;

const RECORDS: u64 = 1_000_000;
const WRITE: &str = "--write-and-wait";

/// The records and the data folder, in the child that is killed.
pub fn asked_to_write(arguments: &[String]) -> Option<(u64, PathBuf)> {
    match arguments {
        [flag, records, folder] if flag == WRITE => Some((records.parse().unwrap(), folder.into())),
        _ => None,
    }
}

/// Writes so many records, says so, and waits for its end.
pub fn write_and_wait(records: u64, data: PathBuf) {
    let ledger = open(&data.join("ledger"));
    let started = Instant::now();
    for _ in 0..records {
        ledger.record(Bytes::from_static(&BODY), None).unwrap();
    }
    println!("{:.3}", started.elapsed().as_secs_f64());
    loop {
        std::thread::park();
    }
}

fn open(folder: &Path) -> Ledger {
    let key = SigningKey::load(&folder.join("key.pem")).unwrap();
    // The name the host gives its ledger, so that the command finds the checkpoints signed as it expects.
    let origin = format!("kinetic/ledger/{}", key.public().id());
    Ledger::open(LedgerConfig::new(folder, &origin), key).unwrap()
}

pub fn measure() {
    let root = crate::folder();
    let data = root.path().join("data");
    let folder = data.join("ledger");
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
    let key = SigningKey::generate().unwrap();
    key.save(&folder.join("key.pem")).unwrap();
    std::fs::write(folder.join("key.pub"), format!("{}\n", key.public())).unwrap();

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([WRITE, &RECORDS.to_string()])
        .arg(&data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let seconds: f64 = said.trim().parse().unwrap();
    println!(
        "{RECORDS} records written by one caller, one after the other: {:.0}/s; then killed",
        RECORDS as f64 / seconds
    );

    for _ in 0..crate::ROUNDS {
        let started = Instant::now();
        let said = kinetic_in(root.path(), &[], &["--output", "json", "verify", "--data", "data"]);
        let whole = started.elapsed().as_secs_f64();
        let report = said.fine().json();
        assert_eq!(
            (&report["ok"], report["records"].as_u64()),
            (&true.into(), Some(RECORDS)),
            "{report}"
        );
        let seconds = report["seconds"].as_f64().unwrap();
        println!(
            "kinetic verify: {:.0} records/s, {:.0} MB/s ({seconds:.2} s; the whole command {whole:.2} s); {} checkpoints",
            RECORDS as f64 / seconds,
            report["bytes"].as_f64().unwrap() / seconds / 1e6,
            report["checkpoints"]
        );
    }
    for label in ["after the kill", "after a clean end"] {
        let started = Instant::now();
        let ledger = open(&folder);
        println!("opened {label} in {:.3} s", started.elapsed().as_secs_f64());
        assert_eq!(ledger.records(), RECORDS);
        runtime().block_on(ledger.close());
    }
}
