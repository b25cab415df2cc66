//! Rows: which are accepted, which are duplicates, which are rejected, and that none is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray, StringViewArray, UInt64Array};
use arrow_buffer::ScalarBuffer;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use serde_json::json;

use super::kit::{batch, batches, expected, identity, silver, stream, table, texts};
use crate::{Deduplication, Error, ID_NAME_BYTES_MAX, Identity, Survivor, Table, transform};

fn deduplicated(keep: Survivor) -> Table {
    Table {
        deduplicate: Some(Deduplication {
            column: "id".into(),
            keep,
        }),
        ..table(vec![identity("id", &["key"])])
    }
}

/// A key, and a number that tells rows apart and may rank them.
fn rows(rows: &[(Option<&str>, Option<i64>)]) -> RecordBatch {
    let keys: StringArray = rows.iter().map(|row| row.0).collect();
    let numbers: Int64Array = rows.iter().map(|row| row.1).collect();
    batch(vec![("key", Arc::new(keys) as ArrayRef), ("number", Arc::new(numbers))])
}

fn numbers(stream: &[u8]) -> Vec<Option<i64>> {
    batches(stream)
        .iter()
        .flat_map(|batch| {
            batch
                .column_by_name("number")
                .unwrap()
                .as_primitive::<Int64Type>()
                .clone()
                .iter()
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn of_rows_with_one_id_the_first_stays_in_its_place() {
    let given = rows(&[
        (Some("a"), Some(3)),
        (Some("b"), Some(2)),
        (Some("a"), Some(1)),
        (None, Some(4)),
        (None, None),
    ]);
    let made = silver(&deduplicated(Survivor::First), &[given]);
    assert_eq!((made.accepted_rows, made.duplicates, made.rejected_rows), (3, 2, 0));
    assert_eq!(numbers(&made.accepted), [Some(3), Some(2), Some(4)]);
    assert_eq!(
        texts(&made.accepted, "id"),
        [json!("a"), json!("b"), json!(null)].map(|key| expected(&[key]))
    );
    assert!(made.rejected.is_empty());
}

#[test]
fn the_smallest_stays_wherever_it_stands_and_null_is_larger_than_all() {
    let first = rows(&[(Some("a"), None), (Some("b"), Some(i64::MAX)), (Some("c"), None)]);
    let second = rows(&[
        (Some("a"), Some(5)),
        (Some("b"), None),
        (Some("a"), Some(-5)),
        (Some("c"), None),
    ]);
    let made = silver(&deduplicated(Survivor::Smallest("number".into())), &[first, second]);
    assert_eq!(numbers(&made.accepted), [Some(i64::MAX), None, Some(-5)]);
    assert_eq!(made.duplicates, 4);
}

#[test]
fn unsigned_numbers_rank_by_their_whole_width() {
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "a", "a"]));
    let ranks: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1 << 63, (1 << 63) + 1]));
    let made = silver(
        &deduplicated(Survivor::Smallest("rank".into())),
        &[batch(vec![("key", keys), ("rank", ranks)])],
    );
    let kept = batches(&made.accepted);
    assert_eq!(
        kept[0]
            .column(1)
            .as_primitive::<arrow_array::types::UInt64Type>()
            .values(),
        &[1 << 63]
    );
}

#[test]
fn a_null_in_a_required_column_goes_to_the_rejects_with_the_reason() {
    let table = Table {
        required: vec!["number".into(), "key".into()],
        ..deduplicated(Survivor::First)
    };
    let given = rows(&[
        (Some("a"), None),
        (Some("a"), Some(1)),
        (None, Some(2)),
        (None, None),
        (Some("a"), Some(3)),
    ]);
    let made = silver(&table, &[given]);
    assert_eq!(
        (made.rows, made.accepted_rows, made.duplicates, made.rejected_rows),
        (5, 1, 1, 3)
    );
    assert_eq!(numbers(&made.accepted), [Some(1)]);
    assert_eq!(numbers(&made.rejected), [None, Some(2), None]);
    assert_eq!(
        texts(&made.rejected, "reject_reason"),
        [
            "the column \"number\" is null",
            "the column \"key\" is null",
            "the column \"number\" is null"
        ]
    );
}

