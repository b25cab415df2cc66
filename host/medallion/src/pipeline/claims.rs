//! Whether what a component says of rows can be: its answers are held against the rows it was given.

use std::panic::catch_unwind;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type, UInt8Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, ArrowNativeTypeOp as _, ArrowPrimitiveType, BooleanArray, PrimitiveArray, RecordBatch, StringArray,
};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;

use super::decided::texts;
use super::ipc;

/// The characters of an id.
const ID_CHARS: i32 = 36;

/// Reads the rows of an answer.
pub(crate) fn read(stream: Vec<u8>) -> Result<RecordBatch, String> {
    // Arrow's reader takes a stream's shape on trust and panics where that is wrong, and a component may write anything.
    catch_unwind(|| ipc::read(Bytes::from(stream))).unwrap_or_else(|_| Err("its batch has no shape".into()))
}

/// The columns of this schema, which an answer must have; others are left out.
pub(crate) fn columns(answer: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let column = |name: &String| answer.column_by_name(name).map(ArrayRef::clone);
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field.name()).ok_or_else(|| format!("its batch has no column {}", field.name())))
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| error.to_string())
}

/// Passes when these are our rows, each with all its values, in our order. The answer may have more columns.
pub(crate) fn same(ours: &RecordBatch, theirs: &RecordBatch) -> Result<(), String> {
    if ours.num_rows() != theirs.num_rows() {
        return Err(format!(
            "{} rows are right, it gave {}",
            ours.num_rows(),
            theirs.num_rows()
        ));
    }
    for (field, ours) in ours.schema_ref().fields().iter().zip(ours.columns()) {
        let theirs = theirs.column_by_name(field.name());
        if theirs.is_none_or(|theirs| !alike(ours, theirs) && ours.as_ref() != theirs.as_ref()) {
            return Err(format!("the column {} is not what it was given", field.name()));
        }
    }
    Ok(())
}

/// Whether two columns are the same byte for byte, as they are unless what stands under a null differs: that is known in a
/// third of the time that comparing their values takes.
fn alike(ours: &ArrayRef, theirs: &ArrayRef) -> bool {
    if ours.data_type() != theirs.data_type() || ours.nulls() != theirs.nulls() {
        return false;
    }
    if let (Some(ours), Some(theirs)) = (ours.as_string_opt::<i32>(), theirs.as_string_opt::<i32>()) {
        return same_texts(ours, theirs).unwrap_or(false);
    }
    ours.data_type().is_primitive() && ours.to_data().buffers() == theirs.to_data().buffers()
}

fn same_texts(ours: &StringArray, theirs: &StringArray) -> Option<bool> {
    let (our_offsets, their_offsets) = (ours.value_offsets(), theirs.value_offsets());
    let (from, to) = (*our_offsets.first()?, *our_offsets.last()?);
    let (their_from, their_to) = (*their_offsets.first()?, *their_offsets.last()?);
    let place = |offset: i32| usize::try_from(offset).ok();
    let data = ours.value_data().get(place(from)?..place(to)?)?;
    let their_data = theirs.value_data().get(place(their_from)?..place(their_to)?)?;
    let moved = their_from.wrapping_sub(from);
    let same_ends = |(end, their_end): (&i32, &i32)| end.wrapping_add(moved) == *their_end;
    Some(data == their_data && our_offsets.iter().zip(their_offsets).all(same_ends))
}

/// Which of our rows these are, by the values in these columns: some of them, in our order. Of rows that say the same the
/// first ones are taken.
pub(crate) fn among<'a>(
    ours: &RecordBatch,
    theirs: &RecordBatch,
    columns: impl IntoIterator<Item = &'a str>,
) -> Result<BooleanArray, String> {
    let columns = columns.into_iter().map(|name| pair(ours, theirs, name));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let mut found = BooleanBufferBuilder::new(ours.num_rows());
    let mut next = 0;
    for row in 0..ours.num_rows() {
        let is_next = next < theirs.num_rows() && columns.iter().all(|same| same(row, next));
        found.append(is_next);
        next += usize::from(is_next);
    }
    if next < theirs.num_rows() {
        return Err("it gave rows that it was not given, or not in their order".into());
    }
    Ok(BooleanArray::new(found.finish(), None))
}

