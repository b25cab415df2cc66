//! The part of the cache that outlives a restart: a folder for the epoch, in it a file for each component and one for what was
//! said of it.
//!
//! ```text
//! <epoch>/<component's digest>.wasm
//! <epoch>/<digest of URN and version>.json    the registry's label as a JSON text, a line break, the descriptor
//! ```
//! Files appear whole or not at all. They are not forced to the disk: after a power cut one may be damaged, and that shows
//! when it is read. What fails here costs a download later, so it is logged and nothing more.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use kinetic_model::{CapsuleRef, Digest, Hashed};
use semver::Version;

use crate::descriptor::DESCRIPTOR_BYTES_MAX;
use crate::store::Index;
use crate::{Descriptor, Summary};

/// The longest line with a registry's label, in bytes.
const LABEL_BYTES_MAX: u64 = 8_192;

/// See the module.
#[derive(Default)]
pub(super) struct Disk {
    root: PathBuf,
    bytes_max: u64,
    bytes: u64,
    /// None as long as nothing may be used.
    epoch: Option<Digest>,
    /// Counts questions: the clock of who was asked for when.
    asked: u64,
    files: BTreeMap<String, Kept>,
    said: Index,
}

struct Kept {
    bytes: u64,
    asked: u64,
}

impl Disk {
    pub(super) fn new(root: &Path, bytes_max: u64) -> Self {
        Self {
            root: root.to_path_buf(),
            bytes_max,
            ..Self::default()
        }
    }

    /// Removes what is of other epochs, and reads what is of this one.
    pub(super) fn enter(&mut self, epoch: Digest) {
        if self.root.as_os_str().is_empty() || self.epoch == Some(epoch) {
            return;
        }
        *self = Self::new(&self.root, self.bytes_max);
        match self.open(epoch) {
            Ok(()) => self.epoch = Some(epoch),
            Err(error) => {
                tracing::warn!(folder = %self.root.display(), "nothing is cached on the disk: {error}");
                *self = Self::new(&self.root, self.bytes_max);
            }
        }
    }

    fn open(&mut self, epoch: Digest) -> io::Result<()> {
        let own = epoch.hex();
        match fs::read_dir(&self.root) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry?;
                    if self.bytes_max > 0 && entry.file_name().to_str() == Some(&own) {
                        continue;
                    }
                    let is_folder = entry.file_type()?.is_dir();
                    let path = entry.path();
                    let removed = if is_folder {
                        fs::remove_dir_all(path)
                    } else {
                        fs::remove_file(path)
                    };
                    removed?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if self.bytes_max == 0 {
            return Ok(());
        }
        let folder = self.root.join(own);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        self.read_all(&folder)
    }

