//! Ids: the published vectors, and the same ids from other code whatever the batch looks like.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int8Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray,
    StringViewArray, UInt64Array,
};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::Index;
use serde_json::{Value, json};

use super::kit::{batch, batches, expected, identity, ids_of, silver, stream, table, texts};
use crate::{Error, Identity, KeyColumn, Normalization, transform};

const VECTORS: &str = include_str!("../../../../tests/vectors/identity-v1.json");
const LEGACY_VECTORS: &str = include_str!("../../../../tests/vectors/identity-legacy-080.json");

/// One value as a column of one row.
fn column(value: &Value) -> ArrayRef {
    match value {
        Value::Null => Arc::new(StringArray::from(vec![None::<&str>])),
        Value::Bool(value) => Arc::new(BooleanArray::from(vec![*value])),
        Value::Number(value) => Arc::new(Int64Array::from(vec![value.as_i64().unwrap()])),
        Value::String(text) => Arc::new(StringArray::from(vec![text.as_str()])),
        _ => unreachable!("no vector holds anything else"),
    }
}

fn row(keys: &[Value]) -> RecordBatch {
    let names: Vec<String> = (0..keys.len()).map(|index| format!("key{index}")).collect();
    batch(names.iter().map(String::as_str).zip(keys.iter().map(column)).collect())
}

#[test]
fn every_published_vector_comes_out() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors["namespace"], crate::scheme::NAMESPACE);
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let keys = case["keys"].as_array().unwrap();
        assert_eq!(ids_of(&row(keys)), [case["entity_uuid"].as_str().unwrap()], "{case}");
        assert_eq!(expected(keys), case["entity_uuid"], "{case}");
    }
}

#[test]
fn every_published_vector_of_the_old_line_comes_out_beside_the_new_id() {
    let vectors: Value = serde_json::from_str(LEGACY_VECTORS).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let keys = case["keys"].as_array().unwrap();
        let id = Identity {
            legacy_column: Some("old_id".into()),
            ..identity("id", &["key0", "key1"])
        };
        let made = silver(&table(vec![id]), &[row(keys)]);
        assert_eq!(texts(&made.accepted, "old_id"), [case["id"].as_str().unwrap()]);
        assert_eq!(texts(&made.accepted, "id"), [expected(keys)]);
    }
}

#[test]
fn the_old_line_told_neither_case_nor_null_nor_numbers_apart() {
    let old = |keys: &[Value]| {
        let id = Identity {
            legacy_column: Some("old".into()),
            ..identity("id", &["key0", "key1"])
        };
        texts(&silver(&table(vec![id]), &[row(keys)]).accepted, "old").remove(0)
    };
    assert_eq!(old(&[json!(" X "), json!("y")]), old(&[json!("x"), json!("Y\n")]));
    assert_eq!(old(&[json!(null), json!(7)]), old(&[json!(""), json!("7")]));
    assert_eq!(old(&[json!("x|y"), json!("z")]), old(&[json!("x"), json!("y|z")]));
}

#[test]
fn every_control_character_is_escaped_as_json_stringify_does() {
    let escapes = [
        (0x08, "\\b"),
        (0x09, "\\t"),
        (0x0a, "\\n"),
        (0x0c, "\\f"),
        (0x0d, "\\r"),
        (0x00, "\\u0000"),
        (0x1f, "\\u001f"),
        (0x0b, "\\u000b"),
        (0x22, "\\\""),
        (0x5c, "\\\\"),
    ];
    for (byte, escape) in escapes {
        let text = char::from(byte).to_string();
        assert_eq!(serde_json::to_string(&text).unwrap(), format!("\"{escape}\""));
        assert_eq!(ids_of(&row(&[json!(text)])), [expected(&[json!(text)])]);
    }
    for code in (0..0x100).chain(0x2020..0x2030).chain([0xfeff, 0xffff, 0x1_f600]) {
        let text = format!("a{}z", char::from_u32(code).unwrap());
        assert_eq!(ids_of(&row(&[json!(text)])), [expected(&[json!(text)])], "U+{code:04x}");
    }
}