/// Passes when every row has an id of the right length here.
pub(crate) fn ids(rows: &RecordBatch, column: &str) -> Result<(), String> {
    let offsets = texts(rows, column)?.value_offsets();
    let mut lengths = offsets.iter().zip(offsets.iter().skip(1)).map(|(from, to)| to - from);
    if lengths.all(|chars| chars == ID_CHARS) {
        Ok(())
    } else {
        Err(format!("the column {column} has texts that are no ids"))
    }
}

/// Whether a row of ours has the value in a column that a row of theirs has.
type Same<'a> = Box<dyn Fn(usize, usize) -> bool + 'a>;

fn pair<'a>(ours: &'a RecordBatch, theirs: &'a RecordBatch, name: &str) -> Result<Same<'a>, String> {
    let missing = || format!("it gave no column {name} of the right type");
    let (ours, theirs) = (ours.column_by_name(name), theirs.column_by_name(name));
    let (ours, theirs) = ours.zip(theirs).ok_or_else(missing)?;
    let found = match ours.data_type() {
        DataType::Utf8 => {
            let both = ours.as_string_opt::<i32>().zip(theirs.as_string_opt::<i32>());
            both.map(|(ours, theirs)| {
                both_null_or(ours, theirs, move |row, other| ours.value(row) == theirs.value(other))
            })
        }
        DataType::UInt8 => numbers::<UInt8Type>(ours, theirs),
        DataType::UInt64 => numbers::<UInt64Type>(ours, theirs),
        DataType::Int64 => numbers::<Int64Type>(ours, theirs),
        DataType::Float64 => numbers::<Float64Type>(ours, theirs),
        _ => None,
    };
    found.ok_or_else(missing)
}

fn numbers<'a, T: ArrowPrimitiveType>(ours: &'a ArrayRef, theirs: &'a ArrayRef) -> Option<Same<'a>> {
    let (ours, theirs): (&PrimitiveArray<T>, &PrimitiveArray<T>) =
        (ours.as_primitive_opt()?, theirs.as_primitive_opt()?);
    Some(both_null_or(ours, theirs, move |row, other| {
        ours.value(row).is_eq(theirs.value(other))
    }))
}

