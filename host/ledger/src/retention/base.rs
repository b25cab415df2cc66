//! The base: what the views made of records that are gone, so that the index can still be rebuilt from files alone.
//!
//! `KINBASE1`, then entries (table, length of the key and of the value as little-endian u32, key, value), then a table
//! number of 255. Its SHA-256 is in the signed note of the horizon.

use std::path::Path;

use kinetic_model::Digest;
use sha2::Digest as _;

use super::horizon::Horizon;
use crate::LedgerError;
use crate::error::io;
use crate::index::{Index, Staged, Table};
use crate::log::{Disk, DiskFile};

const MAGIC: &[u8; 8] = b"KINBASE1";
const END: u8 = 255;
/// How much is written or read at a time, in bytes.
const CHUNK_BYTES: usize = 1 << 20;
/// How many entries go to the index at a time.
const RESTORED_AT_ONCE: usize = 4_096;

/// Writes the base of a horizon. Gives the number below which all records are in it, and its digest.
pub(crate) fn write(disk: &dyn Disk, ledger: &Path, first: u64, index: &Index) -> Result<(u64, Digest), LedgerError> {
    let file = disk
        .open(&Horizon::base_path(ledger, first), true)
        .map_err(io("make the horizon's base"))?;
    file.set_len(0).map_err(io("write the horizon's base"))?;
    let mut out = Writer {
        file: &*file,
        hasher: sha2::Sha256::new(),
        pending: MAGIC.to_vec(),
        at: 0,
    };
    let applied = index.export(|table, key, value| out.entry(table.number(), key, value))?;
    out.pending.push(END);
    out.flush()?;
    file.sync_data().map_err(io("sync the horizon's base"))?;
    Ok((applied, Digest::from_bytes(out.hasher.finalize().into())))
}

struct Writer<'a> {
    file: &'a dyn DiskFile,
    hasher: sha2::Sha256,
    pending: Vec<u8>,
    at: u64,
}

impl Writer<'_> {
    fn entry(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), LedgerError> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.pending.push(table);
        self.pending.extend_from_slice(&length(key));
        self.pending.extend_from_slice(&length(value));
        self.pending.extend_from_slice(key);
        self.pending.extend_from_slice(value);
        if self.pending.len() >= CHUNK_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), LedgerError> {
        self.hasher.update(&self.pending);
        self.file
            .write_at(&self.pending, self.at)
            .map_err(io("write the horizon's base"))?;
        self.at += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// Whether the base is the one that was signed.
pub(crate) fn is_whole(disk: &dyn Disk, ledger: &Path, horizon: &Horizon) -> Result<bool, LedgerError> {
    let Ok(file) = disk.open(&Horizon::base_path(ledger, horizon.first), false) else {
        return Ok(false);
    };
    let mut reader = Reader::new(&*file);
    let mut hasher = sha2::Sha256::new();
    while reader.fill(1)? {
        hasher.update(reader.at_hand());
        reader.used = reader.bytes.len();
    }
    Ok(Digest::from_bytes(hasher.finalize().into()) == horizon.base)
}

/// Puts the base into an empty index, which then has all records below `horizon.applied`.
pub(crate) fn restore(disk: &dyn Disk, ledger: &Path, horizon: &Horizon, index: &Index) -> Result<(), LedgerError> {
    let path = Horizon::base_path(ledger, horizon.first);
    let damaged = |why: &str| LedgerError::Damaged {
        seq: horizon.first,
        file: path.display().to_string(),
        byte: 0,
        why: format!("{why}, and the records it stands for were removed"),
    };
    // Nothing of it is believed before all of it is what was signed.
    if !is_whole(disk, ledger, horizon)? {
        return Err(damaged("the base is not the one that was signed"));
    }
    let file = disk.open(&path, false).map_err(io("read the horizon's base"))?;
    let mut reader = Reader::new(&*file);
    if reader.take(MAGIC.len())?.as_deref() != Some(MAGIC.as_slice()) {
        return Err(damaged("the base has another format"));
    }
    let mut entries: Vec<Staged> = Vec::with_capacity(RESTORED_AT_ONCE);
    loop {
        let last = match reader.next()? {
            Next::Entry(entry) => {
                entries.push(entry);
                false
            }
            Next::End => true,
            Next::Cut => return Err(damaged("the base ends in the middle")),
        };
        if last || entries.len() >= RESTORED_AT_ONCE {
            index.wait_room();
            index.stage_upkeep(entries.drain(..));
        }
        if last {
            break;
        }
    }
    if let Some(newest) = horizon.applied.checked_sub(1) {
        index.stage(newest, []);
    }
    Ok(())
}

/// What comes next in a base.
enum Next {
    Entry(Staged),
    /// All was read.
    End,
    /// The file ends before its end is told.
    Cut,
}

struct Reader<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    bytes: Vec<u8>,
    /// So many of them were taken.
    used: usize,
}

impl<'a> Reader<'a> {
    const fn new(file: &'a dyn DiskFile) -> Self {
        Self {
            file,
            at: 0,
            bytes: Vec::new(),
            used: 0,
        }
    }

    fn at_hand(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or_default()
    }

    /// Reads on until so many bytes are at hand; tells whether they are.
    fn fill(&mut self, count: usize) -> Result<bool, LedgerError> {
        while self.at_hand().len() < count {
            self.bytes.drain(..self.used);
            self.used = 0;
            let begin = self.bytes.len();
            self.bytes.resize(begin + CHUNK_BYTES, 0);
            let place = self.bytes.get_mut(begin..).unwrap_or_default();
            let read = self
                .file
                .read_at(place, self.at)
                .map_err(io("read the horizon's base"))?;
            self.bytes.truncate(begin + read);
            self.at += read as u64;
            if read == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<Option<Vec<u8>>, LedgerError> {
        if !self.fill(count)? {
            return Ok(None);
        }
        let taken = self.at_hand().get(..count).map(<[u8]>::to_vec);
        self.used += count;
        Ok(taken)
    }

    fn next(&mut self) -> Result<Next, LedgerError> {
        let Some(table) = self.take(1)? else {
            return Ok(Next::Cut);
        };
        if table == [END] {
            return Ok(Next::End);
        }
        let table = table.first().copied().and_then(Table::numbered);
        let (Some(table), Some(lengths)) = (table, self.take(8)?) else {
            return Ok(Next::Cut);
        };
        let length = |at: usize| {
            let bytes = lengths.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            usize::try_from(u32::from_le_bytes(bytes.unwrap_or_default())).unwrap_or(usize::MAX)
        };
        let (Some(key), Some(value)) = (self.take(length(0))?, self.take(length(4))?) else {
            return Ok(Next::Cut);
        };
        Ok(Next::Entry((table, key, Some(value))))
    }
}