#[test]
fn integers_beyond_what_a_double_holds_keep_all_their_digits() {
    let signed = Int64Array::from(vec![i64::MIN, i64::MAX, 0, -1, 9_007_199_254_740_993]);
    let unsigned = UInt64Array::from(vec![u64::MAX, 0, 1, 10, 9_007_199_254_740_993]);
    let wanted: Vec<String> = (signed.values().iter().zip(unsigned.values()))
        .map(|(signed, unsigned)| expected(&[json!(signed), json!(unsigned)]))
        .collect();
    let rows = batch(vec![
        ("signed", Arc::new(signed) as ArrayRef),
        ("unsigned", Arc::new(unsigned)),
    ]);
    assert_eq!(ids_of(&rows), wanted);
}

#[test]
fn a_column_of_nothing_but_nulls_is_a_key_like_any_null() {
    let rows = batch(vec![("nothing", Arc::new(NullArray::new(3)) as ArrayRef)]);
    assert_eq!(ids_of(&rows), vec![expected(&[json!(null)]); 3]);
}

#[test]
fn narrow_integers_and_all_kinds_of_text_give_the_ids_of_their_values() {
    let values = ["a", "", "\"b\"", "日本語"];
    let kinds: [ArrayRef; 3] = [
        Arc::new(StringArray::from(values.to_vec())),
        Arc::new(LargeStringArray::from(values.to_vec())),
        Arc::new(StringViewArray::from(values.to_vec())),
    ];
    let numbers: ArrayRef = Arc::new(Int8Array::from(vec![Some(-128), Some(127), None, Some(0)]));
    let wanted: Vec<String> = (values.iter().zip([json!(-128), json!(127), json!(null), json!(0)]))
        .map(|(text, number)| expected(&[json!(text), number]))
        .collect();
    for text in kinds {
        assert_eq!(
            ids_of(&batch(vec![("text", text), ("number", numbers.clone())])),
            wanted
        );
    }
}

#[test]
fn only_a_column_that_declares_it_is_normalised_and_it_stays_as_it_is() {
    let texts_in = vec![" \u{2003}Straße\t", "İI", "ΑΣ", "x"];
    let rows = batch(vec![(
        "text",
        Arc::new(StringArray::from(texts_in.clone())) as ArrayRef,
    )]);
    let id = |column: &str, normalize| Identity {
        column: column.into(),
        keys: vec![KeyColumn {
            name: "text".into(),
            normalize,
        }],
        legacy_column: None,
    };
    let made = silver(
        &table(vec![
            id("plain", Normalization::None),
            id("trimmed", Normalization::Trim),
            id("folded", Normalization::Fold),
        ]),
        std::slice::from_ref(&rows),
    );
    let wanted = |texts: [&str; 4]| texts.map(|text| expected(&[json!(text)])).to_vec();
    assert_eq!(texts(&made.accepted, "text"), texts_in);
    assert_eq!(
        texts(&made.accepted, "plain"),
        wanted([" \u{2003}Straße\t", "İI", "ΑΣ", "x"])
    );
    assert_eq!(texts(&made.accepted, "trimmed"), wanted(["Straße", "İI", "ΑΣ", "x"]));
    assert_eq!(
        texts(&made.accepted, "folded"),
        wanted(["straße", "ii", "ας", "x"].map(|text| match text {
            // The simple mapping knows no final sigma.
            "ας" => "ασ",
            other => other,
        }))
    );
}

#[test]
fn names_of_every_length_around_a_block_and_far_beyond_are_hashed() {
    let long = [500, 511, 512, 513, 1_000, 4_095, 4_096, 100_000];
    let lengths: Vec<usize> = (0..300).chain(long).collect();
    // Beside others of another length, and beside three of their own, as those share what they can.
    let fours = lengths.iter().flat_map(|length| [*length; 4]);
    let letters = "abcdefg".chars().cycle();
    let values: Vec<String> = (lengths.iter().copied().chain(fours))
        .zip(letters)
        .map(|(length, letter)| letter.to_string().repeat(length))
        .collect();
    let wanted: Vec<String> = values.iter().map(|text| expected(&[json!(text)])).collect();
    let rows = batch(vec![("text", Arc::new(StringArray::from(values)) as ArrayRef)]);
    assert_eq!(ids_of(&rows), wanted);
}