fn both_null_or<'a>(ours: &'a dyn Array, theirs: &'a dyn Array, equal: impl Fn(usize, usize) -> bool + 'a) -> Same<'a> {
    Box::new(move |row, other| match (ours.is_valid(row), theirs.is_valid(other)) {
        (true, true) => equal(row, other),
        (ours, theirs) => ours == theirs,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, UInt8Array, UInt64Array};
    use arrow_schema::{Field, Schema};
    use arrow_select::concat::concat_batches;

    use super::*;

    /// Rows with these numbers, every third without a text.
    fn rows(numbers: &[u64]) -> RecordBatch {
        let text = |number: &u64| (!number.is_multiple_of(3)).then(|| format!("text {number}"));
        let columns: [(&str, ArrayRef); 4] = [
            (
                "number",
                Arc::new(UInt64Array::from_iter_values(numbers.iter().copied())),
            ),
            ("text", Arc::new(numbers.iter().map(text).collect::<StringArray>())),
            (
                "small",
                Arc::new(
                    numbers
                        .iter()
                        .map(|n| n.is_multiple_of(2).then_some(7))
                        .collect::<UInt8Array>(),
                ),
            ),
            (
                "share",
                Arc::new(Float64Array::from_iter_values(
                    numbers.iter().map(|n| if *n == 4 { f64::NAN } else { 0.5 }),
                )),
            ),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn picked(ours: &[u64], theirs: &[u64]) -> Option<Vec<bool>> {
        let (ours, theirs) = (rows(ours), rows(theirs));
        let mask = among(&ours, &theirs, ["number", "text", "small", "share"]).ok()?;
        Some(mask.values().iter().collect())
    }

    #[test]
    fn the_same_rows_are_the_same_however_they_lie_in_memory() {
        let ours = rows(&[1, 2, 3, 4, 5, 6]);
        let moved = concat_batches(&ours.schema(), [&rows(&[8, 9]), &ours])
            .unwrap()
            .slice(2, 6);
        same(&ours, &moved).unwrap();
        same(&ours.slice(1, 4), &moved.slice(1, 4)).unwrap();
        same(&ours.slice(0, 0), &moved.slice(3, 0)).unwrap();
    }

    #[test]
    fn what_stands_under_a_null_does_not_count() {
        let column = |under: u64| -> ArrayRef {
            Arc::new(UInt64Array::new(vec![1, under].into(), Some(vec![true, false].into())))
        };
        let batch = |under| RecordBatch::try_from_iter_with_nullable([("number", column(under), true)]).unwrap();
        same(&batch(5), &batch(6)).unwrap();
    }

    #[test]
    fn a_row_that_is_changed_moved_missing_or_there_twice_is_not_the_same() {
        let ours = rows(&[1, 2, 3, 4]);
        for theirs in [
            &[1, 2, 3, 5][..],
            &[2, 1, 3, 4],
            &[1, 2, 3],
            &[1, 1, 3, 4],
            &[1, 2, 3, 4, 4],
        ] {
            assert!(same(&ours, &rows(theirs)).is_err(), "{theirs:?}");
        }
        let other_type: ArrayRef = Arc::new(StringArray::from(vec!["1", "2", "3", "4"]));
        let other_type = RecordBatch::try_from_iter_with_nullable([("number", other_type, true)]).unwrap();
        assert!(same(&ours, &other_type).is_err());
    }

    #[test]
    fn some_of_the_rows_are_found_in_their_order_alone() {
        assert_eq!(picked(&[1, 2, 3, 4], &[2, 4]), Some(vec![false, true, false, true]));
        assert_eq!(picked(&[1, 2, 2, 3], &[2, 3]), Some(vec![false, true, false, true]));
        assert_eq!(picked(&[1, 2], &[]), Some(vec![false, false]));
        for theirs in [&[4, 2][..], &[5], &[2, 2], &[1, 2, 3, 4, 5]] {
            assert_eq!(picked(&[1, 2, 3, 4], theirs), None, "{theirs:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_batch_are_a_reason_and_no_panic() {
        let good = ipc::write(&rows(&[1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
        for place in 0..good.len() {
            for bit in [1, 0x10, 0x80] {
                let mut bytes = good.clone();
                bytes[place] ^= bit;
                // Values may be others; what matters is that it comes back.
                let _ = read(bytes);
            }
            let _ = read(good[..place].to_vec());
        }
        assert!(read(vec![]).is_err());
    }

    #[test]
    fn an_id_has_thirty_six_characters() {
        let batch = |id: &str| {
            let column: ArrayRef = Arc::new(StringArray::from(vec!["66414f78-2e4e-50fd-96f9-b93b0883f928", id]));
            RecordBatch::try_from_iter([("id", column)]).unwrap()
        };
        ids(&batch("66414f78-2e4e-50fd-96f9-b93b0883f929"), "id").unwrap();
        assert!(ids(&batch(""), "id").is_err());
        assert!(ids(&batch("x"), "other").is_err());
    }

    #[test]
    fn columns_that_are_missing_or_of_another_type_are_named() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("number", DataType::UInt64, true)]));
        assert_eq!(columns(&rows(&[1]), &schema).unwrap().num_columns(), 1);
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("other", DataType::UInt64, true)]));
        assert!(columns(&rows(&[1]), &schema).unwrap_err().contains("other"));
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("text", DataType::UInt64, true)]));
        assert!(columns(&rows(&[1]), &schema).is_err());
    }
}
