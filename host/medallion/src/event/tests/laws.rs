//! Laws that hold for every stream: nothing vanishes, chunks and batches change nothing, and a row says all its event did.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// A value that a known field may or may not be able to hold.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..6).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-z\"\\\\\n é]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["INFO", "warning", "D0", "NX_experimental", "[DONE]", "{}"]).prop_map(Value::from),
        Just(json!({ "choices": [{ "delta": { "content": "x" } }], "usage": { "prompt_tokens": 1 } })),
        Just(json!("{\"choices\":[{\"text\":\"y\"}],\"model\":\"m\"}")),
        Just(json!([1, { "a": [] }])),
    ]
}

fn event() -> impl Strategy<Value = Value> {
    let known = prop::sample::select(vec![
        "workflow_id",
        "intent_id",
        "node_cid",
        "sequence",
        "priority",
        "tier",
        "determinism",
        "token",
        "received_unix_ns",
        "data",
        "data",
        "model",
        "usage",
        "choices",
        "error",
        "jsonrpc",
        "method",
        "receipt_id",
        "extra",
    ]);
    prop::collection::vec((known, value()), 0..8).prop_map(|members| {
        let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
        Value::Object(members.collect::<Map<_, _>>())
    })
}

/// A line of a stream: an event, something else, or nothing.
fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => event().prop_map(|event| event.to_string().into_bytes()),
        1 => "[ -~]{0,20}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>().prop_filter("a line end", |byte| *byte != b'\n'), 0..8),
        1 => Just(b"[DONE]".to_vec()),
    ]
}

/// Whether a column says what the field of that name did.
fn says(row: &RecordBatch, key: &str, value: &Value) -> bool {
    match (key, value) {
        (_, Value::Null) => true,
        ("workflow_id" | "intent_id" | "node_cid" | "token", Value::String(said)) => text(row, key) == Some(said),
        ("sequence", _) => u64_of(row, key) == value.as_u64(),
        ("received_unix_ns", _) => i64_of(row, key) == value.as_i64(),
        ("priority", Value::Number(number)) => u8_of(row, key).map(u64::from) == number.as_u64(),
        ("priority", Value::String(name)) => {
            let names = ["DEBUG", "INFO", "METRIC", "WARNING", "CRITICAL"];
            u8_of(row, key).is_some_and(|at| names[usize::from(at)].eq_ignore_ascii_case(name))
        }
        ("tier" | "determinism", Value::Number(number)) => u8_of(row, "tier").map(u64::from) == number.as_u64(),
        ("tier" | "determinism", Value::String(name)) => {
            let names = ["D0", "D1", "D2", "NX"];
            u8_of(row, "tier").is_some_and(|at| name.starts_with(names[usize::from(at)]))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_row_says_all_that_its_event_did(event in event()) {
        let json = event.to_string();
        let row = row(&json);
        let data = text(&row, "data").unwrap();
        if data != json {
            prop_assert_eq!(Some(data), event["data"].as_str());
            for (key, value) in event.as_object().unwrap() {
                prop_assert!(key == "data" || says(&row, key, value), "{} of {}", key, json);
            }
        }
    }

    #[test]
    fn nothing_vanishes_and_chunks_and_batches_change_nothing(
        lines in prop::collection::vec(line(), 0..30),
        chunk_bytes in 1_usize..200,
        batch_events_max in 1_usize..10,
    ) {
        let input = lines.join(&b'\n');
        // The first line may make it a document; then the elements are what arrives.
        let first = lines.iter().find(|line| !line.trim_ascii().is_empty());
        let is_document = first.is_some_and(|line| line.trim_ascii_start().starts_with(b"[") && line.trim_ascii() != b"[DONE]");
        let settings = ReaderSettings { batch_events_max, ..ReaderSettings::default() };
        let (batches, totals) = read_in_chunks(Framing::Lines, settings, &input, chunk_bytes);
        let rows = |of: fn(&Batch) -> &RecordBatch| batches.iter().map(|batch| of(batch).num_rows() as u64).sum::<u64>();
        prop_assert_eq!(rows(|batch| &batch.events), totals.events);
        prop_assert_eq!(rows(|batch| &batch.rejects), totals.rejected);
        prop_assert_eq!(totals.arrived, totals.events + totals.rejected);
        if !is_document {
            let arrived = lines.iter().filter(|line| !line.trim_ascii().is_empty()).count() as u64;
            prop_assert_eq!(totals.arrived, arrived);
        }
        let (whole, whole_totals) = read_in_chunks(Framing::Lines, ReaderSettings::default(), &input, input.len().max(1));
        prop_assert_eq!(&totals, &whole_totals);
        for of in [(|batch| &batch.events) as fn(&Batch) -> &RecordBatch, |batch| &batch.rejects] {
            let pieces = batches.iter().map(of).collect::<Vec<_>>();
            let pieces = pieces.first().map(|first| {
                arrow_select::concat::concat_batches(&first.schema(), pieces.iter().copied()).unwrap()
            });
            prop_assert_eq!(pieces, whole.first().map(|batch| of(batch).clone()));
        }
    }

    #[test]
    fn no_document_vanishes_or_panics(input in prop::collection::vec(prop::sample::select(b"{}[]\",:\\ \n1ax".to_vec()), 0..60), chunk_bytes in 1_usize..9) {
        let (_, cut) = read_in_chunks(Framing::Document, ReaderSettings::default(), &input, chunk_bytes);
        let (batches, whole) = read_in_chunks(Framing::Document, ReaderSettings::default(), &input, input.len().max(1));
        prop_assert_eq!(cut, whole.clone());
        let rows = batches.iter().map(|batch| batch.events.num_rows() + batch.rejects.num_rows()).sum::<usize>();
        prop_assert_eq!(rows as u64, whole.arrived);
    }
}
