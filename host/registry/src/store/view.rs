//! A folder that somebody else's store writes, as a registry: only read, and read anew at each question.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kinetic_identity::INDEX_BYTES_MAX;
use kinetic_model::{CapsuleRef, Pin};

use super::index::Index;
use super::layout::Layout;
use super::{blocking, disk, open_component, read_entry};
use crate::{Descriptor, Download, IndexAnswer, RegistryError, Rest, Source, Summary};

/// A folder of capsules as `FolderStore` lays them out. Whoever asks writes nothing to it, not even a lock: its files
/// appear whole or not at all.
pub struct FolderSource {
    name: String,
    pub(super) layout: Arc<Layout>,
}

impl FolderSource {
    /// The folder at that path, which need not be there yet.
    pub fn new(root: &Path) -> Self {
        Self {
            name: format!("dir:{}", root.display()),
            layout: Arc::new(Layout::new(root)),
        }
    }

    /// Puts a signed index there, whole, in the place of the one before.
    ///
    /// # Errors
    /// [`RegistryError::Unreachable`], [`RegistryError::StoreFailed`], [`RegistryError::StoreFull`].
    pub(crate) async fn put_index(&self, namespace: &str, bytes: Bytes) -> Result<(), RegistryError> {
        self.is_there()?;
        let (layout, path) = (self.layout.clone(), self.layout.index(namespace));
        blocking(move || {
            let temporary = layout.temporary();
            disk::make_folders(layout.root(), &temporary)?;
            // Whoever opens a store empties its folder of temporary files, in his turn.
            let _turn = disk::lock(&layout.lock())?;
            if let Some(folder) = path.parent() {
                disk::make_folders(layout.root(), folder)?;
            }
            disk::write_whole(&temporary, &path, &bytes)
        })
        .await
    }

    /// A folder that is away is not one that holds nothing. Of a disk that is not mounted an empty folder is left, so it is
    /// looked for what every store has.
    pub(super) fn is_there(&self) -> Result<(), RegistryError> {
        if self.layout.capabilities().is_dir() {
            return Ok(());
        }
        Err(RegistryError::Unreachable {
            origin: self.name.clone(),
            why: "no store is there; its disk is not mounted, or nothing was published to it yet".into(),
        })
    }
}

/// The index of a namespace, of at most so many bytes as any may have.
fn read_index(path: &Path) -> Result<Option<Bytes>, RegistryError> {
    // Opening anything else could wait for ever, and not every folder that is read is ours.
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err(RegistryError::StoreDamaged {
            path: path.display().to_string(),
            why: "it is no file".into(),
        });
    }
    let bounded = (INDEX_BYTES_MAX as u64).saturating_add(1);
    let read = File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(bounded).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match read {
        // One byte more than there may be is refused by whoever reads it.
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk::failed(path, &error)),
    }
}

/// The descriptor that a reference means. A damaged one is an error: another one in its place would be a downgrade.
fn look_up(layout: &Layout, what: &CapsuleRef) -> Result<Option<Descriptor>, RegistryError> {
    if let Pin::Version(version) = &what.pin {
        let path = layout.version(&what.urn, version);
        return disk::exists(&path)?.then(|| read_entry(layout, &path)).transpose();
    }
    let folder = layout.versions(&what.urn);
    if !disk::exists(&folder)? {
        return Ok(None);
    }
    let mut index = Index::default();
    for path in disk::files_below(&folder)? {
        index.insert(read_entry(layout, &path)?.summary());
    }
    let meant = index.resolve(what).map(|summary| layout.descriptor(summary));
    meant.map(|path| read_entry(layout, &path)).transpose()
}

