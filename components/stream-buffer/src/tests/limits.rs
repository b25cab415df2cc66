//! Every limit has an error of its own, and memory stays in bounds.

use super::*;
use crate::Error;

fn refusal(buffer: &mut Buffer, stream: Vec<u8>) -> String {
    match buffer.offer(stream) {
        Err(Error::BadBatch(text) | Error::Other(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn with_column(name: &str, column: ArrayRef) -> Vec<u8> {
    let plain = record_batch(&[Row::new("a", None, "um"), Row::new("a", None, "um")]);
    let columns = plain.schema_ref().fields().iter().zip(plain.columns());
    let columns = columns.map(|(field, old)| {
        let column = if field.name() == name { &column } else { old };
        (field.name().clone(), Arc::clone(column), true)
    });
    ipc(&[RecordBatch::try_from_iter_with_nullable(columns).unwrap()])
}

#[test]
fn columns_of_another_type_or_with_wrong_values_are_refused_by_name() {
    let mut buffer = Buffer::default();
    let bytes = |values: [Option<u8>; 2]| -> ArrayRef { Arc::new(UInt8Array::from(values.to_vec())) };
    let text = |values: [Option<&str>; 2]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let long = "x".repeat(1026);
    for (name, column, why) in [
        ("stream", bytes([Some(1), Some(2)]), "is of UInt8, not Utf8"),
        ("stream", text([Some("a"), None]), "1 nulls"),
        ("stream", text([Some("a"), Some(&*long)]), "1026 bytes"),
        ("sequence", bytes([Some(1), Some(2)]), "not UInt64"),
        ("priority", bytes([Some(0), Some(5)]), "has a 5; 4 is the most"),
        ("priority", bytes([Some(0), None]), "1 nulls"),
        ("tier", bytes([None, Some(4)]), "has a 4; 3 is the most"),
        ("tier", text([None, Some("D0")]), "not UInt8"),
        ("token", bytes([None, Some(4)]), "not Utf8"),
    ] {
        let text = refusal(&mut buffer, with_column(name, column));
        assert!(text.contains(why), "{text}");
        assert!(text.contains(name) || why.contains("1026"), "{text}");
    }
    assert_eq!(buffer.totals().offered, 0);
}

#[test]
fn a_missing_or_doubled_column_is_refused_by_name() {
    let mut buffer = Buffer::default();
    let plain = record_batch(&[Row::new("a", None, "um")]);
    for name in ["stream", "sequence", "priority", "tier", "token"] {
        let place = plain.schema_ref().index_of(name).unwrap();
        let mut without = plain.clone();
        without.remove_column(place);
        assert!(refusal(&mut buffer, ipc(&[without])).contains(name));
        let fields = plain.schema_ref().fields().iter().cloned();
        let fields: Vec<_> = fields.chain([plain.schema_ref().fields()[place].clone()]).collect();
        let columns: Vec<_> = plain.columns().iter().chain([plain.column(place)]).cloned().collect();
        let doubled = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let text = refusal(&mut buffer, ipc(&[doubled]));
        assert!(text.contains("several") && text.contains(name), "{text}");
    }
}

#[test]
fn types_with_parts_and_dictionaries_are_refused() {
    let mut buffer = Buffer::default();
    let list = arrow_array::ListArray::from_iter_primitive::<UInt8Type, _, _>([Some([Some(1)]), None]);
    let views = arrow_array::StringViewArray::from(vec!["a", "b"]);
    let dictionary = arrow_array::DictionaryArray::<arrow_array::types::Int32Type>::from_iter(["a", "b"]);
    let columns: [ArrayRef; 3] = [Arc::new(list), Arc::new(views), Arc::new(dictionary)];
    for column in columns {
        let text = refusal(&mut buffer, with_column("payload", column));
        assert!(text.contains("payload") && text.contains("not taken"), "{text}");
    }
}

#[test]
fn only_so_many_streams_are_kept_and_idle_ones_are_forgotten_first() {
    let mut buffer = Buffer::new(settings(&[("streams-max", "2")]));
    let one = |buffer: &mut Buffer, name: &str| buffer.offer(batch(&[Row::new(name, None, "")]));
    one(&mut buffer, "a").unwrap();
    one(&mut buffer, "b").unwrap();
    assert_eq!(one(&mut buffer, "c"), Err(Error::TooManyStreams(2)));
    let pulled = buffer.pull(1, u64::MAX).unwrap();
    buffer.acknowledge(pulled.up_to).unwrap();
    one(&mut buffer, "c").unwrap();
    // `b` went on; `a` was forgotten, and cannot come back yet.
    assert_eq!(one(&mut buffer, "b").unwrap().assigned, [1]);
    assert_eq!(one(&mut buffer, "a"), Err(Error::TooManyStreams(2)));
}

#[test]
fn a_few_events_out_of_a_large_batch_do_not_keep_it_in_memory() {
    let mut buffer = Buffer::new(settings(&[("buffer-events", "10")]));
    let mut rows: Vec<Row> = (0..2_000).map(|_| Row::new("a", None, "x").at(4)).collect();
    for row in &mut rows {
        row.payload = Some("y".repeat(500));
    }
    assert_eq!(buffer.offer(batch(&rows)).unwrap().kept, 10);
    let held: usize = buffer.queue.iter().map(|held| held.batch.get_array_memory_size()).sum();
    assert!(held < 20_000, "{held} bytes for ten events");
}

#[test]
fn only_so_many_different_schemas_are_held() {
    let mut buffer = Buffer::default();
    let plain = record_batch(&[Row::new("a", None, "um")]);
    let named = |number: usize| {
        let metadata = [("number".to_owned(), number.to_string())].into();
        let schema = Schema::new_with_metadata(plain.schema_ref().fields().clone(), metadata);
        ipc(&[plain
            .clone()
            .with_schema(Arc::new(schema))
            .unwrap_or_else(|_| panic!("the same fields"))])
    };
    for number in 0..64 {
        buffer.offer(named(number)).unwrap();
    }
    assert!(refusal(&mut buffer, named(64)).contains("64 different schemas"));
    let pulled = buffer.pull(1, u64::MAX).unwrap();
    buffer.acknowledge(pulled.up_to).unwrap();
    assert_eq!(buffer.offer(named(64)).unwrap().kept, 1);
}

#[test]
fn a_schema_with_too_much_text_or_too_many_columns_is_refused() {
    let mut buffer = Buffer::default();
    let plain = record_batch(&[Row::new("a", None, "um")]);
    let metadata = [("long".to_owned(), "x".repeat(70_000))].into();
    let schema = Schema::new_with_metadata(plain.schema_ref().fields().clone(), metadata);
    let text = refusal(&mut buffer, ipc(&[RecordBatch::new_empty(Arc::new(schema))]));
    assert!(text.contains("names and metadata"), "{text}");
    let columns = (0..300).map(|place| (place.to_string(), Arc::new(UInt8Array::from(vec![1])) as ArrayRef));
    let text = refusal(&mut buffer, ipc(&[RecordBatch::try_from_iter(columns).unwrap()]));
    assert!(text.contains("300 columns"), "{text}");
}

#[test]
fn a_used_buffer_is_not_started_anew() {
    let mut buffer = Buffer::default();
    buffer.start(settings(&[("buffer-events", "5")])).unwrap();
    assert_eq!(buffer.pressure().max.events, 5);
    buffer.offer(batch(&[Row::new("a", None, "")])).unwrap();
    assert!(buffer.start(Settings::default()).is_err());
    assert_eq!(buffer.complaint(), None);
    let rows: Vec<Row> = (0..9).map(|_| Row::new("a", None, "").at(4)).collect();
    buffer.offer(batch(&rows)).unwrap();
    assert!(buffer.complaint().unwrap().contains("5 of 5 events"));
}