#[test]
fn keys_that_are_too_long_reject_the_row_and_no_other() {
    let long = "x".repeat(ID_NAME_BYTES_MAX - 3);
    let fits = "x".repeat(ID_NAME_BYTES_MAX - 4);
    let given = rows(&[(Some("a"), Some(1)), (Some(&long), Some(2)), (Some(&fits), Some(3))]);
    let made = silver(&table(vec![identity("id", &["key"])]), &[given]);
    assert_eq!(numbers(&made.accepted), [Some(1), Some(3)]);
    assert_eq!(
        texts(&made.accepted, "id"),
        [json!("a"), json!(fits)].map(|key| expected(&[key]))
    );
    assert_eq!(
        texts(&made.rejected, "reject_reason"),
        ["the keys of \"id\" take more than 1048576 bytes"]
    );
}

#[test]
fn an_empty_batch_gives_a_stream_with_a_schema_and_no_rows() {
    let made = silver(&deduplicated(Survivor::First), &[rows(&[])]);
    assert_eq!((made.rows, made.accepted_rows), (0, 0));
    assert!(batches(&made.accepted).is_empty() && made.rejected.is_empty());
}

#[test]
fn what_was_accepted_is_accepted_again_with_the_same_ids() {
    let given = rows(&[(Some("a"), Some(3)), (Some("b"), Some(2)), (Some("a"), Some(1))]);
    let table = deduplicated(Survivor::Smallest("number".into()));
    let once = silver(&table, &[given]);
    let kept: Vec<RecordBatch> = batches(&once.accepted)
        .iter()
        .map(|batch| batch.project(&[0, 1]).unwrap())
        .collect();
    let twice = silver(&table, &kept);
    assert_eq!(twice.duplicates, 0);
    assert_eq!(texts(&twice.accepted, "id"), texts(&once.accepted, "id"));
}

#[test]
fn a_table_that_does_not_fit_the_batch_or_itself_is_told_what_would() {
    let given = stream(&[rows(&[(Some("a"), Some(1))])]);
    let id = |column: &str, key: &str| identity(column, &[key]);
    let by = |column: &str, keep| Table {
        deduplicate: Some(Deduplication {
            column: column.into(),
            keep,
        }),
        ..table(vec![id("id", "key")])
    };
    let legacy = Identity {
        legacy_column: Some("id".into()),
        ..id("id", "key")
    };
    let required = Table {
        required: vec!["missing".into()],
        ..table(vec![])
    };
    let wrong = [
        (table(vec![id("id", "missing")]), "no column \"missing\""),
        (table(vec![id("key", "key")]), "has a column \"key\" already"),
        (table(vec![identity("id", &[])]), "no keys"),
        (table(vec![id("", "key")]), "0 bytes"),
        (table(vec![id("id", "key"), id("id", "number")]), "added twice"),
        (table(vec![legacy]), "added twice"),
        (table(vec![id("id", "key"); 17]), "17 ids"),
        (table(vec![identity("id", &["key"; 17])]), "17 keys"),
        (by("other", Survivor::First), "\"other\""),
        (by("id", Survivor::Smallest("key".into())), "integers"),
        (by("id", Survivor::Smallest("missing".into())), "no column"),
        (required, "no column \"missing\""),
    ];
    for (table, text) in wrong {
        let error = transform(&table, given.clone()).unwrap_err();
        assert!(
            matches!(&error, Error::BadTable(told) if told.contains(text)),
            "{error:?} tells nothing of {text:?}"
        );
    }
}

