//! The silver gate as a component: its ids are those of the golden vectors and of CPython, whatever the batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use kinetic_medallion::subsystem::silver::{
    Deduplication, Error, Identity, KeyColumn, Normalization, SilverGate, Survivor, Table, Transformed,
};
use kinetic_model::Limits;
use kinetic_testkit::batches::{ipc, rows, texts};
use kinetic_testkit::engine::subsystem;
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../vectors/identity-v1.json");
const LEGACY: &str = include_str!("../vectors/identity-legacy-080.json");

async fn gate() -> SilverGate {
    let component = subsystem("silver_gate", Limits::CEILING).await;
    SilverGate::start(&component).await.unwrap()
}

fn key(name: &str) -> KeyColumn {
    KeyColumn {
        name: name.into(),
        normalize: Normalization::None,
    }
}

fn table(keys: &[&str]) -> Table {
    Table {
        name: "telemetry".into(),
        identities: vec![Identity {
            column: "entity_uuid".into(),
            keys: keys.iter().map(|name| key(name)).collect(),
            legacy_column: Some("legacy_id".into()),
        }],
        deduplicate: None,
        required: vec![],
    }
}

async fn transformed(gate: &mut SilverGate, table: &Table, batch: &[u8]) -> Transformed {
    let called = gate.transform(table, batch).await;
    called.result.unwrap().unwrap_or_else(|error| panic!("{error:?}"))
}

/// Columns k0, k1, ... of texts.
fn text_batch(rows: &[Vec<Option<String>>]) -> Vec<u8> {
    let width = rows.first().map_or(0, Vec::len);
    let fields: Vec<_> = (0..width)
        .map(|at| Field::new(format!("k{at}"), DataType::Utf8, true))
        .collect();
    let column =
        |at: usize| -> ArrayRef { Arc::new(StringArray::from_iter(rows.iter().map(|row| row[at].as_deref()))) };
    ipc(&RecordBatch::try_new(Arc::new(Schema::new(fields)), (0..width).map(column).collect()).unwrap())
}

fn names(width: usize) -> Vec<String> {
    (0..width).map(|at| format!("k{at}")).collect()
}

/// Keys, and the id that is made of them.
type TextCase = (Vec<Option<String>>, String);

/// Cases whose keys are texts or nulls, by how many keys they have.
fn text_cases(vectors: &str, id: &str) -> BTreeMap<usize, Vec<TextCase>> {
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let mut cases: BTreeMap<usize, Vec<_>> = BTreeMap::new();
    for case in vectors["cases"].as_array().unwrap() {
        let keys = case["keys"].as_array().unwrap();
        if keys.iter().all(|key| key.is_string() || key.is_null()) {
            let keys: Vec<_> = keys.iter().map(|key| key.as_str().map(ToString::to_string)).collect();
            let id = case[id].as_str().unwrap().to_string();
            cases.entry(keys.len()).or_default().push((keys, id));
        }
    }
    cases
}

#[tokio::test]
async fn the_component_gives_the_ids_of_the_golden_vectors() {
    let mut gate = gate().await;
    for (vectors, id, column) in [(VECTORS, "entity_uuid", "entity_uuid"), (LEGACY, "id", "legacy_id")] {
        for (width, cases) in text_cases(vectors, id) {
            let names = names(width);
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let keys: Vec<_> = cases.iter().map(|(keys, _)| keys.clone()).collect();
            let silver = transformed(&mut gate, &table(&names), &text_batch(&keys)).await;
            let silver = rows(&silver.accepted);
            let expected: Vec<_> = cases.iter().map(|(_, id)| Some(id.as_str())).collect();
            assert_eq!(texts(&silver, column), expected);
        }
    }
}

/// Keys of all sorts, the same in each run.
fn some_keys(count: usize) -> Vec<Vec<Option<String>>> {
    let alphabet: Vec<char> = "abcXYZ 09-|\"\\/\n\t\u{1}\u{7f}é日😀".chars().collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap()
    };
    let mut text = || {
        (!next().is_multiple_of(9)).then(|| {
            let length = next() % 40;
            (0..length).map(|_| alphabet[next() % alphabet.len()]).collect()
        })
    };
    (0..count).map(|_| vec![text(), text()]).collect()
}