    /// Takes in what a process before this one left, the longest unused first.
    fn read_all(&mut self, folder: &Path) -> io::Result<()> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((used, entry.file_name(), metadata.len(), entry.path()));
        }
        found.sort();
        for (_, name, bytes, path) in found {
            let name = name.to_str().unwrap_or_default().to_string();
            let extension = Path::new(&name).extension().and_then(|text| text.to_str());
            let summary = match extension {
                Some("wasm") => None,
                Some("json") => read_said(&path).map(|(_, descriptor)| descriptor.summary()),
                _ => {
                    // Half written when a process before this one ended.
                    fs::remove_file(&path)?;
                    continue;
                }
            };
            if extension == Some("json") {
                match summary.filter(|summary| said_name(summary) == name) {
                    Some(summary) => self.said.insert(summary),
                    None => {
                        fs::remove_file(&path)?;
                        continue;
                    }
                }
            }
            self.asked += 1;
            self.bytes += bytes;
            let asked = self.asked;
            self.files.insert(name, Kept { bytes, asked });
        }
        self.make_room(folder, 0);
        Ok(())
    }

    /// The component with that digest, hashed as it is read; a damaged one is removed.
    pub(super) fn component(&mut self, epoch: &Digest, digest: &Digest, bytes_max: u64) -> Option<Hashed> {
        let folder = self.folder(epoch)?;
        let name = component_name(digest);
        let bytes = self.files.get(&name)?.bytes;
        if bytes > bytes_max {
            return None;
        }
        let read = read_at_most(&folder.join(&name), bytes);
        match read.map(|bytes| Hashed::of(Bytes::from(bytes))) {
            Ok(found) if found.digest() == *digest => {
                self.touch(&folder, &name);
                Some(found)
            }
            Ok(_) => {
                tracing::warn!(component = %digest, "it is damaged in the cache, and removed");
                self.forget(&folder, &name);
                None
            }
            Err(error) => {
                tracing::warn!(component = %digest, "it cannot be read from the cache: {error}");
                self.forget(&folder, &name);
                None
            }
        }
    }

    /// What was said of the version that a reference means, and the label of who said it.
    pub(super) fn said(&mut self, epoch: &Digest, what: &CapsuleRef) -> Option<(String, Descriptor)> {
        let folder = self.folder(epoch)?;
        let summary = self.said.resolve(what)?.clone();
        let name = said_name(&summary);
        match read_said(&folder.join(&name)).filter(|(_, descriptor)| descriptor.summary() == summary) {
            Some(found) => {
                self.touch(&folder, &name);
                Some(found)
            }
            None => {
                self.forget_said(&folder, &summary);
                None
            }
        }
    }

    /// Keeps a version. Gives the digests of those whose place it took.
    pub(super) fn put(
        &mut self,
        epoch: &Digest,
        label: &str,
        descriptor: &Descriptor,
        component: Option<&Hashed>,
        keep: &[Version],
    ) -> Vec<Digest> {
        let Some(folder) = self.folder(epoch) else {
            return Vec::new();
        };
        let summary = descriptor.summary();
        let of_urn = self.said.of(&summary.urn);
        let superseded = of_urn.filter(|other| other.version < summary.version && !keep.contains(&other.version));
        let superseded: Vec<Summary> = superseded.cloned().collect();
        let mut gone = Vec::new();
        for older in superseded {
            self.forget_said(&folder, &older);
            if older.digest != summary.digest && !self.said.all().any(|other| other.digest == older.digest) {
                self.forget(&folder, &component_name(&older.digest));
                gone.push(older.digest);
            }
        }
        if let Some(component) = component {
            self.write(&folder, component_name(&component.digest()), component);
        }
        // Written as one text each, so that it is read again as what it was.
        if let (Ok(label), Ok(descriptor)) = (serde_json::to_string(label), serde_json::to_string(descriptor)) {
            let text = format!("{label}\n{descriptor}");
            if self.write(&folder, said_name(&summary), text.as_bytes()) {
                self.said.insert(summary);
            }
        }
        gone
    }

    /// Removes a component, and all that was said of it.
    pub(super) fn remove(&mut self, digest: &Digest) {
        let Some(folder) = self.epoch.and_then(|epoch| self.folder(&epoch)) else {
            return;
        };
        self.forget(&folder, &component_name(digest));
        let said = self.said.all().filter(|summary| summary.digest == *digest);
        let said: Vec<Summary> = said.cloned().collect();
        for summary in said {
            self.forget_said(&folder, &summary);
        }
    }

    /// The folder of an epoch, if it is the one that counts and anything may be kept.
    fn folder(&self, epoch: &Digest) -> Option<PathBuf> {
        let counts = self.epoch == Some(*epoch) && self.bytes_max > 0;
        counts.then(|| self.root.join(epoch.hex()))
    }

    /// Writes a file whole, if there is room for it. Says whether it is there now.
    fn write(&mut self, folder: &Path, name: String, bytes: &[u8]) -> bool {
        let size = bytes.len() as u64;
        if size > self.bytes_max {
            return false;
        }
        if let Some(before) = self.files.remove(&name) {
            self.bytes -= before.bytes;
        }
        self.make_room(folder, size);
        let path = folder.join(&name);
        let written = tempfile::Builder::new().tempfile_in(folder).and_then(|mut file| {
            file.write_all(bytes)?;
            file.persist(&path).map_err(|error| error.error)
        });
        if let Err(error) = written {
            tracing::warn!(folder = %folder.display(), "the cache could not keep something: {error}");
            // What is there under the name is of before, and not counted any more.
            drop(fs::remove_file(&path));
            return false;
        }
        self.asked += 1;
        self.bytes += size;
        let asked = self.asked;
        self.files.insert(name, Kept { bytes: size, asked });
        true
    }

    /// Removes what was not asked for the longest, until so many bytes more fit.
    fn make_room(&mut self, folder: &Path, bytes: u64) {
        while self.bytes + bytes > self.bytes_max {
            let oldest = self.files.iter().min_by_key(|(_, kept)| kept.asked);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.forget(folder, &oldest);
            let said = self.said.all().find(|summary| said_name(summary) == oldest).cloned();
            if let Some(summary) = said {
                self.said.remove(&summary);
            }
        }
    }

    /// It was asked for just now; a restart is to know that, too.
    fn touch(&mut self, folder: &Path, name: &str) {
        self.asked += 1;
        if let Some(kept) = self.files.get_mut(name) {
            kept.asked = self.asked;
        }
        let file = File::open(folder.join(name));
        drop(file.and_then(|file| file.set_modified(SystemTime::now())));
    }

    fn forget(&mut self, folder: &Path, name: &str) {
        if let Some(kept) = self.files.remove(name) {
            self.bytes -= kept.bytes;
        }
        drop(fs::remove_file(folder.join(name)));
    }

    fn forget_said(&mut self, folder: &Path, summary: &Summary) {
        self.forget(folder, &said_name(summary));
        self.said.remove(summary);
    }
}

fn component_name(digest: &Digest) -> String {
    format!("{}.wasm", digest.hex())
}

fn said_name(of: &Summary) -> String {
    let what = format!("{}@{}", of.urn, of.version);
    format!("{}.json", Digest::of(what.as_bytes()).hex())
}

/// A file; of a longer one than so many bytes one byte more, which is never what was kept.
fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The label and the descriptor in a file; none when it is anything else.
fn read_said(path: &Path) -> Option<(String, Descriptor)> {
    let bytes = read_at_most(path, LABEL_BYTES_MAX + DESCRIPTOR_BYTES_MAX).ok()?;
    let line = bytes.iter().position(|byte| *byte == b'\n')?;
    let (label, descriptor) = bytes.split_at_checked(line)?;
    let label = serde_json::from_slice(label).ok()?;
    let descriptor = Descriptor::from_json(descriptor.get(1..)?).ok()?;
    Some((label, descriptor))
}
