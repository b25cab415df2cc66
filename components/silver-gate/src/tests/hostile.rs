//! Streams made to break the gate: whatever the bytes, the answer is an error or a batch, never a trap.

use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Int32Builder, ListBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, DictionaryArray, FixedSizeBinaryArray, Float32Array,
    Int16Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray, StringViewArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::kit::{batch, batches, identity, silver, stream, table, texts};
use crate::{Deduplication, Error, STREAM_BYTES_MAX, Survivor, Table, transform};

/// A batch with a column of every type that passes through.
fn all_types() -> RecordBatch {
    let mut list = ListBuilder::new(StringBuilder::new());
    let mut pair = FixedSizeListBuilder::new(Int32Builder::new(), 2);
    for row in 0..5 {
        list.append_option((row != 2).then_some([Some("x"), None]));
        pair.values().append_slice(&[row, row + 1]);
        pair.append(row != 3);
    }
    let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4), Some(5)]));
    let text: ArrayRef = Arc::new(StringArray::from(vec![
        Some("a"),
        Some("é"),
        None,
        Some(""),
        Some("\"e\""),
    ]));
    let fields = vec![
        (Arc::new(Field::new("n", DataType::Int64, true)), number.clone()),
        (Arc::new(Field::new("t", DataType::Utf8, true)), text.clone()),
    ];
    let long = "a text too long to lie in a view";
    batch(vec![
        ("text", text),
        ("number", number),
        (
            "large",
            Arc::new(LargeStringArray::from(vec![
                Some("a"),
                None,
                Some("ccc"),
                Some("d"),
                Some(""),
            ])) as ArrayRef,
        ),
        (
            "view",
            Arc::new(StringViewArray::from(vec![
                Some("a"),
                None,
                Some(long),
                Some("d"),
                Some(long),
            ])),
        ),
        (
            "truth",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                None,
                Some(false),
                Some(true),
                None,
            ])),
        ),
        ("nothing", Arc::new(NullArray::new(5))),
        ("small", Arc::new(Int16Array::from(vec![1, 2, 3, 4, 5]))),
        (
            "float",
            Arc::new(Float32Array::from(vec![1.0, 2.0, f32::NAN, 4.0, 5.0])),
        ),
        (
            "time",
            Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3, 4, 5]).with_timezone("UTC")),
        ),
        (
            "money",
            Arc::new(
                Decimal128Array::from(vec![1, 2, 3, 4, 5])
                    .with_precision_and_scale(20, 2)
                    .unwrap(),
            ),
        ),
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![&b"a"[..], b"", b"\xff", b"d", b"e"])),
        ),
        (
            "hash",
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8; 3]; 5].into_iter()).unwrap()),
        ),
        ("list", Arc::new(list.finish())),
        ("pair", Arc::new(pair.finish())),
        ("struct", Arc::new(StructArray::from(fields))),
    ])
}

fn keys_of_all_kinds() -> Table {
    Table {
        deduplicate: Some(Deduplication {
            column: "id".into(),
            keep: Survivor::Smallest("number".into()),
        }),
        required: vec!["small".into(), "struct".into()],
        ..table(vec![
            identity("id", &["text", "number", "large", "view", "truth", "nothing", "small"]),
            identity("other", &["text"]),
        ])
    }
}

#[test]
fn columns_of_every_type_pass_whole_and_in_part() {
    let given = all_types();
    let whole = silver(&keys_of_all_kinds(), std::slice::from_ref(&given));
    assert_eq!(
        batches(&whole.accepted)[0].columns()[..15].to_vec(),
        given.columns().to_vec()
    );
    let part = Table {
        required: vec!["text".into(), "pair".into()],
        ..keys_of_all_kinds()
    };
    let part = silver(&part, &[given.clone(), given.clone()]);
    assert_eq!((part.accepted_rows, part.duplicates, part.rejected_rows), (3, 3, 4));
    let kept = &batches(&part.accepted)[0];
    for (place, column) in given.columns().iter().enumerate() {
        assert_eq!(&kept.column(place).slice(0, 2), &column.slice(0, 2));
        assert_eq!(&kept.column(place).slice(2, 1), &column.slice(4, 1));
    }
    assert_eq!(texts(&part.rejected, "reject_reason").len(), 4);
}

fn refused(given: Vec<u8>, text: &str) {
    let error = transform(&table(vec![]), given).unwrap_err();
    assert!(
        matches!(&error, Error::BadBatch(told) if told.contains(text)),
        "{error:?} tells nothing of {text:?}"
    );
}

#[test]
fn bytes_that_are_no_stream_are_refused() {
    let given = stream(&[all_types()]);
    refused(Vec::new(), "no bytes");
    refused(b"PAR1 something else".to_vec(), "marker");
    refused(vec![0xff; 3], "breaks off");
    refused(vec![0xff; 8], "breaks off");
    refused([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0].to_vec(), "no bytes");
    refused(given[..given.len() - 100].to_vec(), "breaks off");
    refused([given.as_slice(), b"more"].concat(), "behind its end");
}

