//! A record batch as events: its columns of meaning, checked.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_schema::DataType;

use crate::runs::value;
use crate::settings::CRITICAL;
use crate::size::Sizes;

/// The tier of what has none: D2.
const TIER_UNSAID: u8 = 2;
/// The highest tier, NX.
const TIER_MAX: u8 = 3;
/// The longest name of a stream, in bytes.
pub(crate) const STREAM_NAME_BYTES_MAX: usize = 1025;

/// The events of one record batch. Its rows are numbered from 0.
#[derive(Debug)]
pub(crate) struct Events<'a> {
    /// The batch itself.
    pub(crate) batch: &'a RecordBatch,
    /// Where in it the sequence numbers are.
    pub(crate) sequence_column: usize,
    /// Which stream each is of. Never null.
    pub(crate) streams: &'a StringArray,
    /// Their numbers; null where the producer gave none.
    pub(crate) sequences: &'a UInt64Array,
    /// 0 to 4.
    pub(crate) priorities: &'a [u8],
    /// 0 to 3.
    pub(crate) tiers: Cow<'a, [u8]>,
    /// What the gate decides about.
    pub(crate) tokens: &'a StringArray,
    /// What they take.
    pub(crate) sizes: Sizes<'a>,
}

impl<'a> Events<'a> {
    /// Checks a batch's columns. The text says which is wrong, and how.
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let (_, streams) = column(batch, "stream", &DataType::Utf8)?;
        let (sequence_column, sequences) = column(batch, "sequence", &DataType::UInt64)?;
        let (_, priorities) = column(batch, "priority", &DataType::UInt8)?;
        let (_, tiers) = column(batch, "tier", &DataType::UInt8)?;
        let (_, tokens) = column(batch, "token", &DataType::Utf8)?;
        let (streams, tokens) = (streams.as_string::<i32>(), tokens.as_string::<i32>());
        for (name, nulls) in [("stream", streams.null_count()), ("priority", priorities.null_count())] {
            if nulls > 0 {
                return Err(format!("column {name:?} has {nulls} nulls and may have none"));
            }
        }
        let priorities = priorities.as_primitive::<UInt8Type>().values();
        let tiers = tiers.as_primitive::<UInt8Type>();
        let tiers = if tiers.null_count() > 0 {
            Cow::Owned(tiers.iter().map(|tier| tier.unwrap_or(TIER_UNSAID)).collect())
        } else {
            Cow::Borrowed(tiers.values().as_ref())
        };
        for (name, values, most) in [
            ("priority", priorities.as_ref(), CRITICAL),
            ("tier", tiers.as_ref(), TIER_MAX),
        ] {
            let highest = highest(values);
            if highest > most {
                return Err(format!("column {name:?} has a {highest}; {most} is the most"));
            }
        }
        Ok(Self {
            batch,
            sequence_column,
            streams,
            sequences: sequences.as_primitive::<UInt64Type>(),
            priorities,
            tiers,
            tokens,
            sizes: Sizes::of(batch),
        })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.batch.num_rows()
    }

    /// The name of a row's stream.
    #[inline]
    pub(crate) fn stream(&self, row: usize) -> &'a [u8] {
        value(self.streams, row)
    }
}

/// The highest of these; with vectors, many are compared at once.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
pub(crate) fn highest(values: &[u8]) -> u8 {
    values.iter().fold(0, |highest, value| highest.max(*value))
}

fn column<'a>(batch: &'a RecordBatch, name: &str, data_type: &DataType) -> Result<(usize, &'a ArrayRef), String> {
    let schema = batch.schema_ref();
    let mut places = (0..).zip(schema.fields()).filter(|(_, field)| field.name() == name);
    let (place, field) = places
        .next()
        .ok_or_else(|| format!("column {name:?} of {data_type} is missing"))?;
    if places.next().is_some() {
        return Err(format!("there are several columns {name:?}"));
    }
    if field.data_type() != data_type {
        return Err(format!("column {name:?} is of {}, not {data_type}", field.data_type()));
    }
    let array = batch.columns().get(place);
    Ok((place, array.ok_or_else(|| format!("column {name:?} is missing"))?))
}
