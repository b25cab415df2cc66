//! The folder store: components by digest, descriptors by URN and version, each written once and whole.
//!
//! ```text
//! blobs/sha256/<hex>                                             a component
//! capabilities/<namespace>/<class>/<name>/v<N>/<version>.json    a descriptor
//! promotions/<namespace>/<class>/<name>/v<N>/<version>.json      a signed topology
//! tmp/                                                           files being written; emptied at open
//! lock                                                           held while one process writes
//! ```
//! The store only stores: whether a receipt is good is decided by whoever puts and by whoever loads.

mod blobs;
mod disk;
mod index;
mod layout;
mod promotions;
#[cfg(test)]
pub(crate) mod tests;
mod view;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use kinetic_model::{CapsuleRef, Digest};
use parking_lot::RwLock;
use tokio::io::AsyncSeekExt as _;
use tokio_util::io::ReaderStream;

pub use self::blobs::BlobFolder;
pub(crate) use self::index::Index;
use self::layout::Layout;
pub use self::view::FolderSource;
use crate::descriptor::at_most;
use crate::{Descriptor, Download, RegistryError, Rest, Source, Summary};

/// The largest component a store accepts unless told otherwise, in bytes; the bound clients of older registries know.
pub const COMPONENT_BYTES_MAX_DEFAULT: u64 = 10_485_760;
/// How much of a component is read at once, in bytes.
const CHUNK_BYTES: usize = 65_536;
const NAME: &str = "the local store";

/// A folder of capsules on this machine. Clones share it.
#[derive(Clone)]
pub struct FolderStore {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    component_bytes_max: u64,
    index: RwLock<Index>,
    damaged: Vec<Damaged>,
}

/// A file that was found damaged when the store was opened, and is not offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The descriptor's file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

impl FolderStore {
    /// Opens a store, making the folder when it is missing, and reads what it holds.
    ///
    /// What an interrupted writer left behind is removed. Damaged entries are set aside, see [`FolderStore::damaged`];
    /// one of them does not keep the others from being served. Blocks on the disk.
    ///
    /// # Errors
    /// [`RegistryError::StoreFailed`], [`RegistryError::StoreFull`].
    pub fn open(root: &Path, component_bytes_max: u64) -> Result<Self, RegistryError> {
        let layout = Layout::new(root);
        for folder in [layout.blobs(), layout.capabilities(), layout.temporary()] {
            disk::make_folders(layout.root(), &folder)?;
        }
        let turn = disk::lock(&layout.lock())?;
        disk::empty_folder(&layout.temporary())?;
        let mut index = Index::default();
        let mut damaged = Vec::new();
        for path in disk::files_below(&layout.capabilities())? {
            match read_entry(&layout, &path) {
                Ok(descriptor) => index.insert(descriptor.summary()),
                Err(error) => damaged.push(Damaged {
                    path,
                    why: error.to_string(),
                }),
            }
        }
        drop(turn);
        let index = RwLock::new(index);
        Ok(Self {
            inner: Arc::new(Inner {
                layout,
                component_bytes_max,
                index,
                damaged,
            }),
        })
    }

    /// The entries set aside at open.
    pub fn damaged(&self) -> &[Damaged] {
        &self.inner.damaged
    }

    /// The version that each URN means without a pin, sorted by URN. Known without the disk.
    pub fn newest(&self) -> Vec<Summary> {
        self.inner.index.read().newest()
    }

    /// The version that this reference means; none when there is none. Known without the disk.
    pub fn resolve(&self, what: &CapsuleRef) -> Option<Summary> {
        self.inner.index.read().resolve(what).cloned()
    }

    /// Stores one version: both files, or neither.
    ///
    /// Versions are immutable. Putting what is there already (the same component and manifest) succeeds and takes the newer
    /// receipt; a component damaged on disk since is replaced by the good one. The caller has verified the receipt.
    ///
    /// # Errors
    /// [`RegistryError::VersionTaken`], [`RegistryError::TooLarge`], [`RegistryError::BadDescriptor`] and
    /// [`RegistryError::DigestMismatch`] when descriptor and bytes do not fit, [`RegistryError::StoreFull`],
    /// [`RegistryError::StoreFailed`], [`RegistryError::StoreDamaged`].
    pub async fn put(&self, descriptor: Descriptor, bytes: Bytes) -> Result<(), RegistryError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.put(&descriptor, &bytes)).await
    }
}

