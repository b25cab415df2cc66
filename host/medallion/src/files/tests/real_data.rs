//! The real stream as a table, and what writing it costs.

use super::*;
use crate::event::tests::speed::cpu_seconds;
use crate::event::{self, Batch, Framing, Reader, ReaderSettings};

const STREAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/llm-stream.jsonl");

fn events() -> Table {
    Table {
        schema: event::schema(),
        schema_version: event::VERSION.into(),
    }
}

fn batches(input: &[u8]) -> Vec<Batch> {
    let settings = ReaderSettings {
        batch_events_max: 1_000,
        ..ReaderSettings::default()
    };
    let mut reader = Reader::new(Framing::Lines, settings).unwrap();
    let mut rest = input;
    let mut batches = Vec::new();
    while let Some(batch) = reader.read(&mut rest, 0).unwrap() {
        batches.push(batch);
    }
    batches.extend(reader.finish(0).unwrap());
    batches
}

/// Writes each batch at the offsets of its events; the end of the last.
fn write_all(writer: &mut Writer, batches: &[Batch]) -> u64 {
    let mut end = 0;
    for batch in batches {
        let offsets = end..end + batch.events.num_rows() as u64;
        end = offsets.end;
        writer.write(&batch.events, offsets, Instant::now()).unwrap();
    }
    writer.finish().unwrap();
    end
}

#[test]
fn the_real_stream_comes_back_from_its_parts_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let batches = batches(&std::fs::read(STREAM).unwrap().repeat(4));
    let settings = PartSettings {
        part_bytes_max: 50_000,
        row_group_rows: 1_000,
        ..endless()
    };
    let mut writer = Writer::open(folder.path(), events(), settings).unwrap();
    assert_eq!(write_all(&mut writer, &batches), 4 * 8372);
    assert!(parts(folder.path()).unwrap().len() > 1);
    let schema = event::schema();
    let written = batches.iter().map(|batch| &batch.events);
    let written = arrow_select::concat::concat_batches(&schema, written).unwrap();
    let read: Vec<_> = read_all(folder.path()).unwrap().map(Result::unwrap).collect();
    let read = arrow_select::concat::concat_batches(&schema, &read).unwrap();
    assert_eq!(read, written);
    assert_eq!(read.schema(), schema);
}

#[test]
#[ignore = "prints figures: cargo test --release -p kinetic-medallion -- --ignored --nocapture speed"]
fn the_speed_of_writing_the_real_stream() {
    let input = std::fs::read(STREAM).unwrap().repeat(20);
    let batches = batches(&input);
    for zstd_level in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let settings = PartSettings {
            zstd_level,
            ..endless()
        };
        let mut writer = Writer::open(folder.path(), events(), settings).unwrap();
        let began = cpu_seconds();
        let events = write_all(&mut writer, &batches);
        let seconds = cpu_seconds() - began;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let events = events as f64;
        println!(
            "bronze, zstd {zstd_level}: {:.0} events per cpu-second, {:.2} us per event",
            events / seconds,
            seconds * 1e6 / events
        );
    }
}
