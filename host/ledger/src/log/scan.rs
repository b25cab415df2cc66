//! Reading records one after the other, checking each: what every reader of the log goes through.

use bytes::Bytes;

use super::disk::DiskFile;
use super::frame::{HEADER_BYTES, Header, Leaf, chain_hash};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::LedgerError;
use crate::commit::{Parts, Sections};
use crate::error::io;
use crate::merkle::Hash;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;
/// As little is read at first where a reader begins in the middle, in bytes: then more and more.
const READ_BYTES_AT_FIRST: usize = 32 << 10;
/// How far ahead of the expected number a frame found after damage may be.
const AHEAD_MAX: u64 = 1 << 24;

/// A record as it stands in the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its sequence number, from 0.
    pub seq: u64,
    /// When it was written, in nanoseconds since 1970: an annotation that no hash covers.
    pub unix_ns: u64,
    /// The chain hash up to and with it.
    pub chain: Hash,
    /// Receipt, call and parts, encoded.
    pub(crate) body: Bytes,
}

impl Record {
    /// Its receipt: an in-toto statement as JSON.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn receipt(&self) -> Result<Option<Bytes>, LedgerError> {
        let sections = Sections::of(&self.body)?;
        Ok(sections.receipt.map(|receipt| self.body.slice_ref(receipt)))
    }

    /// The name of that receipt, as the commit's acknowledgement gave it.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn receipt_id(&self) -> Result<String, LedgerError> {
        Ok(crate::ledger::receipt_id(self.seq, &self.leaf()?.hash(self.seq)))
    }

    /// What receipt, call and parts take in the log, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.body.len() as u64
    }

    /// Everything else.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn parts(&self) -> Result<Parts, LedgerError> {
        Parts::decode(&self.body)
    }

    /// The digests its leaf is made of.
    pub(crate) fn leaf(&self) -> Result<Leaf, LedgerError> {
        Leaf::of_body(&self.body)
    }
}

/// Why a frame was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The record that should have been there.
    pub(crate) seq: u64,
    /// Where, in bytes from the start of the file.
    pub(crate) at: u64,
    /// What is wrong.
    pub(crate) why: String,
}

/// The records of one segment, in order.
pub(crate) struct Frames<'f> {
    file: &'f dyn DiskFile,
    buffer: Vec<u8>,
    /// Position in the file of the buffer's first byte.
    base: u64,
    /// How much is read at once the next time.
    ahead: usize,
    at: u64,
    end: u64,
    next: u64,
    /// The chain hash before the next record; none after a start in the middle.
    chain: Option<Hash>,
}

impl<'f> Frames<'f> {
    /// From the segment's first record; `end` bounds what is read.
    pub(crate) fn new(file: &'f dyn DiskFile, header: &SegmentHeader, end: u64) -> Self {
        Self {
            file,
            buffer: Vec::new(),
            base: 0,
            ahead: READ_BYTES,
            at: SEGMENT_HEADER_BYTES,
            end,
            next: header.first,
            chain: Some(header.chain),
        }
    }

    /// From a record's position.
    pub(crate) fn from_position(file: &'f dyn DiskFile, at: u64, end: u64) -> Result<Self, LedgerError> {
        let mut frames = Self {
            file,
            buffer: Vec::new(),
            base: 0,
            // Often only one record is wanted.
            ahead: READ_BYTES_AT_FIRST,
            at,
            end,
            next: 0,
            chain: None,
        };
        if let Some(head) = frames.head()? {
            frames.next = Header::read(&head).seq;
        }
        Ok(frames)
    }

    /// Where the next record begins.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// The next record's number.
    pub(crate) const fn next_seq(&self) -> u64 {
        self.next
    }

    /// The chain hash after the last record given.
    pub(crate) fn chain(&self) -> Hash {
        self.chain.unwrap_or_default()
    }

