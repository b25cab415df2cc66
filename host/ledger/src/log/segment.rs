//! A segment file: a header of 64 bytes and records one after the other. Its name is the number of its first record.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::disk::{Disk, DiskFile};
use super::scan::Frames;
use crate::LedgerError;
use crate::error::io;
use crate::merkle::Hash;

/// Bytes before the first record.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = HEADER_BYTES as u64;
const HEADER_BYTES: usize = 64;
/// One entry of the sparse index is kept for so many bytes.
const INDEX_EVERY_BYTES: u64 = 16 << 10;
const MAGIC: &[u8; 8] = b"KINLOG01";
const SUFFIX: &str = ".seg";

/// What a segment begins with: so it can be checked without the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Its first record.
    pub(crate) first: u64,
    /// The chain hash before its first record.
    pub(crate) chain: Hash,
}

impl SegmentHeader {
    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut content = Vec::with_capacity(48);
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(&self.first.to_le_bytes());
        content.extend_from_slice(&self.chain);
        let crc = crc32c::crc32c(&content);
        content.extend_from_slice(&crc.to_le_bytes());
        for (place, byte) in bytes.iter_mut().zip(content) {
            *place = byte;
        }
        bytes
    }

    pub(crate) fn read(file: &dyn DiskFile) -> std::io::Result<Option<Self>> {
        let mut bytes = [0; HEADER_BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let first = bytes.get(8..16).and_then(|field| field.try_into().ok());
        let chain = bytes.get(16..48).and_then(|field| field.try_into().ok());
        let header = Self {
            first: u64::from_le_bytes(first.unwrap_or_default()),
            chain: chain.unwrap_or_default(),
        };
        Ok((header.to_bytes() == bytes).then_some(header))
    }
}

/// The segments of a folder, by their first record.
pub(crate) fn list_segments(disk: &dyn Disk, folder: &Path) -> Result<Vec<(u64, PathBuf)>, LedgerError> {
    let names = disk.list(folder).map_err(io("list the log's folder"))?;
    let mut segments: Vec<(u64, PathBuf)> = names
        .into_iter()
        .filter_map(|name| {
            let digits = name.strip_suffix(SUFFIX)?;
            (digits.len() == 20).then_some(())?;
            Some((digits.parse().ok()?, folder.join(&name)))
        })
        .collect();
    segments.sort_unstable();
    Ok(segments)
}

/// An open segment. Read by anybody, appended to by whoever holds the log's output.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
    /// Bytes of whole records, header included.
    end: AtomicU64,
    /// Number and position of a record now and then; none until a sealed segment is first asked.
    index: RwLock<Option<Vec<(u64, u64)>>>,
}

impl Segment {
    /// Makes a new one with room for `bytes`.
    pub(crate) fn create(
        disk: &dyn Disk,
        folder: &Path,
        header: SegmentHeader,
        bytes: u64,
    ) -> std::io::Result<Arc<Self>> {
        let path = folder.join(format!("{:020}{SUFFIX}", header.first));
        let file = disk.open(&path, true)?;
        let prepared = file
            .set_len(0)
            .and_then(|()| file.reserve(bytes))
            .and_then(|()| file.write_at(&header.to_bytes(), 0))
            .and_then(|()| disk.sync_folder(folder));
        if let Err(error) = prepared {
            // Half made is worse than not made: without room there is no next segment.
            let _ = disk.remove(&path);
            return Err(error);
        }
        Ok(Arc::new(Self::new(
            header,
            path,
            file,
            SEGMENT_HEADER_BYTES,
            Some(Vec::new()),
        )))
    }

    /// One that exists; its index is made when it is first asked.
    pub(crate) fn sealed(header: SegmentHeader, path: PathBuf, file: Box<dyn DiskFile>) -> Result<Self, LedgerError> {
        let end = file.len().map_err(io("read a segment's length"))?;
        Ok(Self::new(header, path, file, end, None))
    }

    pub(crate) fn new(
        header: SegmentHeader,
        path: PathBuf,
        file: Box<dyn DiskFile>,
        end: u64,
        index: Option<Vec<(u64, u64)>>,
    ) -> Self {
        Self {
            header,
            path,
            file,
            end: AtomicU64::new(end),
            index: RwLock::new(index),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Records that were written: number and position of each, and the end after them.
    pub(crate) fn grew(&self, records: &[(u64, u64)], end: u64) {
        if let Some(index) = &mut *self.index.write() {
            for (seq, at) in records {
                note(index, *seq, *at);
            }
        }
        self.end.store(end, Ordering::Release);
    }

    /// A position at or before the record's.
    pub(crate) fn position(&self, seq: u64) -> Result<u64, LedgerError> {
        let nearest = |index: &Vec<(u64, u64)>| {
            let after = index.partition_point(|(number, _)| *number <= seq);
            index
                .get(..after)
                .and_then(<[_]>::last)
                .map_or(SEGMENT_HEADER_BYTES, |(_, at)| *at)
        };
        if let Some(index) = &*self.index.read() {
            return Ok(nearest(index));
        }
        let mut index = Vec::new();
        let mut frames = Frames::new(&*self.file, &self.header, self.end());
        while let Some((number, at)) = frames.next_header()? {
            note(&mut index, number, at);
        }
        let at = nearest(&index);
        *self.index.write() = Some(index);
        Ok(at)
    }
}

/// Adds to a sparse index when the last entry is far enough away.
pub(crate) fn note(index: &mut Vec<(u64, u64)>, seq: u64, at: u64) {
    if index.last().is_none_or(|(_, last)| at - last >= INDEX_EVERY_BYTES) {
        index.push((seq, at));
    }
}
