//! How fast a refresh is; run by hand: `cargo test --release -p kinetic-gold -- --ignored --nocapture speed`.

use std::time::Instant;

use super::{Data, Event};

const WORKFLOWS: [&str; 8] = ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7"];
const INTENTS: [&str; 5] = ["i0", "i1", "i2", "i3", "i4"];
const TOKENS: [&str; 6] = [" the", " a", " of", " and", ".", " token"];

#[test]
#[ignore = "a measurement"]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap)] // A measurement's numbers are small.
fn a_million_rows_of_two_hundred_workflows() {
    let mut data = Data::new();
    let mut names: Vec<&'static str> = Vec::new();
    for number in 0..200 {
        names.push(Box::leak(
            format!("workflow-{}-{number}", WORKFLOWS[number % 8]).into_boxed_str(),
        ));
    }
    let event = |at: usize| Event {
        workflow: Some(names[at % 200]),
        intent: Some(INTENTS[at / 200 % 5]),
        node: Some("llm-1"),
        sequence: (at / 1000) as u64,
        token: Some(TOKENS[at * 7919 % 6]),
        received_unix_ns: 1_795_230_233_000_000_000 + at as i64 * 1000,
        kind: "chat.chunk",
        model: Some("SmolLM2-135M-Instruct.Q4_1"),
        data: "x".repeat(150),
        ..Event::default()
    };
    for part in 0..8 {
        let events: Vec<_> = (part * 125_000..(part + 1) * 125_000).map(event).collect();
        data.silver(&events);
    }
    let rate = |what: &str, rows: u64, started: Instant| {
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{what}: {rows} rows in {seconds:.3} s, {:.0} rows/s",
            rows as f64 / seconds
        );
    };
    let started = Instant::now();
    data.gold().refresh(&data.sources).unwrap();
    rate("all anew", 1_000_000, started);
    let events: Vec<_> = (0..1000)
        .map(|at| Event {
            workflow: Some(names[at % 3]),
            ..event(1_000_000 + at)
        })
        .collect();
    data.silver(&events);
    let started = Instant::now();
    let refreshed = data.gold().refresh(&data.sources).unwrap();
    rate("3 workflows touched", refreshed.rows_read, started);
    let started = Instant::now();
    data.gold().refresh(&data.sources).unwrap();
    rate("nothing new", 0, started);
}