#[test]
fn a_column_that_stands_twice_cannot_be_named() {
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let given = stream(&[batch(vec![("key", keys.clone()), ("key", keys)])]);
    let error = transform(&table(vec![identity("id", &["key"])]), given).unwrap_err();
    assert!(matches!(error, Error::BadTable(text) if text.contains("several")));
}

#[test]
fn views_that_show_one_long_text_a_million_times_are_refused_and_not_written_out() {
    let text = "x".repeat(1 << 20);
    let one = StringViewArray::from(vec![text.as_str()]);
    let views: ScalarBuffer<u128> = std::iter::repeat_n(one.views()[0], 100_000).collect();
    let many = StringViewArray::try_new(views, one.data_buffers().to_vec(), None).unwrap();
    assert_eq!(many.len(), 100_000);
    let error = transform(
        &table(vec![identity("id", &["key"])]),
        stream(&[batch(vec![("key", Arc::new(many) as ArrayRef)])]),
    );
    assert!(matches!(error, Err(Error::BadBatch(text)) if text.contains("smaller batches")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_row_is_accepted_a_duplicate_or_rejected_and_the_right_one_stays(
        given in vec((proptest::option::of("[a-d]{1,2}"), proptest::option::of(-3_i64..3), any::<u32>()), 0..80),
        cut in 0_usize..80,
        smallest in any::<bool>(),
    ) {
        let keys: StringArray = given.iter().map(|row| row.0.as_deref()).collect();
        let ranks: Int64Array = given.iter().map(|row| row.1).collect();
        let numbers_in = Int64Array::from_iter_values((0_i64..).take(given.len()));
        let payload = StringArray::from_iter_values(given.iter().map(|row| row.2.to_string()));
        let whole = batch(vec![
            ("key", Arc::new(keys) as ArrayRef),
            ("rank", Arc::new(ranks)),
            ("number", Arc::new(numbers_in)),
            ("payload", Arc::new(payload)),
        ]);
        let cut = cut.min(given.len());
        let keep = if smallest { Survivor::Smallest("rank".into()) } else { Survivor::First };
        let table = Table { required: vec!["key".into()], ..deduplicated(keep) };
        let made = silver(&table, &[whole.slice(0, cut), whole.slice(cut, given.len() - cut)]);

        let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, (key, rank, _)) in given.iter().enumerate() {
            let Some(key) = key else { continue };
            let order = |rank: Option<i64>| (rank.is_none(), rank);
            let place = kept.entry(key).or_insert(index);
            if smallest && order(*rank) < order(given[*place].1) {
                *place = index;
            }
        }
        let kept: BTreeSet<i64> = kept.values().map(|index| i64::try_from(*index).unwrap()).collect();
        let rejected: Vec<Option<i64>> = (0_i64..).zip(&given).filter(|(_, row)| row.0.is_none()).map(|(index, _)| Some(index)).collect();
        prop_assert_eq!(made.rows, given.len() as u64);
        prop_assert_eq!(numbers(&made.accepted), kept.iter().copied().map(Some).collect::<Vec<_>>());
        prop_assert_eq!(made.accepted_rows, kept.len() as u64);
        prop_assert_eq!(made.rejected_rows, rejected.len() as u64);
        prop_assert_eq!(made.duplicates, given.len() as u64 - made.accepted_rows - made.rejected_rows);
        if rejected.is_empty() {
            prop_assert!(made.rejected.is_empty());
        } else {
            prop_assert_eq!(numbers(&made.rejected), rejected);
        }
        // Every column of a row stays with it, and so does its id.
        for batch in batches(&made.accepted) {
            for row in 0..batch.num_rows() {
                let index = usize::try_from(batch.column(2).as_primitive::<Int64Type>().value(row)).unwrap();
                prop_assert_eq!(batch.column(3).as_string::<i32>().value(row), given[index].2.to_string());
                prop_assert_eq!(batch.column(4).as_string::<i32>().value(row), expected(&[json!(given[index].0)]));
            }
        }
    }
}
