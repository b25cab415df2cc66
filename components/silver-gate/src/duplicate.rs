//! Of the rows that have one id, which stays.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::DataType;

use crate::id::Id;

/// How far an id is looked for before it goes to the sorted map. Ids are spread evenly unless somebody chose them to meet
/// in one place, and that must not cost more than the logarithm.
const PROBES_MAX: usize = 64;

/// What decides between rows of one id: less stays. Nulls come last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    null: bool,
    value: u64,
}

/// The ranks of a column of integers; none for other types.
pub(crate) fn ranks(array: &dyn Array) -> Option<Vec<Rank>> {
    /// The sign's bit turned round orders signed numbers as unsigned ones.
    fn signed(value: i64) -> u64 {
        value.cast_unsigned() ^ (1 << 63)
    }
    fn of<T: ArrowPrimitiveType>(array: &dyn Array, order: impl Fn(T::Native) -> u64) -> Option<Vec<Rank>> {
        let rank = |value: Option<T::Native>| match value {
            Some(value) => Rank {
                null: false,
                value: order(value),
            },
            None => Rank { null: true, value: 0 },
        };
        Some(array.as_primitive_opt::<T>()?.iter().map(rank).collect())
    }
    match array.data_type() {
        DataType::Int8 => of::<Int8Type>(array, |value| signed(value.into())),
        DataType::Int16 => of::<Int16Type>(array, |value| signed(value.into())),
        DataType::Int32 => of::<Int32Type>(array, |value| signed(value.into())),
        DataType::Int64 => of::<Int64Type>(array, signed),
        DataType::UInt8 => of::<UInt8Type>(array, u64::from),
        DataType::UInt16 => of::<UInt16Type>(array, u64::from),
        DataType::UInt32 => of::<UInt32Type>(array, u64::from),
        DataType::UInt64 => of::<UInt64Type>(array, u64::from),
        _ => None,
    }
}

/// The rows that stay so far.
pub(crate) struct Survivors {
    rows: Vec<Survivor>,
    /// A hash map without removal: zero where nothing is, otherwise a place in `rows` and one, and above it half of the id's
    /// bits that did not choose the slot.
    slots: Vec<u64>,
    /// Those whose slots were taken too far.
    crowded: BTreeMap<[u32; 4], usize>,
}

struct Survivor {
    id: Id,
    row: usize,
    rank: Rank,
}

impl Survivors {
    /// For at most so many rows.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            rows: Vec::with_capacity(rows_max),
            slots: vec![0; (rows_max * 2).next_power_of_two()],
            crowded: BTreeMap::new(),
        }
    }

    /// Takes a row. Of rows with one id the one with the least rank stays, of those the one that came first.
    pub(crate) fn offer(&mut self, row: usize, id: Id, rank: Rank) {
        let candidate = Survivor { id, row, rank };
        match self.find(id) {
            Ok(place) => {
                if let Some(survivor) = self.rows.get_mut(place).filter(|survivor| rank < survivor.rank) {
                    *survivor = candidate;
                }
            }
            Err(slot) => {
                let place = self.rows.len();
                self.rows.push(candidate);
                match slot.and_then(|slot| self.slots.get_mut(slot)) {
                    Some(slot) => *slot = tag(id) | (place as u64 + 1),
                    None => {
                        self.crowded.insert(id.0, place);
                    }
                }
            }
        }
    }

    /// The place of an id's row, or the free slot for one; no slot if the id is one for the sorted map.
    fn find(&self, id: Id) -> Result<usize, Option<usize>> {
        let last = self.slots.len() - 1;
        let Id([start, ..]) = id;
        for probe in 0..PROBES_MAX {
            let slot = (start as usize).wrapping_add(probe) & last;
            let held = self.slots.get(slot).copied().unwrap_or(0);
            if held == 0 {
                return Err(Some(slot));
            }
            if held & TAG == tag(id) {
                // Not zero, and no more than there are rows.
                let place = usize::try_from((held & !TAG) - 1).unwrap_or(usize::MAX);
                if self.rows.get(place).is_some_and(|survivor| survivor.id == id) {
                    return Ok(place);
                }
            }
        }
        self.crowded.get(&id.0).copied().ok_or(None)
    }

    /// For each of `rows` rows, whether it stays.
    pub(crate) fn stay(&self, rows: usize) -> Vec<bool> {
        let mut stay = vec![false; rows];
        for survivor in &self.rows {
            if let Some(place) = stay.get_mut(survivor.row) {
                *place = true;
            }
        }
        stay
    }
}

/// The upper half of a slot.
const TAG: u64 = !0xffff_ffff;

fn tag(Id([.., last]): Id) -> u64 {
    u64::from(last) << 32
}

#[cfg(test)]
mod tests {
    use super::{Id, PROBES_MAX, Rank, Survivors};

    #[test]
    fn ids_chosen_to_meet_in_one_slot_are_still_told_apart() {
        let ids: Vec<Id> = (0..10 * PROBES_MAX)
            .map(|last| Id([7, 7, 7, last.try_into().unwrap()]))
            .collect();
        let mut survivors = Survivors::new(2 * ids.len());
        for (row, id) in ids.iter().chain(&ids).enumerate() {
            let null = row.is_multiple_of(3);
            survivors.offer(row, *id, Rank { null, value: 0 });
        }
        let stay = survivors.stay(2 * ids.len());
        let (first, second) = stay.split_at(ids.len());
        for (row, (first, second)) in first.iter().zip(second).enumerate() {
            // The later one of a pair stays only where the first is null and it is not.
            let later = row.is_multiple_of(3) && !(row + ids.len()).is_multiple_of(3);
            assert_eq!((*first, *second), (!later, later), "row {row}");
        }
    }
}