#[tokio::test]
async fn cpython_computes_the_same_ids() {
    let keys = some_keys(2_000);
    let mut gate = gate().await;
    let silver = transformed(&mut gate, &table(&["k0", "k1"]), &text_batch(&keys)).await;
    let silver = rows(&silver.accepted);
    let program = "import json, sys, uuid
ns = uuid.UUID('91e8f5f8-3e28-592a-ab23-5295dcf92dd7')
for keys in json.load(sys.stdin):
    print(uuid.uuid5(ns, json.dumps(keys, separators=(',', ':'), ensure_ascii=False)))";
    let mut python = std::process::Command::new(std::env::var("MCP_PYTHON").unwrap_or("python3".into()))
        .args(["-c", program])
        .env("PYTHONUTF8", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    serde_json::to_writer(python.stdin.take().unwrap(), &keys).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let theirs = String::from_utf8(output.stdout).unwrap();
    let ours: Vec<_> = texts(&silver, "entity_uuid").into_iter().flatten().collect();
    assert_eq!(ours, theirs.lines().collect::<Vec<_>>());
    assert_eq!(ours.len(), keys.len());
}

#[tokio::test]
async fn ids_do_not_depend_on_the_batches_their_order_or_the_instance() {
    let keys = some_keys(1_000);
    let id_of = async |gate: &mut SilverGate, keys: &[Vec<Option<String>>]| {
        let silver = transformed(gate, &table(&["k0", "k1"]), &text_batch(keys)).await;
        let silver = rows(&silver.accepted);
        let ids = texts(&silver, "entity_uuid");
        let ids: Vec<_> = ids.into_iter().map(|id| id.unwrap().to_string()).collect();
        keys.iter().cloned().zip(ids).collect::<Vec<_>>()
    };
    let mut one = gate().await;
    let mut expected = id_of(&mut one, &keys).await;
    expected.sort();
    for size in [1, 3, 64, 999] {
        let mut other = gate().await;
        let mut turned = keys.clone();
        turned.reverse();
        let mut found = Vec::new();
        for part in turned.chunks(size) {
            found.extend(id_of(&mut other, part).await);
        }
        found.sort();
        assert_eq!(found, expected, "batches of {size}");
    }
}

#[tokio::test]
async fn duplicates_and_rejects_are_counted_and_nothing_vanishes() {
    let row = |a: Option<&str>, b: &str| vec![a.map(ToString::to_string), Some(b.to_string())];
    let batch = text_batch(&[
        row(Some("a"), "1"),
        row(None, "2"),
        row(Some("a"), "1"),
        row(Some("b"), "1"),
        row(Some("a"), "1"),
    ]);
    let table = Table {
        deduplicate: Some(Deduplication {
            column: "entity_uuid".into(),
            keep: Survivor::First,
        }),
        required: vec!["k0".into()],
        ..table(&["k0", "k1"])
    };
    let mut gate = gate().await;
    let silver = transformed(&mut gate, &table, &batch).await;
    assert_eq!(
        (
            silver.rows,
            silver.accepted_rows,
            silver.duplicates,
            silver.rejected_rows
        ),
        (5, 2, 2, 1)
    );
    assert_eq!(texts(&rows(&silver.accepted), "k0"), [Some("a"), Some("b")]);
    let rejected = rows(&silver.rejected);
    assert_eq!(texts(&rejected, "k1"), [Some("2")]);
    assert!(texts(&rejected, "reject_reason")[0].unwrap().contains("k0"));
    let metadata = rows(&silver.accepted).schema().metadata().clone();
    assert_eq!(metadata["kinetic.table"], "telemetry");
    assert_eq!(
        metadata["kinetic.identity.namespace"],
        "91e8f5f8-3e28-592a-ab23-5295dcf92dd7"
    );
    let again = transformed(&mut gate, &table, &batch).await;
    assert_eq!(again.accepted, silver.accepted, "the same batch gives the same bytes");
}

#[tokio::test]
async fn bytes_that_are_no_batch_are_an_error_and_the_gate_goes_on() {
    let mut gate = gate().await;
    let good = text_batch(&some_keys(10));
    for end in [0, 1, 7, 50, good.len() / 2] {
        let result = gate.transform(&table(&["k0"]), &good[..end]).await.result.unwrap();
        assert!(
            matches!(result, Err(Error::BadBatch(_))) || end > 50,
            "{end}: {result:?}"
        );
    }
    let result = gate.transform(&table(&["nowhere"]), &good).await.result.unwrap();
    assert!(matches!(result, Err(Error::BadTable(why)) if why.contains("nowhere")));
    assert!(gate.is_alive());
    let silver = transformed(&mut gate, &table(&["k0", "k1"]), &good).await;
    assert_eq!(silver.accepted_rows, 10);
    let scheme = gate.identity_scheme().await.result.unwrap();
    assert_eq!(
        json!([scheme.name, scheme.namespace]),
        json!(["kinetic-identity", "91e8f5f8-3e28-592a-ab23-5295dcf92dd7"])
    );
}
