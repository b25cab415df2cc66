//! Bytes from anyone: an error or a batch, never a panic.

use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int64Array,
    LargeStringArray, NullArray, TimestampNanosecondArray,
};
use proptest::prelude::*;

use super::*;
use crate::Error;

/// Columns of every layout, with nulls, in two record batches.
fn rich() -> Vec<u8> {
    let rows: Vec<Row> = (0..20)
        .map(|row| Row {
            stream: format!("stream-{}", row / 7),
            sequence: (row % 3 != 0).then_some(row),
            priority: (row % 5) as u8,
            tier: (row % 4 != 3).then_some((row % 4) as u8),
            token: (row % 6 != 0).then(|| "um".to_owned()),
            payload: (row % 2 == 0).then(|| "é".repeat(row as usize)),
        })
        .collect();
    let plain = record_batch(&rows);
    let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
    for (field, column) in plain.schema_ref().fields().iter().zip(plain.columns()) {
        columns.push((field.name().clone(), Arc::clone(column), true));
    }
    let some = |row: usize| (row % 3 != 1).then_some(row);
    let numbers: Vec<Option<i64>> = (0..20).map(|row| some(row).map(|row| row as i64)).collect();
    let text: Vec<Option<String>> = (0..20).map(|row| some(row).map(|row| row.to_string())).collect();
    let decimals: Decimal128Array = numbers.iter().map(|number| number.map(i128::from)).collect();
    let days: Date32Array = numbers
        .iter()
        .map(|number| number.map(|number| number as i32))
        .collect();
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        numbers.iter().map(|number| number.map(i64::to_be_bytes)),
        8,
    );
    let extra: [ArrayRef; 9] = [
        Arc::new(
            numbers
                .iter()
                .map(|number| number.map(|number| number > 3))
                .collect::<BooleanArray>(),
        ),
        Arc::new(numbers.iter().copied().collect::<Int64Array>()),
        Arc::new(
            numbers
                .iter()
                .map(|number| number.map(|number| number as f64))
                .collect::<Float64Array>(),
        ),
        Arc::new(text.iter().map(Option::as_deref).collect::<LargeStringArray>()),
        Arc::new(
            text.iter()
                .map(|text| text.as_ref().map(String::as_bytes))
                .collect::<BinaryArray>(),
        ),
        Arc::new(
            numbers
                .iter()
                .copied()
                .collect::<TimestampNanosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(decimals),
        Arc::new(days),
        Arc::new(fixed.unwrap()),
    ];
    for (place, column) in extra.into_iter().enumerate() {
        columns.push((format!("extra-{place}"), column, true));
    }
    columns.push(("nothing".to_owned(), Arc::new(NullArray::new(20)), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    ipc(&[batch.slice(0, 13), batch.slice(13, 7)])
}

/// Offers the bytes; what is taken must also come out, and go into and out of a snapshot.
fn survives(bytes: Vec<u8>) -> bool {
    let mut buffer = Buffer::new(settings(&[("buffer-events", "30")]));
    for _ in 0..3 {
        match buffer.offer(bytes.clone()) {
            Ok(admission) => {
                assert_eq!(admission.offered, admission.kept + shed(&admission) + admission.refused);
            }
            Err(Error::BadBatch(_) | Error::TooLarge { .. }) => return false,
            Err(other) => panic!("{other:?}"),
        }
    }
    let state = buffer.export_state().unwrap();
    Buffer::default().import_state(1, &state).unwrap();
    while buffer.pull(7, u64::MAX).unwrap().events > 0 {}
    true
}

#[test]
fn columns_of_every_layout_go_through() {
    assert!(survives(rich()));
}

#[test]
fn a_stream_cut_anywhere_is_an_error_or_ends_between_messages() {
    let whole = rich();
    for length in 0..whole.len() {
        survives(whole[..length].to_vec());
    }
    assert!(!survives(Vec::new()));
}

#[test]
fn every_byte_may_be_wrong_by_itself() {
    let whole = rich();
    for place in 0..whole.len() {
        for wrong in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            if bytes[place] != wrong {
                bytes[place] = wrong;
                survives(bytes);
            }
        }
    }
}

#[test]
fn what_follows_the_end_is_an_error() {
    let mut bytes = rich();
    bytes.extend(rich());
    assert!(!survives(bytes));
}

#[test]
fn a_length_that_no_memory_holds_is_an_error() {
    for length in [i32::MAX.cast_unsigned(), u32::MAX, u32::MAX - 1] {
        let mut bytes = vec![0xff; 4];
        bytes.extend(length.to_le_bytes());
        bytes.extend([0; 64]);
        assert!(!survives(bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_no_batch(bytes: Vec<u8>) {
        prop_assert!(!survives(bytes));
    }

    #[test]
    fn many_bytes_may_be_wrong_together(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = rich();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        survives(bytes);
    }

    #[test]
    fn words_may_be_wrong_as_lengths_and_offsets_are(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<i64>(), -4_i64..40, Just(i64::MAX), Just(i64::MIN)]), 1..4),
    ) {
        let mut bytes = rich();
        for (place, word) in changes {
            let place = place.index(bytes.len() / 8 - 1) * 8;
            bytes[place..place + 8].copy_from_slice(&word.to_le_bytes());
        }
        survives(bytes);
    }
}
