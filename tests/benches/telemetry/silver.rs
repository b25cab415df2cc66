//! The silver gate as a component, and the same code compiled native: rows per second of processor time, two key columns,
//! batches of 65,536.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use kinetic_medallion::subsystem::silver::{
    Deduplication, Identity, KeyColumn, Normalization, SilverGate, Survivor, Table,
};
use kinetic_silver_gate as native;
use kinetic_testkit::batches::ipc;
use kinetic_testkit::engine::runtime;

use crate::{BATCH_ROWS, cpu_seconds, load, peer};

const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 5;

fn batches(wide: bool) -> Vec<Vec<u8>> {
    let mut names = vec!["intent_id", "workflow_id"];
    if wide {
        names.extend(["node_cid", "event_type", "timestamp", "payload"]);
    }
    let fields: Vec<_> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, false))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let value = |name: &str, i: u64| match name {
        "intent_id" => format!("Intent-{i}"),
        "workflow_id" => format!("execution-0192f0c1-{}", i / 50),
        "node_cid" => format!("did:coreason:node-{}", i % 977),
        "event_type" => "TokenStreamChunk".into(),
        "timestamp" => format!("2026-01-01T00:00:{}", i % 60),
        _ => format!(
            r#"{{"type":"TokenStreamChunk","index":{i},"text":"The quick brown Fox jumps over the lazy Dog","usage":{{"prompt":12,"completion":1}}}}"#
        ),
    };
    (0..ROWS)
        .step_by(BATCH_ROWS as usize)
        .map(|first| {
            let rows = first..ROWS.min(first + BATCH_ROWS);
            let column = |name: &&str| -> ArrayRef {
                Arc::new(StringArray::from_iter_values(rows.clone().map(|i| value(name, i))))
            };
            let columns = names.iter().map(column).collect();
            ipc(&RecordBatch::try_new(schema.clone(), columns).unwrap())
        })
        .collect()
}

fn table(deduplicate: bool) -> Table {
    let key = |name: &str| KeyColumn {
        name: name.into(),
        normalize: Normalization::None,
    };
    Table {
        name: "telemetry".into(),
        identities: vec![Identity {
            column: "entity_uuid".into(),
            keys: vec![key("intent_id"), key("workflow_id")],
            legacy_column: None,
        }],
        deduplicate: deduplicate.then(|| Deduplication {
            column: "entity_uuid".into(),
            keep: Survivor::First,
        }),
        required: vec![],
    }
}

/// The best of some rounds, in rows per second of processor time.
async fn rate(gate: &mut SilverGate, table: &Table, batches: &[Vec<u8>]) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (mut rows, begun) = (0, cpu_seconds());
        for batch in batches {
            rows += gate
                .transform(table, batch)
                .await
                .result
                .unwrap()
                .unwrap()
                .accepted_rows;
        }
        assert_eq!(rows, ROWS);
        best = best.max(rows as f64 / (cpu_seconds() - begun));
    }
    best
}

/// The same declaration for the same code as a library.
fn native_table(deduplicate: bool) -> native::Table {
    let key = |name: &str| native::KeyColumn {
        name: name.into(),
        normalize: native::Normalization::None,
    };
    native::Table {
        name: "telemetry".into(),
        identities: vec![native::Identity {
            column: "entity_uuid".into(),
            keys: vec![key("intent_id"), key("workflow_id")],
            legacy_column: None,
        }],
        deduplicate: deduplicate.then(|| native::Deduplication {
            column: "entity_uuid".into(),
            keep: native::Survivor::First,
        }),
        required: vec![],
    }
}

/// As [`rate`], called as a function. It owns what it is given, which the component copies into its memory.
fn native_rate(table: &native::Table, batches: &[Vec<u8>]) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (mut rows, begun) = (0, cpu_seconds());
        for batch in batches {
            rows += native::transform(table, batch.clone()).unwrap().accepted_rows;
        }
        assert_eq!(rows, ROWS);
        best = best.max(rows as f64 / (cpu_seconds() - begun));
    }
    best
}

pub fn measure() {
    let runtime = runtime();
    let mut gate = runtime.block_on(async { SilverGate::start(&load("silver_gate").await).await.unwrap() });
    for wide in [false, true] {
        let name = if wide { "wide" } else { "two key columns" };
        let rows = ROWS.to_string();
        let arguments: &[&str] = if wide { &[&rows, "--wide"] } else { &[&rows] };
        let peer = peer::run("silver_polars_hash.py", arguments);
        let peer = peer.first().and_then(|peer| peer["rows_per_cpu_s"].as_f64());
        let batches = batches(wide);
        for deduplicate in [false, true] {
            let table = table(deduplicate);
            let component = runtime.block_on(rate(&mut gate, &table, &batches));
            let what = if deduplicate { "ids and deduplication" } else { "ids" };
            println!(
                "silver gate, component, {name}, {what}: {:.2} M rows per cpu-second",
                component / 1e6
            );
            let native = native_rate(&native_table(deduplicate), &batches);
            println!(
                "silver gate, native, {name}, {what}: {:.2} M rows per cpu-second; ratio of the component to it: {:.2}",
                native / 1e6,
                component / native
            );
            if let Some(peer) = peer.filter(|_| !deduplicate) {
                println!("ratio to polars-hash, {name}: {:.1}", component / peer);
            }
        }
    }
}
