//! How fast a refresh is and what it holds; run by hand, one at a time:
//! `cargo test --release -p kinetic-gold -- --ignored --nocapture --test-threads 1 speed`.

use std::fs;
use std::time::Instant;

use kinetic_model::Digest;

use super::{Data, Event, bytes};

const INTENTS: [&str; 5] = ["i0", "i1", "i2", "i3", "i4"];
const TOKENS: [&str; 6] = [" the", " a", " of", " and", ".", " token"];

fn workflows(count: usize) -> Vec<&'static str> {
    let name = |number| format!("workflow-w{}-{number}", number % 8);
    (0..count).map(|number| &*name(number).leak()).collect()
}

/// Event number `at` of these workflows, which take turns.
fn event(workflows: &[&'static str], at: usize) -> Event {
    let turn = at / workflows.len();
    Event {
        workflow: Some(workflows[at % workflows.len()]),
        intent: Some(INTENTS[turn % 5]),
        node: Some("llm-1"),
        sequence: (turn / 5) as u64,
        token: Some(TOKENS[at * 7919 % 6]),
        received_unix_ns: 1_795_230_233_000_000_000 + i64::try_from(at).unwrap() * 1000,
        kind: "chat.chunk",
        model: Some("SmolLM2-135M-Instruct.Q4_1"),
        data: "x".repeat(150),
        ..Event::default()
    }
}

#[allow(clippy::cast_precision_loss)] // A measurement's numbers are small.
fn rate(what: &str, rows: u64, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    let rate = rows as f64 / seconds;
    println!("{what}: {rows} rows in {seconds:.3} s, {rate:.0} rows/s");
}

#[test]
#[ignore = "a measurement"]
fn a_million_rows_of_two_hundred_workflows() {
    let names = workflows(200);
    let mut data = Data::new();
    for part in 0..8 {
        let rows = part * 125_000..(part + 1) * 125_000;
        data.silver(&rows.map(|at| event(&names, at)).collect::<Vec<_>>());
    }
    let started = Instant::now();
    data.gold().refresh(&data.sources).unwrap();
    rate("all anew", 1_000_000, started);
    let touched = |at: usize| Event {
        workflow: Some(names[at % 3]),
        ..event(&names, 1_000_000 + at)
    };
    data.silver(&(0..1000).map(touched).collect::<Vec<_>>());
    let started = Instant::now();
    let refreshed = data.gold().refresh(&data.sources).unwrap();
    rate("3 workflows touched", refreshed.rows_read, started);
    let started = Instant::now();
    data.gold().refresh(&data.sources).unwrap();
    rate("nothing new", 0, started);
}

/// A number of `/proc/self/status`, in mebibytes.
fn mebibytes(of: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(of)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
#[ignore = "a measurement"]
fn twelve_million_rows_in_one_part() {
    const ROWS: usize = 240 * 50_000;
    let names = workflows(240);
    let mut data = Data::new();
    let row_groups = (0..ROWS).step_by(65_536).map(|first| {
        let rows = first..ROWS.min(first + 65_536);
        rows.map(|at| event(&names, at)).collect()
    });
    data.silver_of(row_groups, 1 << 20);
    for what in ["all anew", "all anew once more"] {
        // From here on the peak is counted anew.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = mebibytes("VmRSS");
        let started = Instant::now();
        let refreshed = data.gold().rebuild(&data.sources).unwrap();
        rate(what, ROWS as u64, started);
        let [peak, after] = ["VmHWM", "VmRSS"].map(mebibytes);
        let rows_read = refreshed.rows_read;
        println!("resident: {before} MiB before, {peak} MiB at the peak, {after} MiB after; {rows_read} rows read");
    }
    println!("{:?}", bytes(&data.gold_folder()).map(|bytes| Digest::of(&bytes)));
}
