//! How a column's values lie in memory.

use arrow_schema::DataType;

/// How a column's values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Nowhere: every value is null.
    Nowhere,
    /// One bit each.
    Bits,
    /// So many bytes each.
    Fixed(usize),
    /// As many bytes as 32-bit offsets say.
    Offsets32,
    /// As many bytes as 64-bit offsets say.
    Offsets64,
}

impl Layout {
    /// How the values of a type lie; none if columns of that type are not taken.
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Null => Some(Self::Nowhere),
            DataType::Boolean => Some(Self::Bits),
            DataType::Utf8 | DataType::Binary => Some(Self::Offsets32),
            DataType::LargeUtf8 | DataType::LargeBinary => Some(Self::Offsets64),
            DataType::FixedSizeBinary(width) => usize::try_from(*width).ok().map(Self::Fixed),
            _ => data_type.primitive_width().map(Self::Fixed),
        }
    }
}
