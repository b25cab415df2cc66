//! How fast the gate is on this machine, compiled for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use super::kit::{batch, identity, stream, table};
use crate::{Deduplication, Survivor, Table, transform};

const ROWS: usize = 1_000_000;
const BATCH_ROWS: usize = 65_536;

/// Rows as telemetry has them, in streams of one batch each.
fn streams(wide: bool) -> Vec<Vec<u8>> {
    let text = |rows: &[usize], text: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| text(*row))))
    };
    let made = |rows: &[usize]| -> RecordBatch {
        let mut columns = vec![
            ("intent_id", text(rows, &|row| format!("Intent-{row}"))),
            (
                "workflow_id",
                text(rows, &|row| format!("execution-0192f0c1-{}", row / 50)),
            ),
        ];
        if wide {
            let sequence = Int64Array::from_iter_values(rows.iter().map(|row| i64::try_from(*row).unwrap()));
            columns.push((
                "node_cid",
                text(rows, &|row| format!("did:coreason:node-{}", row % 977)),
            ));
            columns.push(("sequence", Arc::new(sequence)));
            columns.push(("event_type", text(rows, &|_| "TokenStreamChunk".into())));
            columns.push(("payload", text(rows, &|row| format!(r#"{{"type":"TokenStreamChunk","index":{row},"text":"The quick brown Fox jumps over the lazy Dog","usage":{{"prompt":12,"completion":1}}}}"#))));
        }
        batch(columns)
    };
    let rows: Vec<usize> = (0..ROWS).collect();
    rows.chunks(BATCH_ROWS).map(|rows| stream(&[made(rows)])).collect()
}

fn measure(name: &str, table: &Table, streams: &[Vec<u8>]) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let copies = streams.to_vec();
        let start = Instant::now();
        for stream in copies {
            assert!(transform(table, stream).unwrap().accepted_rows > 0);
        }
        best = best.min(start.elapsed());
    }
    let rate = 1e-6 * f64::from(u32::try_from(ROWS).unwrap()) / best.as_secs_f64();
    println!("{name}: {rate:.2} M rows/s");
}

#[test]
#[ignore = "a measurement"]
fn how_fast_a_million_rows_become_silver() {
    let entity = || identity("entity_uuid", &["intent_id", "workflow_id"]);
    let event = || identity("event_uuid", &["workflow_id", "intent_id", "node_cid", "sequence"]);
    let unique = |column: &str, table: Table| Table {
        deduplicate: Some(Deduplication {
            column: column.into(),
            keep: Survivor::First,
        }),
        ..table
    };
    let (narrow, wide) = (streams(false), streams(true));
    measure("two columns, ids", &table(vec![entity()]), &narrow);
    measure(
        "two columns, ids, deduplicated",
        &unique("entity_uuid", table(vec![entity()])),
        &narrow,
    );
    measure("six columns, ids", &table(vec![entity()]), &wide);
    measure("six columns, both ids", &table(vec![entity(), event()]), &wide);
    measure(
        "six columns, both ids, deduplicated",
        &unique("event_uuid", table(vec![entity(), event()])),
        &wide,
    );
}