impl Inner {
    fn put(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        self.check(descriptor, bytes)?;
        let _turn = disk::lock(&self.layout.lock())?;
        let summary = descriptor.summary();
        let (path, blob) = (self.layout.descriptor(&summary), self.layout.blob(&descriptor.digest));
        // The disk and not the index is asked: another process may have put since this one opened.
        let there = disk::read_descriptor(&path)?;
        if let Some(there) = &there
            && (there.digest != descriptor.digest || there.manifest != descriptor.manifest)
        {
            let (urn, version) = (summary.urn.to_string(), summary.version.to_string());
            return Err(RegistryError::VersionTaken { urn, version });
        }
        let blob_is_new = !disk::exists(&blob)?;
        if blob_is_new || !disk::holds(&blob, &descriptor.digest)? {
            self.write(&blob, bytes)?;
        }
        // The same bytes may come with a receipt that was signed anew, as after a change of keys.
        if there.as_ref() != Some(descriptor) {
            let text = serde_json::to_vec(descriptor).map_err(|e| RegistryError::BadDescriptor {
                why: crate::error::tame(&e.to_string()),
            });
            if let Err(error) = text.and_then(|text| self.write(&path, &text)) {
                // Nothing names the component then. That it cannot be removed either changes nothing about the error.
                if blob_is_new {
                    let _ = std::fs::remove_file(&blob);
                }
                return Err(error);
            }
        }
        self.index.write().insert(summary);
        Ok(())
    }

    fn check(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), RegistryError> {
        let size_bytes = bytes.len() as u64;
        at_most("the component", size_bytes, self.component_bytes_max)?;
        descriptor.check()?;
        if descriptor.size_bytes != size_bytes {
            let why = format!(
                "it says {} bytes and the component has {size_bytes}",
                descriptor.size_bytes
            );
            return Err(RegistryError::BadDescriptor { why });
        }
        let found = Digest::of(bytes);
        if found != descriptor.digest {
            let (expected, found) = (descriptor.digest.to_string(), found.to_string());
            return Err(RegistryError::DigestMismatch {
                origin: "the publisher".into(),
                expected,
                found,
            });
        }
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
        if let Some(folder) = path.parent() {
            disk::make_folders(self.layout.root(), folder)?;
        }
        disk::write_whole(&self.layout.temporary(), path, bytes)
    }
}

/// Reads a descriptor found on disk, which must be where its content says and have its component beside it.
fn read_entry(layout: &Layout, path: &Path) -> Result<Descriptor, RegistryError> {
    let damaged = |why: &str| RegistryError::StoreDamaged {
        path: path.display().to_string(),
        why: why.to_string(),
    };
    // Opening anything else could wait for ever, and not every folder that is read is ours.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(damaged("it is no file"));
    }
    let descriptor = disk::read_descriptor(path)?.ok_or_else(|| damaged("it is gone"))?;
    if layout.descriptor(&descriptor.summary()) != path {
        return Err(damaged(
            "it describes another capability or version than its place says",
        ));
    }
    match std::fs::metadata(layout.blob(&descriptor.digest)) {
        Ok(blob) if blob.is_file() && blob.len() == descriptor.size_bytes => Ok(descriptor),
        Ok(_) => Err(damaged("its component has another size than it says")),
        Err(_) => Err(damaged("its component is missing")),
    }
}

#[async_trait]
impl Source for FolderStore {
    fn name(&self) -> &str {
        NAME
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        let missing = || RegistryError::NotFound {
            what: what.to_string(),
            origin: NAME.into(),
        };
        let summary = self.inner.index.read().resolve(what).cloned().ok_or_else(missing)?;
        let path = self.inner.layout.descriptor(&summary);
        let shown = path.display().to_string();
        let descriptor = blocking(move || disk::read_descriptor(&path)).await?;
        match descriptor {
            Some(descriptor) if descriptor.summary() == summary => Ok(descriptor),
            Some(_) => Err(RegistryError::StoreDamaged {
                path: shown,
                why: "it changed since it was stored".into(),
            }),
            None => Err(RegistryError::StoreDamaged {
                path: shown,
                why: "it is gone".into(),
            }),
        }
    }

    fn is_here(&self) -> bool {
        true
    }

    async fn download(&self, descriptor: &Descriptor, rest: &Rest) -> Result<Download, RegistryError> {
        open_component(&self.inner.layout, &descriptor.digest, NAME, rest.from_byte).await
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        Ok(self.inner.index.read().list())
    }
}

/// The component's bytes as they are on disk, from one of them on.
async fn open_component(
    layout: &Layout,
    digest: &Digest,
    origin: &str,
    from_byte: u64,
) -> Result<Download, RegistryError> {
    let path = layout.blob(digest);
    let mut file = tokio::fs::File::open(&path).await.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RegistryError::NotFound {
            what: format!("component {digest}"),
            origin: origin.into(),
        },
        _ => disk::failed(&path, &error),
    })?;
    if from_byte > 0 {
        let sought = file.seek(io::SeekFrom::Start(from_byte)).await;
        sought.map_err(|error| disk::failed(&path, &error))?;
    }
    let chunks = ReaderStream::with_capacity(file, CHUNK_BYTES);
    Ok(Download {
        from_byte,
        tag: None,
        bytes: Box::pin(chunks.map(move |chunk| chunk.map_err(|error| disk::failed(&path, &error)))),
    })
}

/// Runs disk work where it may block. It finishes even when nobody waits for it any more, so nothing stops half-way.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, RegistryError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, RegistryError> + Send + 'static,
{
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|error| RegistryError::StoreFailed {
        path: NAME.into(),
        why: error.to_string(),
    })?
}
