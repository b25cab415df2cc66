//! Where neighbouring events are of one stream, as most are: a stream is looked up once for all of them.

use arrow_array::{Array, StringArray};

/// Rows looked at one by one before whole stretches are compared.
const STRETCH_ROWS_MIN: usize = 4;

/// Neighbouring events of one stream: the rows from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) stream: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Run {
    /// What of it lies between two rows.
    pub(crate) fn within(self, start: usize, end: usize) -> Self {
        Self {
            start: self.start.max(start),
            end: self.end.min(end),
            ..self
        }
    }
}

/// The row after the last that follows `start` with the same value in this column.
pub(crate) fn end_of_run(column: &StringArray, start: usize) -> usize {
    let value = value(column, start);
    let count = column.len();
    let mut end = start + 1;
    while end < count && end < start + STRETCH_ROWS_MIN {
        if self::value(column, end) != value {
            return end;
        }
        end += 1;
    }
    // Stretches double, so that the work is in proportion to the run whatever follows it.
    let mut stretch = STRETCH_ROWS_MIN;
    while end < count {
        let to = (end + stretch).min(count);
        if repeats(column, value, end, to) {
            end = to;
            stretch *= 2;
            continue;
        }
        while end < to && self::value(column, end) == value {
            end += 1;
        }
        return end;
    }
    end
}

/// The bytes of a row.
#[inline]
pub(crate) fn value(column: &StringArray, row: usize) -> &[u8] {
    let offsets = column.value_offsets();
    let (Some(from), Some(to)) = (offsets.get(row), offsets.get(row + 1)) else {
        return &[];
    };
    // Offsets are checked when a batch is read: not negative and never falling.
    let bytes = from.cast_unsigned() as usize..to.cast_unsigned() as usize;
    column.value_data().get(bytes).unwrap_or_default()
}

/// Whether all rows from one to before another have this value.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(crate) fn repeats(column: &StringArray, name: &[u8], from: usize, to: usize) -> bool {
    let offsets = column.value_offsets();
    let (Some(offsets), Some(length)) = (offsets.get(from..=to), i32::try_from(name.len()).ok()) else {
        return false;
    };
    let same_length = offsets
        .iter()
        .zip(offsets.iter().skip(1))
        .fold(true, |same, (from, to)| same & (to.wrapping_sub(*from) == length));
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
        return false;
    };
    // Names of one length lie side by side. They are all the same if the first is this one and the rest is what
    // stands one name before it.
    let bytes = first.cast_unsigned() as usize..last.cast_unsigned() as usize;
    let bytes = column.value_data().get(bytes).unwrap_or_default();
    let (first, shifted) = bytes.split_at_checked(name.len()).unwrap_or_default();
    same_length && first == name && same(bytes.get(..shifted.len()).unwrap_or_default(), shifted)
}

/// Equality of long texts, many bytes at a time: what compares slices elsewhere goes byte by byte on wasm32.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn same(left: &[u8], right: &[u8]) -> bool {
    let ((left, left_tail), (right, right_tail)) = (left.as_chunks::<64>(), right.as_chunks::<64>());
    let differs = |(left, right): (&[u8; 64], &[u8; 64])| {
        let bytes = left.iter().zip(right);
        bytes.fold(0, |all, (left, right)| all | (left ^ right))
    };
    left_tail == right_tail
        && left
            .iter()
            .zip(right)
            .map(differs)
            .fold(0, |all, differs| all | differs)
            == 0
}