#[test]
fn the_scheme_travels_in_the_schema_beside_the_batchs_own_metadata() {
    let rows = batch(vec![("text", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
    let own = rows
        .schema()
        .as_ref()
        .clone()
        .with_metadata([("mine".into(), "kept".into())].into());
    let rows = RecordBatch::try_new(Arc::new(own), rows.columns().to_vec()).unwrap();
    let made = silver(&table(vec![identity("id", &["text"])]), &[rows]);
    let schema = batches(&made.accepted)[0].schema();
    let told: Vec<(&str, &str)> = [
        "kinetic.identity.namespace",
        "kinetic.identity.scheme",
        "kinetic.identity.version",
        "kinetic.table",
        "mine",
    ]
    .map(|key| (key, schema.metadata()[key].as_str()))
    .to_vec();
    assert_eq!(
        told,
        [
            ("kinetic.identity.namespace", "91e8f5f8-3e28-592a-ab23-5295dcf92dd7"),
            ("kinetic.identity.scheme", "kinetic-identity"),
            ("kinetic.identity.version", "1"),
            ("kinetic.table", "events"),
            ("mine", "kept"),
        ]
    );
}

#[test]
fn floats_and_other_types_cannot_be_keys() {
    let rows = batch(vec![("number", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)]);
    let error = transform(&table(vec![identity("id", &["number"])]), stream(&[rows])).unwrap_err();
    assert!(matches!(error, Error::BadTable(text) if text.contains("number") && text.contains("Float64")));
}

/// A row: text, number, truth and a text of few letters, so that names of many lengths and repetitions occur.
type Row = (Option<String>, Option<i64>, Option<bool>, String);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof![
        Just(None),
        any::<String>().prop_map(Some),
        "[a-z0-9\"\\\\\n-]{0,90}".prop_map(Some),
        "[a-z0-9-]{20,60}".prop_map(Some),
    ];
    vec((text, any::<Option<i64>>(), any::<Option<bool>>(), "[ab]{0,3}"), 0..60)
}

fn arrays(rows: &[Row]) -> RecordBatch {
    let texts: StringArray = rows.iter().map(|row| row.0.as_deref()).collect();
    let short = StringArray::from_iter_values(rows.iter().map(|row| &row.3));
    batch(vec![
        ("text", Arc::new(texts) as ArrayRef),
        ("number", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>())),
        (
            "truth",
            Arc::new(rows.iter().map(|row| row.2).collect::<BooleanArray>()),
        ),
        ("short", Arc::new(short)),
    ])
}

fn wanted(rows: &[Row]) -> Vec<String> {
    rows.iter()
        .map(|(text, number, truth, short)| expected(&[json!(text), json!(number), json!(truth), json!(short)]))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn ids_are_those_of_other_code_in_any_order_chunking_and_duplication(
        rows in rows(),
        order in vec(any::<Index>(), 0..80),
        cuts in vec(any::<Index>(), 0..5),
    ) {
        // Any rows in any order, some of them several times, some not at all.
        let shuffled: Vec<Row> = if rows.is_empty() { rows } else {
            order.iter().map(|index| index.get(&rows).clone()).collect()
        };
        let whole = arrays(&shuffled);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(shuffled.len() + 1)).collect();
        cuts.extend([0, shuffled.len()]);
        cuts.sort_unstable();
        let chunks: Vec<RecordBatch> = cuts.windows(2).map(|cut| whole.slice(cut[0], cut[1] - cut[0])).collect();
        let table = table(vec![identity("id", &["text", "number", "truth", "short"])]);
        let made = silver(&table, &chunks);
        prop_assert_eq!(made.accepted_rows, shuffled.len() as u64);
        prop_assert_eq!(texts(&made.accepted, "id"), wanted(&shuffled));
    }

    #[test]
    fn columns_pass_through_untouched(rows in rows()) {
        let given = arrays(&rows);
        let made = silver(&table(vec![identity("id", &["short"])]), std::slice::from_ref(&given));
        let read = batches(&made.accepted);
        prop_assert_eq!(read.len(), usize::from(!rows.is_empty()));
        for read in read {
            prop_assert_eq!(read.columns()[..4].to_vec(), given.columns().to_vec());
        }
    }
}
