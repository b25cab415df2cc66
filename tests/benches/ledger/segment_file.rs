//! The least a durable log can be: one file, a checksum and a hash chain, group commit. It has no tree, no signatures, no
//! index, and only a reader of its own could open it again.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use kinetic_testkit::engine::runtime;
use sha2::Digest as _;

use crate::flight::{Run, fly};
use crate::group::Group;
use crate::{BODY, Body};

/// Checksum, length, number, chain hash.
const HEADER_BYTES: usize = 4 + 4 + 8 + 32;

struct SegmentFile {
    file: File,
    at: u64,
    next: u64,
    chain: [u8; 32],
    bytes: Vec<u8>,
}

impl SegmentFile {
    fn create(path: &Path) -> Self {
        Self {
            file: File::create(path).unwrap(),
            at: 0,
            next: 0,
            chain: [0; 32],
            bytes: Vec::new(),
        }
    }

    fn append(&mut self, bodies: &[Body]) {
        self.bytes.clear();
        for body in bodies {
            let mut hasher = sha2::Sha256::new();
            hasher.update(self.chain);
            hasher.update(self.next.to_be_bytes());
            hasher.update(body);
            self.chain = hasher.finalize().into();
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&[0; 4]);
            self.bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(&self.next.to_le_bytes());
            self.bytes.extend_from_slice(&self.chain);
            self.bytes.extend_from_slice(body);
            let crc = crc32c::crc32c(&self.bytes[start + 4..]);
            self.bytes[start..start + 4].copy_from_slice(&crc.to_le_bytes());
            self.next += 1;
        }
        assert_eq!(self.bytes.len(), bodies.len() * (HEADER_BYTES + size_of::<Body>()));
        self.file.write_all_at(&self.bytes, self.at).unwrap();
        self.file.sync_data().unwrap();
        self.at += self.bytes.len() as u64;
    }
}

pub fn measure(in_flight: usize, time: Duration) -> Run {
    let folder = crate::folder();
    let mut file = SegmentFile::create(&folder.path().join("segment"));
    let group = Group::start(usize::MAX, move |bodies| file.append(bodies));
    let appender = group.appender();
    fly(&runtime(), in_flight, time, move || {
        let appender = appender.clone();
        async move { appender.append(BODY).await }
    })
}
