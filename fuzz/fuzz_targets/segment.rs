//! A ledger's files: whatever a segment holds, verifying and reading it end with findings or an error, never otherwise.
#![no_main]

use std::io;
use std::path::Path;
use std::sync::Arc;

use kinetic_identity::{PublicKey, SigningKey};
use kinetic_ledger::wire::Wire;
use kinetic_ledger::{Disk, DiskFile, LedgerError, Reader, verify};
use kinetic_model::Digest;
use libfuzzer_sys::fuzz_target;

/// A disk with one segment; everything else is missing.
#[derive(Clone)]
struct OneSegment(Arc<Vec<u8>>);

impl Disk for OneSegment {
    fn open(&self, path: &Path, _: bool) -> io::Result<Box<dyn DiskFile>> {
        if path.extension().is_some_and(|extension| extension == "seg") {
            return Ok(Box::new(self.clone()));
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let segments = folder.ends_with("segments");
        Ok(segments.then(|| format!("{:020}.seg", 0)).into_iter().collect())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for OneSegment {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(self.0.len());
        let count = bytes.len().min(self.0.len() - from);
        bytes[..count].copy_from_slice(&self.0[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

fn key() -> &'static PublicKey {
    static KEY: std::sync::OnceLock<PublicKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate().unwrap().public())
}

/// A segment of one record with this body, whose checksums and hashes fit.
fn segment_of(body: &[u8]) -> Option<Vec<u8>> {
    let mut wire = Wire::new(body);
    let receipt = wire.option().ok()?.unwrap_or_default();
    let call = wire.option().ok()?.unwrap_or_default();
    let mut leaf = vec![0; 9];
    for section in [receipt, call, wire.remaining()] {
        leaf.extend_from_slice(Digest::of(section).as_bytes());
    }
    let mut chain = vec![2; 1];
    chain.extend_from_slice(&[0; 32]);
    chain.extend_from_slice(Digest::of(&leaf).as_bytes());
    let mut bytes = b"KINLOG01".to_vec();
    bytes.resize(48, 0);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.resize(64, 0);
    let mut frame = u32::try_from(body.len()).ok()?.to_le_bytes().to_vec();
    frame.resize(28, 0);
    frame.extend_from_slice(Digest::of(&chain).as_bytes());
    frame.extend_from_slice(body);
    bytes.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
    bytes.extend_from_slice(&frame);
    Some(bytes)
}

fuzz_target!(|body: &[u8]| {
    // With the right beginning of a segment, and as it is.
    for bytes in segment_of(body).into_iter().chain([body.to_vec()]) {
        let disk = OneSegment(Arc::new(bytes));
        let _ = verify(&disk, Path::new("/ledger"), "fuzz", key(), None);
        if let Ok(reader) = Reader::open(Arc::new(disk), Path::new("/ledger"), 0) {
            let _ = reader.each(|record| {
                let _ = (record.parts(), record.receipt());
                Ok::<_, LedgerError>(true)
            });
        }
    }
});
