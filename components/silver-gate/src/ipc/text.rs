//! Columns of plain text, which most columns are: checked with a tenth of the work that Arrow's reader does for any text.

use arrow_array::StringArray;
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use crate::error::{Error, bad_batch};
use crate::scan::kinds;

/// A column of utf8 that has ASCII only and no nulls.
pub(crate) struct Texts {
    /// Where each text begins and ends: never falling, inside of `values`, one more than there are rows.
    pub(crate) offsets: ScalarBuffer<i32>,
    /// The texts' bytes.
    pub(crate) values: Buffer,
    /// Whether there is anything that a string of JSON cannot hold as it is.
    pub(crate) escapes: bool,
}

impl Texts {
    /// The column in these buffers; none if it is anything else, or damaged, which Arrow's reader will tell.
    pub(crate) fn of(rows: usize, offsets: Buffer, values: Buffer) -> Option<Self> {
        let aligned = offsets.as_ptr().align_offset(align_of::<i32>()) == 0;
        if !aligned || offsets.len() / size_of::<i32>() <= rows {
            return None;
        }
        let offsets = ScalarBuffer::<i32>::new(offsets, 0, rows + 1);
        let last = usize::try_from(*offsets.last()?).ok()?;
        let kinds = kinds(&values);
        (grows(&offsets) && last <= values.len() && kinds.ascii).then_some(Self {
            offsets,
            values,
            escapes: kinds.escapes,
        })
    }

    /// The same as Arrow knows it.
    pub(crate) fn array(&self) -> Result<StringArray, Error> {
        let offsets = OffsetBuffer::new(self.offsets.clone());
        StringArray::try_new(offsets, self.values.clone(), None).map_err(bad_batch)
    }
}

/// Whether the first is not below zero and none is below the one before it.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn grows(offsets: &[i32]) -> bool {
    let (Some(first), Some(rest)) = (offsets.first(), offsets.get(1..)) else {
        return false;
    };
    // Without a way out, as vector instructions do it.
    let falls = offsets
        .iter()
        .zip(rest)
        .map(|(before, after)| u32::from(after < before));
    *first >= 0 && falls.fold(0, |found, fall| found | fall) == 0
}