    /// The next record's number and position, stepping over its body unread.
    pub(crate) fn next_header(&mut self) -> Result<Option<(u64, u64)>, LedgerError> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        let header = Header::read(&head);
        if header.seq != self.next || !header.is_plausible() {
            return Ok(None);
        }
        let at = self.at;
        self.at += (HEADER_BYTES as u64) + u64::from(header.body_bytes);
        self.next += 1;
        Ok((self.at <= self.end).then_some((header.seq, at)))
    }

    /// The next record, its checksum and (from the segment's start on) its chain hash checked. `Ok(Ok(None))` is the end.
    pub(crate) fn next_record(&mut self) -> Result<Result<Option<(Record, Hash)>, Problem>, LedgerError> {
        let Some(head) = self.head()? else {
            let left = self.end.saturating_sub(self.at);
            return Ok(if left == 0 {
                Ok(None)
            } else {
                self.problem(format!("only {left} bytes of it are there"))
            });
        };
        let header = Header::read(&head);
        let body_bytes = header.body_bytes as usize;
        let body_at = self.at + HEADER_BYTES as u64;
        if !header.is_plausible() || body_at + u64::from(header.body_bytes) > self.end {
            return Ok(self.problem(format!("it says it has {body_bytes} bytes, more than there are")));
        }
        let body = Bytes::copy_from_slice(self.read(body_at, body_bytes)?);
        if !header.fits(&head, &body) {
            return Ok(self.problem("its checksum does not fit its bytes".into()));
        }
        if header.seq != self.next {
            let found = header.seq;
            return Ok(self.problem(format!("record {found} stands in its place")));
        }
        let leaf = match Leaf::of_body(&body) {
            Ok(leaf) => leaf.hash(header.seq),
            Err(error) => return Ok(self.problem(error.to_string())),
        };
        if self
            .chain
            .is_some_and(|before| chain_hash(&before, &leaf) != header.chain)
        {
            return Ok(self.problem("its chain hash does not follow from the record before it and its content".into()));
        }
        self.chain = Some(header.chain);
        self.at = body_at + u64::from(header.body_bytes);
        self.next += 1;
        let record = Record {
            seq: header.seq,
            unix_ns: header.unix_ns,
            chain: header.chain,
            body,
        };
        Ok(Ok(Some((record, leaf))))
    }

    /// Looks behind a bad frame for good ones: the first one's number, and the largest "on disk below" they state.
    pub(crate) fn evidence_after(&mut self) -> Result<Option<(u64, u64)>, LedgerError> {
        let mut found: Option<(u64, u64)> = None;
        let mut at = self.at + 1;
        while at + (HEADER_BYTES as u64) <= self.end {
            let head = self.read(at, HEADER_BYTES)?;
            let Ok(head) = <[u8; HEADER_BYTES]>::try_from(head) else {
                break;
            };
            let header = Header::read(&head);
            let body_at = at + HEADER_BYTES as u64;
            let possible = header.seq > self.next
                && header.seq - self.next < AHEAD_MAX
                && header.is_plausible()
                && body_at + u64::from(header.body_bytes) <= self.end;
            if possible && header.fits(&head, self.read(body_at, header.body_bytes as usize)?) {
                let (first, durable) = found.unwrap_or((header.seq, 0));
                found = Some((first, durable.max(header.durable)));
                at = body_at + u64::from(header.body_bytes);
            } else {
                at += 1;
            }
        }
        Ok(found)
    }

    fn problem<T>(&self, why: String) -> Result<T, Problem> {
        Err(Problem {
            seq: self.next,
            at: self.at,
            why,
        })
    }

    fn head(&mut self) -> Result<Option<[u8; HEADER_BYTES]>, LedgerError> {
        if self.at + HEADER_BYTES as u64 > self.end {
            return Ok(None);
        }
        let bytes = self.read(self.at, HEADER_BYTES)?;
        Ok(bytes.try_into().ok())
    }

    /// Bytes of the file through the buffer.
    fn read(&mut self, at: u64, count: usize) -> Result<&[u8], LedgerError> {
        let buffered = at
            .checked_sub(self.base)
            .and_then(|from| usize::try_from(from).ok())
            .is_some_and(|from| from + count <= self.buffer.len());
        if !buffered {
            let wanted = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
            let size = count.max(self.ahead.min(wanted));
            self.ahead = (self.ahead * 2).min(READ_BYTES);
            self.buffer.resize(size, 0);
            self.file
                .read_exact_at(&mut self.buffer, at)
                .map_err(io("read a segment"))?;
            self.base = at;
        }
        let from = usize::try_from(at - self.base).unwrap_or(usize::MAX);
        Ok(self.buffer.get(from..from + count).unwrap_or_default())
    }
}
