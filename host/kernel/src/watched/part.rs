//! A capsule folder: component.wasm, manifest.json and receipt.json of one version, stamped and read.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kinetic_identity::{BuildSubject, RECEIPT_BYTES_MAX, Receipt};
use kinetic_model::{Digest, Fault};
use kinetic_registry::MANIFEST_BYTES_MAX;

use super::Candidate;
use crate::publish::PUBLISHER;
use crate::{KernelError, Manifest};

const COMPONENT: &str = "component.wasm";
const MANIFEST: &str = "manifest.json";
const RECEIPT: &str = "receipt.json";
/// The parts of a capsule folder.
const PARTS: [&str; 3] = [COMPONENT, MANIFEST, RECEIPT];
/// Where a project keeps what was built of it.
const BUILT: &str = "target/capsule";

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    number: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The stamps of the parts, in their order; none of one that is not there.
pub(super) type Stamps = [Option<Stamp>; 3];

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The folder with the parts: this one, or the one a project has for them. None where neither has a component.
pub(super) fn capsule_folder(root: &Path, folder: &Path) -> Option<PathBuf> {
    let candidates = [folder.to_path_buf(), folder.join(BUILT)];
    candidates
        .into_iter()
        .find(|folder| inside(root, &folder.join(COMPONENT)).is_ok())
}

/// How the parts stand.
pub(super) fn stamps(root: &Path, folder: &Path) -> Stamps {
    PARTS.map(|name| {
        let real = inside(root, &folder.join(name)).ok()?;
        Some(Stamp::of(&real.metadata().ok()?))
    })
}

/// Reads a capsule folder whole, and what was read of which state of it.
///
/// # Errors
/// `WatchUnfit` when a part is missing, too large, or of another version than the receipt; what is wrong with the manifest.
pub(super) fn read(root: &Path, folder: &Path, entry: &str, bytes_max: u64) -> Result<(Candidate, Stamps), Fault> {
    let unfit = |why: String| {
        Fault::from(KernelError::WatchUnfit {
            entry: entry.to_string(),
            why,
        })
    };
    let part = |name: &str, bytes_max: u64| {
        part(root, &folder.join(name), bytes_max).map_err(|error| unfit(format!("{name}: {error}")))
    };
    let (component, component_stamp) = part(COMPONENT, bytes_max)?;
    let (manifest, manifest_stamp) = part(MANIFEST, MANIFEST_BYTES_MAX)?;
    let (receipt, receipt_stamp) = part(RECEIPT, RECEIPT_BYTES_MAX as u64)?;
    let manifest = String::from_utf8(manifest).map_err(|_| unfit(format!("{MANIFEST} is not UTF-8")))?;
    let receipt = Receipt::from_json(&receipt).map_err(|error| unfit(format!("{RECEIPT}: {}", plain(&error))))?;
    let parsed = Manifest::parse(&manifest).map_err(Fault::from)?;
    let subject = BuildSubject {
        urn: parsed.id,
        version: parsed.version,
        component: Digest::of(&component),
        component_bytes: component.len() as u64,
        manifest: Digest::of(manifest.as_bytes()),
    };
    // Files of two versions are what a folder looks like in the middle of being written.
    receipt
        .check_subject(&subject)
        .map_err(|error| unfit(format!("its files are not of one version: {}", plain(&error))))?;
    let candidate = Candidate {
        entry: entry.to_string(),
        source: PUBLISHER.to_string(),
        urn: subject.urn,
        version: subject.version,
        manifest,
        receipt: receipt.to_value(),
        component: component.into(),
    };
    Ok((
        candidate,
        [Some(component_stamp), Some(manifest_stamp), Some(receipt_stamp)],
    ))
}

fn plain(error: &impl std::fmt::Display) -> String {
    error.to_string().trim_end_matches('.').to_string()
}

/// The real place of a file, if that is in the watched folder: links may lead around in it, not out of it.
fn inside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let real = path.canonicalize()?;
    if !real.starts_with(root) {
        return Err(io::Error::other("it is a link out of the watched folder"));
    }
    // Opening anything else could wait for ever.
    if !real.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    Ok(real)
}

fn part(root: &Path, path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, Stamp)> {
    let file = File::open(inside(root, path)?)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    Ok((bytes, stamp))
}
