//! An ordered map from bytes to bytes that lives for one generation: filled, read, written out and dropped as a whole.
//!
//! Keys and values lie one behind the other in one buffer, their places in blocks in the order of the keys. So an entry
//! costs no allocation of its own, and dropping a hundred thousand of them costs next to nothing. Bytes of values that
//! were replaced stay until the end.

use std::cmp::Ordering;

/// A block with more places is split.
const BLOCK_PLACES_MAX: usize = 64;
/// In place of a value's length: the key is deleted. No entry is as long as that: records are shorter.
const DELETED: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Sorted {
    bytes: Vec<u8>,
    /// None is empty.
    blocks: Vec<Block>,
    len: usize,
}

/// Where a key lies, and its value behind it.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    key_bytes: u32,
    value_bytes: u32,
}

#[derive(Debug)]
struct Block {
    /// Of the first place: here too, because the search begins with it.
    first: Place,
    places: Vec<Place>,
}

/// A key and its value; `None` deletes.
pub(super) type EntryRef<'a> = (&'a [u8], Option<&'a [u8]>);

/// A place as a cursor has it: block, and place in it.
type At = (usize, usize);

impl Sorted {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            blocks: Vec::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn key(&self, place: &Place) -> &[u8] {
        let end = place.at + place.key_bytes as usize;
        self.bytes.get(place.at..end).unwrap_or_default()
    }

    fn entry(&self, place: &Place) -> EntryRef<'_> {
        let from = place.at + place.key_bytes as usize;
        let value = (place.value_bytes != DELETED).then(|| {
            let end = from + place.value_bytes as usize;
            self.bytes.get(from..end).unwrap_or_default()
        });
        (self.key(place), value)
    }

    /// The block that has the key or would get it, and the key's place there, or where it would be.
    fn find(&self, key: &[u8]) -> (usize, Result<usize, usize>) {
        let block = self.blocks.partition_point(|block| self.key(&block.first) <= key);
        let block = block.saturating_sub(1);
        let places = self.blocks.get(block).map_or(&[][..], |block| &block.places);
        (block, places.binary_search_by(|place| self.key(place).cmp(key)))
    }

    /// Puts a key's value in the place of what it has; `None` deletes.
    pub(super) fn insert(&mut self, key: &[u8], value: Option<&[u8]>) {
        let behind_last = self
            .blocks
            .last()
            .and_then(|block| block.places.last())
            .is_some_and(|last| self.key(last) < key);
        let (block, found) = if behind_last {
            let block = self.blocks.len() - 1;
            (block, Err(self.blocks.last().map_or(0, |block| block.places.len())))
        } else {
            self.find(key)
        };
        let value_bytes = value.map_or(DELETED, |value| bytes(value).min(DELETED - 1));
        match found {
            Ok(at) => self.replace(block, at, key, value, value_bytes),
            Err(at) => {
                let place = self.append(key, value, value_bytes);
                self.place(block, at, place);
                self.len += 1;
            }
        }
    }

    fn append(&mut self, key: &[u8], value: Option<&[u8]>, value_bytes: u32) -> Place {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        Place {
            at,
            key_bytes: bytes(key),
            value_bytes,
        }
    }

    fn replace(&mut self, block: usize, at: usize, key: &[u8], value: Option<&[u8]>, value_bytes: u32) {
        let known = self.blocks.get(block).and_then(|block| block.places.get(at)).copied();
        let Some(known) = known else { return };
        let place = if known.value_bytes == value_bytes {
            let from = known.at + known.key_bytes as usize;
            let value = value.unwrap_or_default();
            if let Some(room) = self.bytes.get_mut(from..from + value.len()) {
                room.copy_from_slice(value);
            }
            return;
        } else {
            self.append(key, value, value_bytes)
        };
        if let Some(block) = self.blocks.get_mut(block) {
            if let Some(known) = block.places.get_mut(at) {
                *known = place;
            }
            if at == 0 {
                block.first = place;
            }
        }
    }

    fn place(&mut self, number: usize, at: usize, place: Place) {
        let is_last = number + 1 >= self.blocks.len();
        let Some(block) = self.blocks.get_mut(number) else {
            self.blocks.push(Block::of(vec![place]));
            return;
        };
        if block.places.len() < BLOCK_PLACES_MAX {
            block.places.insert(at, place);
            if at == 0 {
                block.first = place;
            }
            return;
        }
        // Keys that only grow fill their blocks.
        if is_last && at == block.places.len() {
            self.blocks.push(Block::of(vec![place]));
            return;
        }
        let mut upper = block.places.split_off(BLOCK_PLACES_MAX / 2);
        match at.checked_sub(block.places.len()) {
            Some(at) => upper.insert(at, place),
            None => {
                block.places.insert(at, place);
                if at == 0 {
                    block.first = place;
                }
            }
        }
        self.blocks.insert(number + 1, Block::of(upper));
    }

    /// What is known of a key: its value, or that it is deleted.
    #[expect(clippy::option_option, reason = "whether it is known, and whether it is there")]
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let (block, found) = self.find(key);
        let place = self.blocks.get(block)?.places.get(found.ok()?)?;
        Some(self.entry(place).1)
    }

    /// All entries, smallest key first.
    pub(super) fn iter(&self) -> Entries<'_> {
        Entries {
            sorted: Some(self),
            from: (0, 0),
            end: (self.blocks.len(), 0),
        }
    }

    /// The entries with `from <= key < end`.
    pub(super) fn range(&self, from: &[u8], end: &[u8]) -> Entries<'_> {
        Entries {
            sorted: Some(self),
            from: self.at(from),
            end: if from < end { self.at(end) } else { self.at(from) },
        }
    }

    /// The place of the first key that is not smaller.
    fn at(&self, key: &[u8]) -> At {
        let (block, Ok(at) | Err(at)) = self.find(key);
        match self.blocks.get(block) {
            Some(found) if at < found.places.len() => (block, at),
            Some(_) => (block + 1, 0),
            None => (block, 0),
        }
    }
}

