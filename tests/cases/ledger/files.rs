//! A log's files, read and changed apart from the host's own code, as somebody without the signing key would.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use kinetic_ledger::Hash;
use sha2::Digest as _;

use super::sha256;

/// Bytes in front of a segment's records, and of each record's body.
pub(super) const HEADER: usize = 64;

/// A log's files as bytes, read apart from the host's own code.
#[derive(Clone, PartialEq)]
pub(super) struct Files {
    pub(super) segments: Vec<(PathBuf, Vec<u8>)>,
    pub(super) checkpoints: String,
    pub(super) leaves: Vec<u8>,
}

/// Where a record's frame lies.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) seq: u64,
    pub(super) segment: usize,
    pub(super) place: Range<usize>,
}

pub(super) fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// The whole frames of a segment.
pub(super) fn frames(segment: usize, bytes: &[u8]) -> Vec<Frame> {
    let (mut at, mut found) = (HEADER, Vec::new());
    while at + HEADER <= bytes.len() {
        let body = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        let (seq, end) = (number(&bytes[at + 8..]), at + HEADER + body);
        if end > bytes.len() || seq != number(&bytes[8..]) + found.len() as u64 {
            break;
        }
        found.push(Frame {
            seq,
            segment,
            place: at..end,
        });
        at = end;
    }
    found
}

/// Nothing, or bytes, and what follows.
fn option(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (mut count, mut at) = (0_usize, 0);
    loop {
        count |= usize::from(bytes[at] & 0x7f) << (7 * at);
        at += 1;
        if bytes[at - 1] & 0x80 == 0 {
            return bytes[at..].split_at(count.saturating_sub(1));
        }
    }
}

pub(super) fn leaf_of(seq: u64, body: &[u8]) -> Hash {
    let (receipt, rest) = option(body);
    let (call, parts) = option(rest);
    let mut hasher = sha2::Sha256::new();
    hasher.update([0]);
    hasher.update(seq.to_be_bytes());
    for section in [receipt, call, parts] {
        hasher.update(sha256(section));
    }
    hasher.finalize().into()
}

pub(super) fn repair_checksum(frame: &mut [u8]) {
    let crc = crc32c::crc32c(&frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

impl Files {
    pub(super) fn read(folder: &Path) -> Self {
        let ledger = folder.join("data/ledger");
        let names = fs::read_dir(ledger.join("segments")).unwrap();
        let mut segments: Vec<_> = names
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        segments.sort_unstable();
        Self {
            segments,
            checkpoints: fs::read_to_string(ledger.join("checkpoints")).unwrap(),
            leaves: fs::read(ledger.join("tree/leaves")).unwrap(),
        }
    }

    pub(super) fn write(&self, folder: &Path) {
        let ledger = folder.join("data/ledger");
        for entry in fs::read_dir(ledger.join("segments")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (path, bytes) in &self.segments {
            fs::write(path, bytes).unwrap();
        }
        fs::write(ledger.join("checkpoints"), &self.checkpoints).unwrap();
        fs::write(ledger.join("tree/leaves"), &self.leaves).unwrap();
    }

    pub(super) fn frames(&self) -> Vec<Frame> {
        let each = self.segments.iter().enumerate();
        each.flat_map(|(i, (_, bytes))| frames(i, bytes)).collect()
    }

    pub(super) fn bytes(&mut self, frame: &Frame) -> &mut [u8] {
        &mut self.segments[frame.segment].1[frame.place.clone()]
    }

    /// Makes every hash and checksum from a record on fit again, as somebody without the signing key would.
    pub(super) fn repair_from(&mut self, seq: u64) {
        let frames = self.frames();
        let mut chain: Hash = match seq.checked_sub(1) {
            None => [0; 32],
            Some(before) => self.bytes(&frames[before as usize])[32..64].try_into().unwrap(),
        };
        let mut segment = frames[seq as usize].segment;
        for frame in &frames[seq as usize..] {
            if frame.segment != segment {
                segment = frame.segment;
                let header = &mut self.segments[segment].1[..HEADER];
                header[16..48].copy_from_slice(&chain);
                let crc = crc32c::crc32c(&header[..48]);
                header[48..52].copy_from_slice(&crc.to_le_bytes());
            }
            let bytes = self.bytes(frame);
            let leaf = leaf_of(frame.seq, &bytes[HEADER..]);
            chain = sha256(&[&[2], &chain[..], &leaf].concat());
            bytes[32..64].copy_from_slice(&chain);
            repair_checksum(bytes);
        }
    }
}
