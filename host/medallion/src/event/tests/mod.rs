//! What the reader does with events good and bad, and with 8,372 real ones.

mod framing;
mod laws;
mod real_data;
mod rejects;
mod shapes;
pub(crate) mod speed;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, UInt8Type, UInt64Type};

use super::*;

/// The reader's clock in tests.
const NOW: i64 = 1_700_000_000_000_000_000;

/// Reads a stream in chunks of this many bytes.
fn read_in_chunks(
    framing: Framing,
    settings: ReaderSettings,
    input: &[u8],
    chunk_bytes: usize,
) -> (Vec<Batch>, Totals) {
    let mut reader = Reader::new(framing, settings).unwrap();
    let mut batches = Vec::new();
    for mut chunk in input.chunks(chunk_bytes) {
        while let Some(batch) = reader.read(&mut chunk, NOW).unwrap() {
            batches.push(batch);
        }
        assert!(chunk.is_empty());
    }
    batches.extend(reader.finish(NOW).unwrap());
    (batches, reader.totals().clone())
}

/// Reads a stream in one piece into one batch.
fn read(framing: Framing, input: &[u8]) -> (Batch, Totals) {
    let (mut batches, totals) = read_in_chunks(framing, ReaderSettings::default(), input, input.len().max(1));
    assert_eq!(batches.len(), 1);
    (batches.remove(0), totals)
}

/// The one row of an event that is taken.
fn row(event: &str) -> RecordBatch {
    let (batch, totals) = read(Framing::Lines, event.as_bytes());
    assert_eq!((totals.arrived, totals.events), (1, 1), "{:?}", totals.listed);
    batch.events
}

fn texts<'b>(batch: &'b RecordBatch, column: &str) -> Vec<Option<&'b str>> {
    batch[column].as_string::<i32>().iter().collect()
}

fn text<'b>(batch: &'b RecordBatch, column: &str) -> Option<&'b str> {
    texts(batch, column)[0]
}

fn numbers<T: ArrowPrimitiveType>(batch: &RecordBatch, column: &str) -> Vec<Option<T::Native>> {
    batch[column].as_primitive::<T>().iter().collect()
}

fn u64_of(batch: &RecordBatch, column: &str) -> Option<u64> {
    numbers::<UInt64Type>(batch, column)[0]
}

fn u8_of(batch: &RecordBatch, column: &str) -> Option<u8> {
    numbers::<UInt8Type>(batch, column)[0]
}

fn i64_of(batch: &RecordBatch, column: &str) -> Option<i64> {
    numbers::<Int64Type>(batch, column)[0]
}

fn f64_of(batch: &RecordBatch, column: &str) -> Option<f64> {
    numbers::<Float64Type>(batch, column)[0]
}
