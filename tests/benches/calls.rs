//! A call in a fresh sandbox through the host's own API, and beside it the same cycle in bare wasmtime.

mod bare;

use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kinetic_engine::{Capability, Input};
use kinetic_model::Limits;
use kinetic_testkit::engine::{engine, load};
use kinetic_testkit::guests;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

/// 104 bytes of JSON, as text.
const BODY: &str =
    r#"{"type":"TokenStreamChunk","index":7,"text":"The quick brown fox jumps over the dog","ok":true,"n":12345}"#;

fn arguments(text: &str) -> Map<String, Value> {
    match json!({ "text": text }) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

async fn kinetic(capability: &Capability, function: &str) {
    let outcome = capability.call(Some(function), Input::Json(arguments(BODY))).await;
    assert!(outcome.result.is_ok(), "{:?}", outcome.result);
}

fn fresh_call(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let component = guests::rust("echo");
    let _engine = engine();
    let ours = runtime.block_on(load(&component, Limits::default())).unwrap();
    let bare = bare::Bare::new(&component, false);
    let tuned = bare::Bare::new(&component, true);
    let mut group = criterion.benchmark_group("fresh call, 104 bytes");
    group.bench_function("kinetic", |b| b.to_async(&runtime).iter(|| kinetic(&ours, "text-back")));
    group.bench_function("bare wasmtime", |b| {
        b.to_async(&runtime).iter(|| bare.text("text-back", BODY))
    });
    group.bench_function("bare wasmtime, tuned as ours", |b| {
        b.to_async(&runtime).iter(|| tuned.text("text-back", BODY));
    });
    group.finish();
}

fn component_size(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("fresh call by component size");
    for (name, code, data) in [
        ("46 KB", 40_000, 4_000),
        ("8 MB of code", 8_000_000, 0),
        ("8 MB of data", 40_000, 8_000_000),
    ] {
        let component = guests::padded_echo(code, data);
        let ours = runtime.block_on(load(&component, Limits::default())).unwrap();
        group.bench_function(format!("{name} ({} bytes)", component.len()), |b| {
            b.to_async(&runtime).iter(|| kinetic(&ours, "echo"));
        });
    }
    group.finish();
}

fn ten_mebibytes(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let component = guests::rust("echo");
    let ours = runtime.block_on(load(&component, Limits::default())).unwrap();
    let bare = bare::Bare::new(&component, true);
    let bytes = Bytes::from(vec![7_u8; 10 << 20]);
    let mut group = criterion.benchmark_group("10 MiB in and out");
    group.throughput(Throughput::Bytes(2 * bytes.len() as u64));
    group.bench_function("kinetic", |b| {
        b.to_async(&runtime).iter(|| async {
            let input = Input::Bytes {
                bytes: bytes.clone(),
                rest: Map::new(),
            };
            let outcome = ours.call(Some("bytes-back"), input).await;
            assert!(outcome.result.is_ok());
            outcome
        });
    });
    group.bench_function("bare wasmtime", |b| {
        b.to_async(&runtime).iter(|| bare.bytes("bytes-back", &bytes))
    });
    group.finish();
}

criterion_group! {
    name = calls;
    config = Criterion::default().measurement_time(Duration::from_secs(5)).sample_size(50);
    targets = fresh_call, component_size, ten_mebibytes
}
criterion_main!(calls);
