//! A column of natural keys, whatever its type.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, BooleanArray, LargeStringArray, PrimitiveArray, StringArray, StringViewArray};
use arrow_schema::{DataType, Field};

use crate::error::Error;

/// One value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Boolean(bool),
    Signed(i64),
    Unsigned(u64),
    Text(&'a str),
}

/// A column of natural keys.
#[derive(Clone, Copy)]
pub(crate) enum Column<'a> {
    Null,
    Boolean(&'a BooleanArray),
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    UInt8(&'a PrimitiveArray<UInt8Type>),
    UInt16(&'a PrimitiveArray<UInt16Type>),
    UInt32(&'a PrimitiveArray<UInt32Type>),
    UInt64(&'a PrimitiveArray<UInt64Type>),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    TextView(&'a StringViewArray),
}

/// Whether a field can be a key.
pub(crate) fn check_key(field: &Field) -> Result<(), Error> {
    let kind = field.data_type();
    let fits = kind.is_null()
        || kind.is_integer()
        || matches!(
            kind,
            DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        );
    if fits {
        return Ok(());
    }
    let why = if kind.is_floating() {
        "the same number has several forms there"
    } else {
        "its values have no one form in JSON"
    };
    Err(Error::BadTable(format!(
        "the column {:?} is {kind} and cannot be a key, as {why}; texts, integers, booleans and nulls can",
        field.name()
    )))
}

impl<'a> Column<'a> {
    /// The column behind an array; none if it is of a type that [`check_key`] refuses.
    pub(crate) fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean_opt()?),
            DataType::Int8 => Self::Int8(array.as_primitive_opt()?),
            DataType::Int16 => Self::Int16(array.as_primitive_opt()?),
            DataType::Int32 => Self::Int32(array.as_primitive_opt()?),
            DataType::Int64 => Self::Int64(array.as_primitive_opt()?),
            DataType::UInt8 => Self::UInt8(array.as_primitive_opt()?),
            DataType::UInt16 => Self::UInt16(array.as_primitive_opt()?),
            DataType::UInt32 => Self::UInt32(array.as_primitive_opt()?),
            DataType::UInt64 => Self::UInt64(array.as_primitive_opt()?),
            DataType::Utf8 => Self::Text(array.as_string_opt()?),
            DataType::LargeUtf8 => Self::LargeText(array.as_string_opt()?),
            DataType::Utf8View => Self::TextView(array.as_string_view_opt()?),
            _ => return None,
        })
    }

    /// Its values in order, `rows` of them.
    pub(crate) fn values(&self, rows: usize) -> Box<dyn Iterator<Item = Value<'a>> + 'a> {
        fn each<'a, T: 'a>(
            values: impl Iterator<Item = Option<T>> + 'a,
            wrap: impl Fn(T) -> Value<'a> + 'a,
        ) -> Box<dyn Iterator<Item = Value<'a>> + 'a> {
            Box::new(values.map(move |value| value.map_or(Value::Null, &wrap)))
        }
        match *self {
            Self::Null => Box::new(std::iter::repeat_n(Value::Null, rows)),
            Self::Boolean(array) => each(array.iter(), Value::Boolean),
            Self::Int8(array) => each(array.iter(), |value| Value::Signed(value.into())),
            Self::Int16(array) => each(array.iter(), |value| Value::Signed(value.into())),
            Self::Int32(array) => each(array.iter(), |value| Value::Signed(value.into())),
            Self::Int64(array) => each(array.iter(), Value::Signed),
            Self::UInt8(array) => each(array.iter(), |value| Value::Unsigned(value.into())),
            Self::UInt16(array) => each(array.iter(), |value| Value::Unsigned(value.into())),
            Self::UInt32(array) => each(array.iter(), |value| Value::Unsigned(value.into())),
            Self::UInt64(array) => each(array.iter(), Value::Unsigned),
            Self::Text(array) => each(array.iter(), Value::Text),
            Self::LargeText(array) => each(array.iter(), Value::Text),
            Self::TextView(array) => each(array.iter(), Value::Text),
        }
    }
}
