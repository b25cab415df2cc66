//! Which column types a stream may have: those that can pass through untouched and whose shape can be checked.

use arrow_ipc::{DateUnit, Endianness, Field, IntervalUnit, Precision, Schema, TimeUnit, Type};

use crate::error::Error;

/// The most fields a schema can have, those inside lists and structs as well.
pub const FIELDS_MAX: usize = 4_096;
/// How deep lists and structs can lie in each other.
const DEPTH_MAX: usize = 16;
/// The widest value of a column of fixed-size binaries, in bytes, and the longest fixed-size list.
const WIDTH_MAX: i32 = 65_536;

/// Whether every field is of a type that can be taken, and described as the format has it.
pub(crate) fn check(schema: Schema<'_>) -> Result<(), Error> {
    if schema.endianness() != Endianness::Little {
        return Err(Error::BadBatch(
            "the numbers are big-endian; little-endian is right".into(),
        ));
    }
    let Some(fields) = schema.fields() else {
        return Err(Error::BadBatch("the schema has no fields".into()));
    };
    let mut count = 0;
    fields.iter().try_for_each(|field| check_field(field, 0, &mut count))
}

fn check_field(field: Field<'_>, depth: usize, count: &mut usize) -> Result<(), Error> {
    let name = field.name().unwrap_or_default();
    let bad = |text: &str| Err(Error::BadBatch(format!("the column {name:?} {text}")));
    *count += 1;
    if *count > FIELDS_MAX {
        return Err(Error::BadBatch(format!("there are more than {FIELDS_MAX} columns")));
    }
    if depth > DEPTH_MAX {
        return bad(&format!("lies more than {DEPTH_MAX} deep"));
    }
    if field.dictionary().is_some() {
        return bad("is a dictionary; cast it to its values first");
    }
    let children = field.children();
    let count_children = children.map_or(0, |children| children.len());
    match nests(field) {
        None => {
            return bad(&format!(
                "has a type that cannot be taken here ({:?})",
                field.type_type()
            ));
        }
        Some(Nests::Not) => return Ok(()),
        Some(Nests::One) if count_children != 1 => return bad("is a list of not exactly one type"),
        Some(Nests::Many) if count_children == 0 => return bad("is a struct without fields"),
        Some(Nests::One | Nests::Many) => {}
    }
    children
        .into_iter()
        .flatten()
        .try_for_each(|child| check_field(child, depth + 1, count))
}

/// How many fields lie in a field.
enum Nests {
    Not,
    One,
    Many,
}

/// None if the type cannot be taken or is described wrongly.
fn nests(field: Field<'_>) -> Option<Nests> {
    let fits = match field.type_type() {
        Type::Struct_ => return Some(Nests::Many),
        Type::List | Type::LargeList => return Some(Nests::One),
        Type::FixedSizeList => {
            let size = field.type_as_fixed_size_list()?.listSize();
            return (1..=WIDTH_MAX).contains(&size).then_some(Nests::One);
        }
        Type::Null
        | Type::Bool
        | Type::Binary
        | Type::LargeBinary
        | Type::BinaryView
        | Type::Utf8
        | Type::LargeUtf8
        | Type::Utf8View => true,
        Type::Int => matches!(field.type_as_int()?.bitWidth(), 8 | 16 | 32 | 64),
        Type::FloatingPoint => {
            let precision = field.type_as_floating_point()?.precision();
            matches!(precision, Precision::HALF | Precision::SINGLE | Precision::DOUBLE)
        }
        Type::FixedSizeBinary => (1..=WIDTH_MAX).contains(&field.type_as_fixed_size_binary()?.byteWidth()),
        Type::Date => matches!(field.type_as_date()?.unit(), DateUnit::DAY | DateUnit::MILLISECOND),
        Type::Time => {
            let time = field.type_as_time()?;
            matches!(
                (time.bitWidth(), time.unit()),
                (32, TimeUnit::SECOND | TimeUnit::MILLISECOND) | (64, TimeUnit::MICROSECOND | TimeUnit::NANOSECOND)
            )
        }
        Type::Timestamp => is_unit(field.type_as_timestamp()?.unit()),
        Type::Duration => is_unit(field.type_as_duration()?.unit()),
        Type::Interval => matches!(
            field.type_as_interval()?.unit(),
            IntervalUnit::YEAR_MONTH | IntervalUnit::DAY_TIME | IntervalUnit::MONTH_DAY_NANO
        ),
        Type::Decimal => {
            let decimal = field.type_as_decimal()?;
            let digits_max = match decimal.bitWidth() {
                32 => 9,
                64 => 18,
                128 => 38,
                256 => 76,
                _ => return None,
            };
            (1..=digits_max).contains(&decimal.precision())
                && decimal.scale().unsigned_abs() <= digits_max.unsigned_abs()
        }
        _ => false,
    };
    fits.then_some(Nests::Not)
}

fn is_unit(unit: TimeUnit) -> bool {
    matches!(
        unit,
        TimeUnit::SECOND | TimeUnit::MILLISECOND | TimeUnit::MICROSECOND | TimeUnit::NANOSECOND
    )
}
