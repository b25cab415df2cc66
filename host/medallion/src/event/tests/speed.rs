//! How many events are read in a second of a core; a figure to look at, so it runs only when it is asked for.

use std::hint::black_box;

use super::real_data::STREAM;
use super::*;

/// What this thread took of a core so far, in seconds: other work on the machine does not count.
pub(crate) fn cpu_seconds() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn report(what: &str, framing: Framing, input: &[u8], events: u64) {
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let began = cpu_seconds();
        let mut reader = Reader::new(framing, ReaderSettings::default()).unwrap();
        for mut chunk in input.chunks(64 << 10) {
            while let Some(batch) = reader.read(&mut chunk, NOW).unwrap() {
                black_box(batch);
            }
        }
        black_box(reader.finish(NOW).unwrap());
        assert_eq!(reader.totals().events, events);
        best = best.min(cpu_seconds() - began);
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let (events, bytes) = (events as f64, input.len() as f64);
    println!(
        "{what}: {:.0} events per cpu-second, {:.2} us and {:.0} bytes per event, {:.0} MB/s",
        events / best,
        best * 1e6 / events,
        bytes / events,
        bytes / best / 1e6
    );
}

#[test]
#[ignore = "prints figures: cargo test --release -p kinetic-medallion -- --ignored --nocapture speed"]
fn the_speed_of_reading_the_real_stream() {
    let input = std::fs::read_to_string(STREAM).unwrap();
    let lines = input.repeat(20);
    let events = lines.lines().count() as u64;
    report("envelopes, NDJSON", Framing::Lines, lines.as_bytes(), events);
    let array = format!("[{}]", lines.trim_end().replace('\n', ","));
    report("envelopes, a JSON array", Framing::Document, array.as_bytes(), events);
    let frames: Vec<String> = input
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|event| format!("{}\n", event["data"].as_str().unwrap()))
        .collect();
    let frames = frames.concat();
    report(
        "raw frames, NDJSON",
        Framing::Lines,
        frames.repeat(20).as_bytes(),
        events,
    );
    let small = r#"{"workflow_id":"wf-1","intent_id":"intent-0001","node_cid":"llm-1","sequence":17,"received_unix_ns":1795230233571240537,"token":" the","data":"a short text of the size that is asked for, with nothing to be escaped in it, 220"}"#;
    let small = format!("{small}\n").repeat(200_000);
    report("small events, NDJSON", Framing::Lines, small.as_bytes(), 200_000);
}
