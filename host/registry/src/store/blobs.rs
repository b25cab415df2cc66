//! A folder of bytes by their digest: written once and whole, checked when they are read, removed when nobody needs them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kinetic_model::Digest;

use super::layout::Layout;
use super::{blocking, disk};
use crate::RegistryError;
use crate::descriptor::at_most;

/// Bytes that are no capsule of the store, or not yet anybody's. Clones share the folder, which is one process's alone.
#[derive(Clone)]
pub struct BlobFolder {
    layout: Arc<Layout>,
}

impl BlobFolder {
    /// Opens a folder, making it when it is missing. What an interrupted writer left behind is removed. Blocks on the disk.
    ///
    /// # Errors
    /// [`RegistryError::StoreFailed`], [`RegistryError::StoreFull`].
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        let layout = Layout::new(root);
        for folder in [layout.blobs(), layout.temporary()] {
            disk::make_folders(layout.root(), &folder)?;
        }
        disk::empty_folder(&layout.temporary())?;
        Ok(Self {
            layout: Arc::new(layout),
        })
    }

    /// Keeps these bytes: they are on the disk when it returns. What is there already and whole stays as it is.
    ///
    /// # Errors
    /// [`RegistryError::StoreFailed`], [`RegistryError::StoreFull`].
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, RegistryError> {
        let layout = self.layout.clone();
        blocking(move || {
            let digest = Digest::of(&bytes);
            let path = layout.blob(&digest);
            if !disk::exists(&path)? || !disk::holds(&path, &digest)? {
                disk::write_whole(&layout.temporary(), &path, &bytes)?;
            }
            Ok(digest)
        })
        .await
    }

    /// The bytes of a digest, of which there may be at most `bytes_max`.
    ///
    /// # Errors
    /// [`RegistryError::StoreDamaged`] when they are gone or are other ones, [`RegistryError::TooLarge`],
    /// [`RegistryError::StoreFailed`].
    pub async fn get(&self, digest: Digest, bytes_max: u64) -> Result<Bytes, RegistryError> {
        let layout = self.layout.clone();
        blocking(move || {
            let path = layout.blob(&digest);
            let damaged = |why: &str| RegistryError::StoreDamaged {
                path: path.display().to_string(),
                why: why.to_string(),
            };
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("it is gone")),
                Err(error) => return Err(disk::failed(&path, &error)),
            };
            let mut bytes = Vec::new();
            let read = file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
            read.map_err(|error| disk::failed(&path, &error))?;
            at_most("what was kept", bytes.len() as u64, bytes_max)?;
            if Digest::of(&bytes) != digest {
                return Err(damaged("it changed since it was stored"));
            }
            Ok(Bytes::from(bytes))
        })
        .await
    }

    /// Removes everything but these. What cannot be removed is left: it only takes room. Blocks on the disk.
    ///
    /// # Errors
    /// [`RegistryError::StoreFailed`] when the folder cannot be read.
    pub fn retain(&self, kept: &BTreeSet<Digest>) -> Result<(), RegistryError> {
        let names: BTreeSet<String> = kept.iter().map(Digest::hex).collect();
        let folder = self.layout.blobs();
        for entry in fs::read_dir(&folder).map_err(|error| disk::failed(&folder, &error))? {
            let entry = entry.map_err(|error| disk::failed(&folder, &error))?;
            let is_kept = entry.file_name().to_str().is_some_and(|name| names.contains(name));
            if !is_kept {
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(())
    }

    /// Removes the bytes of these digests. What cannot be removed is left: it only takes room.
    pub async fn remove(&self, digests: Vec<Digest>) {
        let layout = self.layout.clone();
        let removed = blocking(move || {
            for digest in digests {
                drop(fs::remove_file(layout.blob(&digest)));
            }
            Ok(())
        });
        drop(removed.await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_there_until_they_are_removed_and_never_other_ones() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(folder.path()).unwrap();
        let (a, b) = (
            blobs.put(Bytes::from_static(b"a")).await.unwrap(),
            blobs.put(Bytes::from_static(b"b")).await.unwrap(),
        );
        assert_eq!(blobs.get(a, 1).await.unwrap(), &b"a"[..]);
        assert!(matches!(blobs.get(a, 0).await, Err(RegistryError::TooLarge { .. })));
        blobs.remove(vec![a]).await;
        assert!(matches!(blobs.get(a, 1).await, Err(RegistryError::StoreDamaged { .. })));
        let path = Layout::new(folder.path()).blob(&b);
        fs::write(&path, b"x").unwrap();
        assert!(matches!(blobs.get(b, 1).await, Err(RegistryError::StoreDamaged { .. })));
        // The good ones take the place of the damaged ones.
        blobs.put(Bytes::from_static(b"b")).await.unwrap();
        assert_eq!(blobs.get(b, 1).await.unwrap(), &b"b"[..]);
    }

    #[tokio::test]
    async fn only_what_somebody_names_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFolder::open(folder.path()).unwrap();
        let (a, b) = (
            blobs.put(Bytes::from_static(b"a")).await.unwrap(),
            blobs.put(Bytes::from_static(b"b")).await.unwrap(),
        );
        let again = BlobFolder::open(folder.path()).unwrap();
        again.retain(&BTreeSet::from([b])).unwrap();
        assert!(again.get(a, 1).await.is_err());
        assert_eq!(again.get(b, 1).await.unwrap(), &b"b"[..]);
    }
}
