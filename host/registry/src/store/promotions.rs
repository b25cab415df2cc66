//! Promotions in a store's folder: each version is written once and whole, and never replaced.
//!
//! `promotions/<namespace>/<class>/<name>/v<N>/<version>.json` holds the signed envelope, beside what the store has of
//! capsules.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use kinetic_identity::{PROMOTION_BYTES_MAX, Promotion};
use kinetic_model::{CapsuleRef, Pin};
use semver::Version;

use super::layout::Layout;
use super::{FolderSource, FolderStore, NAME, blocking, disk};
use crate::promotion::{agree, kept, newest, not_found, promotion_path, reference, versions_path};
use crate::{RegistryError, Source as _};

impl FolderStore {
    /// Keeps a promotion: it is on the disk when this returns. The same topology under its name is the same and stays as it
    /// is. The caller has verified who signed it.
    ///
    /// # Errors
    /// [`RegistryError::PromotionTaken`] when the name has another topology, [`RegistryError::BadPromotion`] when what lies
    /// there is none, [`RegistryError::StoreFull`], [`RegistryError::StoreFailed`].
    pub async fn put_promotion(&self, promotion: Promotion) -> Result<(), RegistryError> {
        let inner = self.inner.clone();
        blocking(move || put(&inner.layout, &promotion)).await
    }

    /// The promotion that a reference means; without a pin the highest version that is no pre-release.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::BadPromotion`], [`RegistryError::StoreFailed`].
    pub async fn promotion(&self, what: &CapsuleRef) -> Result<Promotion, RegistryError> {
        let (inner, what) = (self.inner.clone(), what.clone());
        blocking(move || get(&inner.layout, NAME, &what)).await
    }
}

impl FolderSource {
    /// As [`FolderStore::promotion`]'s.
    ///
    /// # Errors
    /// As of [`FolderStore::promotion`]; [`RegistryError::Unreachable`] when there is no store.
    pub async fn promotion(&self, what: &CapsuleRef) -> Result<Promotion, RegistryError> {
        self.is_there()?;
        let (layout, name, what) = (self.layout.clone(), self.name().to_string(), what.clone());
        blocking(move || get(&layout, &name, &what)).await
    }
}

fn put(layout: &Layout, promotion: &Promotion) -> Result<(), RegistryError> {
    let path = layout.root().join(promotion_path(promotion.urn(), promotion.version()));
    let _turn = disk::lock(&layout.lock())?;
    let what = reference(promotion);
    if let Some(there) = read(&path)? {
        return agree(NAME, &kept(NAME, &what, &there)?, promotion);
    }
    if let Some(folder) = path.parent() {
        disk::make_folders(layout.root(), folder)?;
    }
    disk::write_whole(&layout.temporary(), &path, &promotion.to_json())
}

fn get(layout: &Layout, origin: &str, what: &CapsuleRef) -> Result<Promotion, RegistryError> {
    let missing = || not_found(origin, what);
    let version = match &what.pin {
        Pin::Version(version) => version.clone(),
        Pin::Active => newest(versions(&layout.root().join(versions_path(&what.urn)))?).ok_or_else(missing)?,
        // Nobody asks for one by its topology: there is no list to find it in.
        Pin::Digest(_) => return Err(missing()),
    };
    let path = layout.root().join(promotion_path(&what.urn, &version));
    let bytes = read(&path)?.ok_or_else(missing)?;
    let meant = CapsuleRef {
        urn: what.urn.clone(),
        pin: Pin::Version(version),
    };
    kept(origin, &meant, &bytes)
}

/// The versions that a folder has a file of.
fn versions(folder: &Path) -> Result<Vec<Version>, RegistryError> {
    if !disk::exists(folder)? {
        return Ok(Vec::new());
    }
    let files = disk::files_below(folder)?;
    let names = files.iter().filter_map(|path| path.file_stem()?.to_str());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// What a file holds, up to one byte more than any promotion has; none when it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, RegistryError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk::failed(path, &error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(PROMOTION_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| disk::failed(path, &error))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use kinetic_identity::SigningKey;

    use super::*;
    use crate::COMPONENT_BYTES_MAX_DEFAULT;
    use crate::promotion::tests::{URN, promotion};

    fn ask(pin: &str) -> CapsuleRef {
        format!("{URN}{pin}").parse().unwrap()
    }

    #[tokio::test]
    async fn a_version_is_written_once_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path(), COMPONENT_BYTES_MAX_DEFAULT).unwrap();
        let source = FolderSource::new(folder.path());
        let keys = [SigningKey::generate().unwrap(), SigningKey::generate().unwrap()];
        assert!(matches!(
            store.promotion(&ask("@1.0.0")).await,
            Err(RegistryError::NotFound { .. })
        ));
        assert!(matches!(
            source.promotion(&ask("")).await,
            Err(RegistryError::NotFound { .. })
        ));
        let first = promotion("1.0.0", 1, &keys[0]);
        store.put_promotion(first.clone()).await.unwrap();
        // The same topology, signed by somebody else: it is there, and stays as it is.
        store.put_promotion(promotion("1.0.0", 1, &keys[1])).await.unwrap();
        let other = store.put_promotion(promotion("1.0.0", 2, &keys[0])).await;
        assert!(matches!(other, Err(RegistryError::PromotionTaken { .. })));
        assert_eq!(store.promotion(&ask("@1.0.0")).await.unwrap(), first);
        assert!(
            folder
                .path()
                .join("promotions/acme/node/planner/v1/1.0.0.json")
                .is_file()
        );
        for (version, number) in [("1.1.0", 2), ("1.2.0-rc.1", 3)] {
            store.put_promotion(promotion(version, number, &keys[0])).await.unwrap();
        }
        for (pin, version) in [("", "1.1.0"), ("@1.2.0-rc.1", "1.2.0-rc.1")] {
            let found = source.promotion(&ask(pin)).await.unwrap();
            assert_eq!(found.version().to_string(), version);
        }
        // They are no capsules, and the store of them opens as before.
        let again = FolderStore::open(folder.path(), COMPONENT_BYTES_MAX_DEFAULT).unwrap();
        assert!(again.damaged().is_empty() && again.list().await.unwrap().is_empty());
        assert_eq!(again.promotion(&ask("@1.0.0")).await.unwrap(), first);
    }

    #[tokio::test]
    async fn a_damaged_file_is_neither_given_out_nor_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path(), COMPONENT_BYTES_MAX_DEFAULT).unwrap();
        let key = SigningKey::generate().unwrap();
        store.put_promotion(promotion("1.0.0", 1, &key)).await.unwrap();
        let path = folder.path().join("promotions/acme/node/planner/v1/1.0.0.json");
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() - 1], b"", &promotion("1.1.0", 1, &key).to_json()] {
            std::fs::write(&path, damaged).unwrap();
            let found = store.promotion(&ask("@1.0.0")).await;
            assert!(matches!(found, Err(RegistryError::BadPromotion { .. })));
            let put = store.put_promotion(promotion("1.0.0", 1, &key)).await;
            assert!(matches!(put, Err(RegistryError::BadPromotion { .. })));
        }
        assert!(matches!(
            FolderSource::new(&folder.path().join("away")).promotion(&ask("")).await,
            Err(RegistryError::Unreachable { .. })
        ));
    }
}
