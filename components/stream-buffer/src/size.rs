//! How much an event takes: the widths of its fixed values and the bytes of its variable ones, its share of the batch.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::flags;
use crate::layout::Layout;

/// The offsets of a column of variable values.
#[derive(Clone, Copy, Debug)]
enum Offsets<'a> {
    Small(&'a [i32]),
    Large(&'a [i64]),
}

impl Offsets<'_> {
    /// Bytes between two rows' beginnings. Offsets are checked when a batch is read; they never fall.
    #[inline]
    fn between(&self, from: usize, to: usize) -> u64 {
        match self {
            Self::Small(offsets) => span(offsets, from, to).map_or(0, |(from, to)| u64::from(to.abs_diff(from))),
            Self::Large(offsets) => span(offsets, from, to).map_or(0, |(from, to)| to.abs_diff(from)),
        }
    }

    /// Bytes of those rows that are flagged.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn flagged(&self, from: usize, flags: &[bool]) -> u64 {
        match self {
            Self::Small(offsets) => {
                let offsets = offsets.get(from..).unwrap_or_default();
                let spans = offsets.iter().zip(offsets.iter().skip(1)).zip(flags);
                // All the bytes of a column are fewer than 2^31.
                let sum = spans.fold(0_u32, |sum, ((from, to), flag)| {
                    sum.wrapping_add(to.abs_diff(*from) & u32::from(*flag).wrapping_neg())
                });
                u64::from(sum)
            }
            Self::Large(offsets) => {
                let offsets = offsets.get(from..).unwrap_or_default();
                let spans = offsets.iter().zip(offsets.iter().skip(1)).zip(flags);
                spans
                    .map(|((from, to), flag)| to.abs_diff(*from) & u64::from(*flag).wrapping_neg())
                    .sum()
            }
        }
    }
}

#[inline]
fn span<T: Copy>(offsets: &[T], from: usize, to: usize) -> Option<(T, T)> {
    Some((*offsets.get(from)?, *offsets.get(to)?))
}

/// The sizes of a batch's rows.
#[derive(Clone, Debug)]
pub(crate) struct Sizes<'a> {
    rows: usize,
    fixed_bytes: u64,
    variable: Vec<Offsets<'a>>,
}

impl<'a> Sizes<'a> {
    /// The sizes of the rows of a batch whose types are among those that are taken.
    pub(crate) fn of(batch: &'a RecordBatch) -> Self {
        let mut fixed_bytes = 0;
        let mut variable = Vec::new();
        for column in batch.columns() {
            match Layout::of(column.data_type()) {
                None | Some(Layout::Nowhere) => {}
                Some(Layout::Bits) => fixed_bytes += 1,
                Some(Layout::Fixed(width)) => fixed_bytes += width as u64,
                Some(Layout::Offsets32) => fixed_bytes += size_of::<i32>() as u64,
                Some(Layout::Offsets64) => fixed_bytes += size_of::<i64>() as u64,
            }
            match column.data_type() {
                DataType::Utf8 => variable.push(Offsets::Small(column.as_string::<i32>().value_offsets())),
                DataType::Binary => variable.push(Offsets::Small(column.as_binary::<i32>().value_offsets())),
                DataType::LargeUtf8 => variable.push(Offsets::Large(column.as_string::<i64>().value_offsets())),
                DataType::LargeBinary => variable.push(Offsets::Large(column.as_binary::<i64>().value_offsets())),
                _ => {}
            }
        }
        Self {
            rows: batch.num_rows(),
            fixed_bytes,
            variable,
        }
    }

    /// The bytes of the rows from one to before another.
    #[inline]
    pub(crate) fn between(&self, from: usize, to: usize) -> u64 {
        let fixed_bytes = self.fixed_bytes * (to.saturating_sub(from)) as u64;
        let variable = self.variable.iter().map(|offsets| offsets.between(from, to));
        fixed_bytes + variable.sum::<u64>()
    }

    /// The bytes of one row.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> u64 {
        self.between(row, row + 1)
    }

    /// The bytes of those rows from one on that are flagged.
    pub(crate) fn flagged(&self, from: usize, flags: &[bool]) -> u64 {
        let variable = self.variable.iter().map(|offsets| offsets.flagged(from, flags));
        self.fixed_bytes * flags::count(flags) as u64 + variable.sum::<u64>()
    }

    /// The bytes of all rows.
    pub(crate) fn all(&self) -> u64 {
        self.between(0, self.rows)
    }

    /// How many rows from this one on are within a number of rows and of bytes.
    pub(crate) fn within(&self, from: usize, rows_max: usize, size_bytes_max: u64) -> usize {
        let (mut fits, mut over) = (0, rows_max.min(self.rows.saturating_sub(from)) + 1);
        while over - fits > 1 {
            let middle = fits + (over - fits) / 2;
            if self.between(from, from + middle) <= size_bytes_max {
                fits = middle;
            } else {
                over = middle;
            }
        }
        fits
    }
}