#[test]
fn a_stream_may_end_without_saying_so() {
    let given = stream(&[all_types()]);
    let made = transform(&table(vec![]), given[..given.len() - 8].to_vec()).unwrap();
    assert_eq!(made.accepted_rows, 5);
}

#[test]
fn dictionaries_and_types_whose_shape_is_not_known_are_refused_by_name() {
    let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    refused(
        stream(&[batch(vec![("word", Arc::new(words) as ArrayRef)])]),
        "\"word\" is a dictionary",
    );
    let ends =
        arrow_array::RunArray::<Int32Type>::try_new(&vec![2, 3].into(), &StringArray::from(vec!["a", "b"])).unwrap();
    refused(
        stream(&[batch(vec![("run", Arc::new(ends) as ArrayRef)])]),
        "\"run\" has a type",
    );
    let depth = (0..40).fold(DataType::Int8, |inner, _| DataType::new_list(inner, true));
    let schema = Schema::new(vec![Field::new("deep", depth, true)]);
    let deep = StreamWriter::try_new(Vec::new(), &schema)
        .unwrap()
        .into_inner()
        .unwrap();
    refused(deep, "deep");
}

#[test]
fn a_stream_beyond_the_limit_is_refused_before_it_is_read() {
    assert_eq!(
        transform(&table(vec![]), vec![0; STREAM_BYTES_MAX + 1]),
        Err(Error::TooLarge {
            bytes: STREAM_BYTES_MAX as u64 + 1,
            bytes_max: STREAM_BYTES_MAX as u64,
        })
    );
}

#[test]
fn rows_without_bytes_are_counted_and_limited() {
    let many = batch(vec![("nothing", Arc::new(NullArray::new(3 << 20)) as ArrayRef)]);
    refused(stream(&[many]), "rows");
}

#[test]
fn a_stream_at_an_odd_place_in_memory_gives_the_same() {
    // A prefix of schema metadata moves the body; the reader copies what does not lie as its type wants.
    let given = all_types();
    let made = silver(&keys_of_all_kinds(), std::slice::from_ref(&given));
    for length in 0..16 {
        let schema = given
            .schema()
            .as_ref()
            .clone()
            .with_metadata([("x".repeat(length), String::new())].into());
        let moved = RecordBatch::try_new(Arc::new(schema), given.columns().to_vec()).unwrap();
        let moved = silver(&keys_of_all_kinds(), &[moved]);
        assert_eq!(texts(&moved.accepted, "id"), texts(&made.accepted, "id"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn random_bytes_are_an_error(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(transform(&keys_of_all_kinds(), bytes).is_ok(), false);
    }

    #[test]
    fn random_bytes_behind_a_valid_schema_are_an_error_or_a_batch(bytes in vec(any::<u8>(), 0..200)) {
        let mut given = stream(&[all_types().slice(0, 0)]);
        given.truncate(given.len() - 8);
        given.extend(bytes);
        let _ = transform(&keys_of_all_kinds(), given);
    }

    #[test]
    fn a_valid_stream_with_some_bytes_changed_is_an_error_or_a_readable_batch(
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut given = stream(&[all_types()]);
        for (place, byte) in changes {
            let place = place.index(given.len());
            given[place] = byte;
        }
        if let Some(cut) = cut {
            given.truncate(cut.index(given.len()));
        }
        changed(given);
    }

    #[test]
    fn a_valid_stream_with_a_changed_number_is_an_error_or_a_readable_batch(
        place in any::<Index>(),
        number in proptest::sample::select(vec![0_u64, 1, 2, 7, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 62, u64::MAX - 8, u64::MAX, 1 << 63]),
        wide in any::<bool>(),
    ) {
        let mut given = stream(&[all_types()]);
        let place = place.index(given.len() / 4 - 1) * 4;
        let bytes = if wide { 8 } else { 4 };
        given[place..place + bytes].copy_from_slice(&number.to_le_bytes()[..bytes]);
        changed(given);
    }
}

/// Whatever becomes of a changed stream: counts add up, and what is written can be read.
fn changed(given: Vec<u8>) {
    let tables = [keys_of_all_kinds(), table(vec![])];
    for table in tables {
        if let Ok(made) = transform(&table, given.clone()) {
            assert_eq!(made.rows, made.accepted_rows + made.duplicates + made.rejected_rows);
            let rows = |stream: &[u8]| batches(stream).iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
            assert_eq!(rows(&made.accepted), made.accepted_rows);
            if made.rejected_rows > 0 {
                assert_eq!(rows(&made.rejected), made.rejected_rows);
            }
        }
    }
}
