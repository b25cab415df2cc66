//! Pulling, acknowledging, going back.

use arrow_array::Int64Array;

use super::*;
use crate::Error;

fn numbered(count: u64) -> Vec<Row> {
    (0..count).map(|number| Row::new("a", Some(number), "t")).collect()
}

fn numbers(stream: &[u8]) -> Vec<u64> {
    rows(stream).iter().map(|row| row.sequence.unwrap()).collect()
}

#[test]
fn what_is_pulled_stays_until_it_is_acknowledged() {
    let mut buffer = Buffer::default();
    buffer.offer(batch(&numbered(5))).unwrap();
    buffer.offer(batch(&numbered(5))).unwrap();
    let first = buffer.pull(3, u64::MAX).unwrap();
    assert_eq!((numbers(&first.batch), first.up_to), (vec![0, 1, 2], 3));
    let second = buffer.pull(4, u64::MAX).unwrap();
    assert_eq!((numbers(&second.batch), second.up_to), (vec![3, 4, 0, 1], 7));
    assert_eq!(buffer.pressure().held.events, 10);
    buffer.acknowledge(first.up_to).unwrap();
    assert_eq!(buffer.pressure().held.events, 7);
    buffer.rewind();
    assert_eq!(
        numbers(&buffer.pull(100, u64::MAX).unwrap().batch),
        [3, 4, 0, 1, 2, 3, 4]
    );
    buffer.acknowledge(10).unwrap();
    assert_eq!(buffer.pressure().held, crate::Amount::default());
    let nothing = buffer.pull(1, 1).unwrap();
    assert_eq!((nothing.events, nothing.up_to, nothing.batch.len()), (0, 10, 0));
}

#[test]
fn only_what_was_pulled_can_be_acknowledged() {
    let mut buffer = Buffer::default();
    buffer.offer(batch(&numbered(5))).unwrap();
    buffer.pull(2, u64::MAX).unwrap();
    assert!(matches!(buffer.acknowledge(3), Err(Error::NotPulled(text)) if text.contains("up to 2")));
    buffer.acknowledge(2).unwrap();
    // What was acknowledged already may be so again.
    buffer.acknowledge(1).unwrap();
    assert_eq!(buffer.pressure().held.events, 3);
    buffer.pull(2, u64::MAX).unwrap();
    buffer.rewind();
    assert!(matches!(buffer.acknowledge(4), Err(Error::NotPulled(_))));
}

#[test]
fn a_pull_is_about_as_large_as_was_asked_and_never_empty() {
    let mut buffer = Buffer::default();
    buffer.offer(batch(&numbered(10))).unwrap();
    let one = buffer.pressure().held.size_bytes / 10;
    assert_eq!(buffer.pull(100, 3 * one).unwrap().events, 3);
    assert_eq!(buffer.pull(100, 3 * one - 1).unwrap().events, 2);
    assert_eq!(buffer.pull(100, 0).unwrap().events, 1);
    assert_eq!(buffer.pull(0, u64::MAX).unwrap().events, 1);
}

#[test]
fn events_of_different_schemas_come_in_different_pulls() {
    let mut buffer = Buffer::default();
    let plain = record_batch(&numbered(2));
    let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
    for (field, column) in plain.schema_ref().fields().iter().zip(plain.columns()) {
        columns.push((field.name().clone(), Arc::clone(column), true));
    }
    columns.push(("more".to_owned(), Arc::new(Int64Array::from(vec![1, 2])), true));
    let wide = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    for batch in [&plain, &wide, &wide, &plain] {
        buffer.offer(ipc(std::slice::from_ref(batch))).unwrap();
    }
    let pulled: Vec<u64> = (0..4).map(|_| buffer.pull(100, u64::MAX).unwrap().events).collect();
    assert_eq!(pulled, [2, 4, 2, 0]);
}

#[test]
fn events_that_come_one_by_one_are_joined() {
    let mut buffer = Buffer::default();
    for row in numbered(3000) {
        buffer.offer(batch(&[row])).unwrap();
    }
    assert!(buffer.queue.iter().count() < 30, "{}", buffer.queue.iter().count());
    let all: Vec<u64> = drain(&mut buffer).iter().map(|row| row.sequence.unwrap()).collect();
    assert_eq!(all, (0..3000).collect::<Vec<_>>());
}

#[test]
fn columns_without_a_meaning_pass_through_untouched() {
    let rows = numbered(3);
    let plain = record_batch(&rows);
    let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
    for (field, column) in plain.schema_ref().fields().iter().zip(plain.columns()) {
        columns.push((field.name().clone(), Arc::clone(column), true));
    }
    let extra: [ArrayRef; 6] = [
        Arc::new(arrow_array::BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(arrow_array::Float64Array::from(vec![
            Some(1.5),
            None,
            Some(f64::NEG_INFINITY),
        ])),
        Arc::new(arrow_array::LargeBinaryArray::from(vec![
            Some(b"x".as_slice()),
            None,
            Some(b""),
        ])),
        Arc::new(arrow_array::TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("+01:00")),
        Arc::new(arrow_array::FixedSizeBinaryArray::from(vec![b"ab", b"cd", b"ef"])),
        Arc::new(arrow_array::NullArray::new(3)),
    ];
    for (place, column) in extra.into_iter().enumerate() {
        columns.push((format!("extra-{place}"), column, true));
    }
    let wide = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let mut buffer = Buffer::default();
    buffer.offer(ipc(std::slice::from_ref(&wide))).unwrap();
    let pulled = buffer.pull(100, u64::MAX).unwrap();
    let mut reader = StreamReader::try_new(&*pulled.batch, None).unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), wide);
    assert!(reader.next().is_none());
}