#[async_trait]
impl Source for FolderSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn describe(&self, what: &CapsuleRef) -> Result<Descriptor, RegistryError> {
        self.is_there()?;
        let (layout, asked) = (self.layout.clone(), what.clone());
        let found = blocking(move || look_up(&layout, &asked)).await?;
        found.ok_or_else(|| RegistryError::NotFound {
            what: what.to_string(),
            origin: self.name.clone(),
        })
    }

    async fn download(&self, descriptor: &Descriptor, rest: &Rest) -> Result<Download, RegistryError> {
        open_component(&self.layout, &descriptor.digest, &self.name, rest.from_byte).await
    }

    async fn list(&self) -> Result<Vec<Summary>, RegistryError> {
        self.is_there()?;
        let layout = self.layout.clone();
        blocking(move || {
            let paths = disk::files_below(&layout.capabilities())?;
            let entries = paths.iter().map(|path| read_entry(&layout, path));
            let mut summaries = entries
                .map(|entry| entry.map(|descriptor| descriptor.summary()))
                .collect::<Result<Vec<_>, RegistryError>>()?;
            summaries.sort_by(|a, b| (&a.urn, &a.version).cmp(&(&b.urn, &b.version)));
            Ok(summaries)
        })
        .await
    }

    async fn index(&self, namespace: &str, _: Option<&str>) -> Result<IndexAnswer, RegistryError> {
        self.is_there()?;
        let path = self.layout.index(namespace);
        let found = blocking(move || read_index(&path)).await?;
        Ok(found.map_or(IndexAnswer::Nothing, |bytes| IndexAnswer::Index { bytes, tag: None }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::tests::descriptor;
    use crate::{COMPONENT_BYTES_MAX_DEFAULT, FolderStore, fetch};

    const URN: &str = "urn:kinetic:actionspace:solver:redact:v1";

    #[tokio::test]
    async fn what_another_store_puts_is_found_at_once_by_urn_version_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let source = FolderSource::new(folder.path());
        let store = FolderStore::open(folder.path(), COMPONENT_BYTES_MAX_DEFAULT).unwrap();
        let missing = source.describe(&URN.parse().unwrap()).await;
        assert!(matches!(missing, Err(RegistryError::NotFound { .. })));
        for (version, bytes) in [("1.0.0", &b"a"[..]), ("1.1.0", b"b"), ("1.2.0-rc.1", b"c")] {
            store
                .put(descriptor(version, bytes), Bytes::from_static(bytes))
                .await
                .unwrap();
        }
        let old = descriptor("1.0.0", b"a");
        for (pin, expected) in [
            (String::new(), "1.1.0"),
            ("@1.2.0-rc.1".to_string(), "1.2.0-rc.1"),
            (format!("@{}", old.digest), "1.0.0"),
        ] {
            let described = source.describe(&format!("{URN}{pin}").parse().unwrap()).await.unwrap();
            assert_eq!(described.version.to_string(), expected);
        }
        assert_eq!(fetch(&source, &old, 10).await.unwrap(), &b"a"[..]);
        assert_eq!(source.list().await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_folder_that_is_away_is_not_empty_and_a_damaged_version_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let source = FolderSource::new(&folder.path().join("away"));
        let away = source.describe(&URN.parse().unwrap()).await;
        assert!(matches!(away, Err(RegistryError::Unreachable { .. })));
        let unmounted = FolderSource::new(folder.path()).describe(&URN.parse().unwrap()).await;
        assert!(matches!(unmounted, Err(RegistryError::Unreachable { .. })));
        let store = FolderStore::open(folder.path(), COMPONENT_BYTES_MAX_DEFAULT).unwrap();
        for (version, bytes) in [("1.0.0", &b"a"[..]), ("1.1.0", b"b")] {
            store
                .put(descriptor(version, bytes), Bytes::from_static(bytes))
                .await
                .unwrap();
        }
        let newest = folder.path().join("capabilities/kinetic/solver/redact/v1/1.1.0.json");
        std::fs::write(newest, b"{").unwrap();
        let refused = FolderSource::new(folder.path()).describe(&URN.parse().unwrap()).await;
        assert!(matches!(refused, Err(RegistryError::StoreDamaged { .. })));
    }
}
