//! The saved state of the stream buffer as bytes; and which lists of what silver has are old.

use std::path::{Path, PathBuf};

use super::keeper::Saved;
use crate::subsystem::buffer::Snapshot;

pub(crate) fn encode(saved: &Saved) -> Vec<u8> {
    let totals = serde_json::to_vec(&saved.totals).unwrap_or_default();
    let mut bytes = Vec::with_capacity(saved.snapshot.bytes.len() + totals.len() + 20);
    bytes.extend_from_slice(&saved.offset.to_le_bytes());
    bytes.extend_from_slice(&(totals.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&totals);
    bytes.extend_from_slice(&saved.snapshot.format_version.to_le_bytes());
    bytes.extend_from_slice(&saved.snapshot.bytes);
    bytes
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Saved> {
    let (offset, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (totals, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (version, state) = rest.split_first_chunk::<4>()?;
    Some(Saved {
        offset: u64::from_le_bytes(*offset),
        totals: serde_json::from_slice(totals).ok()?,
        snapshot: Snapshot {
            format_version: u32::from_le_bytes(*version),
            bytes: state.to_vec(),
        },
    })
}

/// The lists beside the newest one.
pub(crate) fn older_seen(folder: &Path, newest: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_list = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| name.starts_with(".seen-")) && path != newest
    };
    entries.map(|entry| entry.path()).filter(is_list).collect()
}