impl Block {
    /// Of places, of which there is one at least.
    fn of(places: Vec<Place>) -> Self {
        let none = Place {
            at: 0,
            key_bytes: 0,
            value_bytes: DELETED,
        };
        let first = places.first().copied().unwrap_or(none);
        let mut places = places;
        places.reserve_exact(BLOCK_PLACES_MAX - places.len());
        Self { first, places }
    }
}

fn bytes(slice: &[u8]) -> u32 {
    u32::try_from(slice.len()).unwrap_or(u32::MAX)
}

/// Entries of a map, smallest key first.
#[derive(Clone, Default)]
pub(super) struct Entries<'a> {
    sorted: Option<&'a Sorted>,
    from: At,
    end: At,
}

impl<'a> Entries<'a> {
    fn get(&self, (block, at): At) -> Option<EntryRef<'a>> {
        let sorted = self.sorted?;
        let place = sorted.blocks.get(block)?.places.get(at)?;
        Some(sorted.entry(place))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = EntryRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.from.cmp(&self.end) != Ordering::Less {
            return None;
        }
        let entry = self.get(self.from)?;
        let (block, at) = self.from;
        let places = self.sorted?.blocks.get(block)?.places.len();
        self.from = if at + 1 < places {
            (block, at + 1)
        } else {
            (block + 1, 0)
        };
        Some(entry)
    }
}

impl DoubleEndedIterator for Entries<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.from.cmp(&self.end) != Ordering::Less {
            return None;
        }
        let (block, at) = self.end;
        self.end = if let Some(at) = at.checked_sub(1) {
            (block, at)
        } else {
            let block = block.checked_sub(1)?;
            (block, self.sorted?.blocks.get(block)?.places.len().checked_sub(1)?)
        };
        self.get(self.end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;

    type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

    fn small() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(0_u8..6, 0..5)
    }

    fn filled(entries: &[(Vec<u8>, Option<Vec<u8>>)]) -> (Sorted, Model) {
        let (mut sorted, mut model) = (Sorted::new(), Model::new());
        for (key, value) in entries {
            sorted.insert(key, value.as_deref());
            model.insert(key.clone(), value.clone());
        }
        (sorted, model)
    }

    proptest! {
        #[test]
        fn it_is_an_ordered_map(
            entries in prop::collection::vec((small(), prop::option::of(small())), 0..600),
            ranges in prop::collection::vec((small(), small()), 8),
        ) {
            let (sorted, model) = filled(&entries);
            prop_assert_eq!(sorted.len(), model.len());
            let expected: Vec<EntryRef<'_>> = model.iter().map(|(k, v)| (k.as_slice(), v.as_deref())).collect();
            prop_assert_eq!(sorted.iter().collect::<Vec<_>>(), expected);
            for (from, end) in ranges {
                prop_assert_eq!(sorted.get(&from), model.get(&from).map(Option::as_deref));
                let mut expected: Vec<EntryRef<'_>> = Vec::new();
                if from < end {
                    let bounds = (Bound::Included(from.clone()), Bound::Excluded(end.clone()));
                    expected.extend(model.range(bounds).map(|(k, v)| (k.as_slice(), v.as_deref())));
                }
                prop_assert_eq!(sorted.range(&from, &end).collect::<Vec<_>>(), expected.clone());
                expected.reverse();
                prop_assert_eq!(sorted.range(&from, &end).rev().collect::<Vec<_>>(), expected);
            }
        }

        #[test]
        fn it_can_be_gone_through_from_both_ends_at_once(count in 0_u16..300, turns: Vec<bool>) {
            let entries: Vec<_> = (0..count).map(|n| (n.to_be_bytes().to_vec(), None)).collect();
            let (sorted, model) = filled(&entries);
            let (mut ours, mut theirs) = (sorted.iter(), model.keys());
            for back in turns.into_iter().chain(std::iter::repeat_n(false, 301)) {
                let (ours, theirs) = if back { (ours.next_back(), theirs.next_back()) } else { (ours.next(), theirs.next()) };
                prop_assert_eq!(ours.map(|(key, _)| key), theirs.map(Vec::as_slice));
            }
        }
    }

    #[test]
    fn keys_that_only_grow_fill_their_blocks() {
        let (sorted, _) = filled(
            &(0_u64..640)
                .map(|n| (n.to_be_bytes().to_vec(), None))
                .collect::<Vec<_>>(),
        );
        assert_eq!(sorted.blocks.len(), 640 / BLOCK_PLACES_MAX);
    }
}
