//! Which events silver has, so that none comes twice: by stream of natural keys, as sets of numbers.
//!
//! Two events have the same `event_uuid` when workflow, intent, node and number are the same. Numbers of a stream follow
//! each other, so a compressed bitmap of them takes about a bit each, where a set of ids would take 16 bytes and more.

use std::collections::BTreeMap;

use arrow_array::builder::BooleanBuilder;
use arrow_array::{Array as _, BooleanArray, RecordBatch, StringArray};
use roaring::RoaringTreemap;

use super::decided::{sequences, texts};

/// The beginning of a saved set, with its version.
const MAGIC: &[u8; 8] = b"KINSEEN1";

/// The events that are in silver.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    streams: BTreeMap<Box<[u8]>, RoaringTreemap>,
}

impl Seen {
    /// Marks these rows as seen; which of them were not before.
    pub(crate) fn fresh(&mut self, rows: &RecordBatch) -> Result<BooleanArray, String> {
        let keys = [
            texts(rows, "workflow_id")?,
            texts(rows, "intent_id")?,
            texts(rows, "node_cid")?,
        ];
        let numbers = sequences(rows)?;
        let mut fresh = BooleanBuilder::with_capacity(rows.num_rows());
        let (mut key, mut next_key) = (Vec::new(), Vec::new());
        let mut row = 0;
        while row < rows.num_rows() {
            key_of(&keys, row, &mut key);
            // Neighbours are often of one stream: the map is asked only when the stream changes.
            let seen = match self.streams.get_mut(key.as_slice()) {
                Some(seen) => seen,
                None => self.streams.entry(key.as_slice().into()).or_default(),
            };
            loop {
                fresh.append_value(seen.insert(numbers.value(row)));
                row += 1;
                if row == rows.num_rows() {
                    break;
                }
                key_of(&keys, row, &mut next_key);
                if next_key != key {
                    break;
                }
            }
        }
        Ok(fresh.finish())
    }

    /// How many streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The set as bytes.
    pub(crate) fn save(&mut self) -> std::io::Result<Vec<u8>> {
        let mut out = MAGIC.to_vec();
        for (key, numbers) in &mut self.streams {
            numbers.optimize();
            put(&mut out, key);
            let mut set = Vec::with_capacity(numbers.serialized_size());
            numbers.serialize_into(&mut set)?;
            put(&mut out, &set);
        }
        Ok(out)
    }

    /// Reads a set back.
    pub(crate) fn load(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or("it begins otherwise")?;
        let mut streams = BTreeMap::new();
        while !rest.is_empty() {
            let key = take(&mut rest)?;
            let numbers = RoaringTreemap::deserialize_from(take(&mut rest)?).map_err(|error| error.to_string())?;
            streams.insert(key.into(), numbers);
        }
        Ok(Self { streams })
    }
}

/// A null differs from an empty text, and no two keys from one concatenation.
fn key_of(columns: &[&StringArray; 3], row: usize, key: &mut Vec<u8>) {
    key.clear();
    for column in columns {
        if column.is_null(row) {
            key.push(0);
        } else {
            let text = column.value(row).as_bytes();
            key.push(1);
            key.extend_from_slice(&(text.len() as u64).to_le_bytes());
            key.extend_from_slice(text);
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let cut = || "it ends too early".to_string();
    let (length, after) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut())?;
    let (bytes, after) = after.split_at_checked(length).ok_or_else(cut)?;
    *rest = after;
    Ok(bytes)
}
