//! Where each thing lies in the store's folder.

use std::path::{Path, PathBuf};

use kinetic_model::{Digest, Urn};
use semver::Version;

use crate::Summary;

/// The store's folder. Every name below it comes from a checked grammar (URN, version, digest), so none can escape.
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(super) fn capabilities(&self) -> PathBuf {
        self.root.join("capabilities")
    }

    /// `capabilities/<namespace>/<class>/<name>/v<N>`
    pub(super) fn versions(&self, urn: &Urn) -> PathBuf {
        let class = urn.as_str().split(':').nth(3).unwrap_or_default();
        self.capabilities()
            .join(urn.namespace())
            .join(class)
            .join(urn.name())
            .join(format!("v{}", urn.major()))
    }

    /// `capabilities/<namespace>/<class>/<name>/v<N>/<version>.json`
    pub(super) fn descriptor(&self, of: &Summary) -> PathBuf {
        self.version(&of.urn, &of.version)
    }

    /// The same, of a version that may not be there.
    pub(super) fn version(&self, urn: &Urn, version: &Version) -> PathBuf {
        self.versions(urn).join(format!("{version}.json"))
    }

    /// `index/<namespace>.json`; the namespace is a word.
    pub(super) fn index(&self, namespace: &str) -> PathBuf {
        self.root.join("index").join(format!("{namespace}.json"))
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }
}
