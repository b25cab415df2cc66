//! How fast it is. Not run by default: `cargo test --release -p kinetic-stream-buffer speed -- --ignored --nocapture`.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use super::*;
use crate::LevelChange;
use crate::gate::{Level, decide};

/// Few enough that a measurement mostly ends before another process gets the core.
const EVENTS: usize = 8_192;
const REPEATS: usize = 300;

/// The best of many, which is what the code can do; the others say what else the machine did.
fn measure(name: &str, mut work: impl FnMut()) {
    let best = (0..REPEATS).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    let nanoseconds = best.min().unwrap().as_secs_f64() * 1e9 / EVENTS as f64;
    println!("{name}: {:.2} M events/s, {nanoseconds:.1} ns each", 1e3 / nanoseconds);
}

/// Offers a batch at level 128, so that every event that may be dropped is hashed and half of them are dropped.
fn offers(name: &str, salt: &str, token: impl Fn(usize) -> &'static str, streams: usize) {
    let stream = |row: usize| format!("session-{}", row % streams);
    let rows: Vec<Row> = (0..EVENTS)
        .map(|row| Row::new(&stream(row), Some(row as u64), token(row)))
        .collect();
    let mut plain = record_batch(&rows);
    plain.remove_column(plain.schema_ref().index_of("payload").unwrap());
    let bytes = ipc(&[plain]);
    let mut buffer = Buffer::new(settings(&[("shed-tokens", "um"), ("salt", salt)]));
    let names: BTreeSet<String> = (0..EVENTS).map(stream).collect();
    let change = |stream: String| LevelChange {
        stream,
        from_sequence: 0,
        level: Level::new(128).unwrap(),
    };
    buffer
        .follow(&names.into_iter().map(change).collect::<Vec<_>>())
        .unwrap();
    measure(name, || {
        let mut buffer = buffer.clone();
        assert_eq!(buffer.offer(bytes.clone()).unwrap().refused, 0);
        black_box(buffer);
    });
}

#[test]
#[ignore = "a measurement"]
fn the_speed_of_the_gate() {
    let tokens = vec![b"um".as_slice(); EVENTS];
    let level = Level::new(128).unwrap();
    for salt in ["", "a-stream-of-tokens/"] {
        measure(&format!("gate alone, salt {salt:?}, every token matches"), || {
            black_box(decide(salt.as_bytes(), 100_000, tokens.iter().copied(), level));
        });
    }
    let mix = [
        "um", "wait", "valid", "text", "and", "um", "so", "we", "go", "on", "um", "to", "the", "next", "one", "now",
    ];
    offers("offer, every token matches", "none", |_| "um", 1);
    offers("offer, every token matches, salted", "stream", |_| "um", 1);
    offers("offer, 3 of 16 match", "none", |row| mix[row % 16], 1);
    offers("offer, none matches", "none", |_| "valid", 1);
    offers("offer, every token matches, 50 streams in turn", "none", |_| "um", 50);
    offers("offer, none matches, 50 streams in turn", "none", |_| "valid", 50);
}
