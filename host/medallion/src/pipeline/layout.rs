//! Where the tables lie under the data folder.

use std::path::{Path, PathBuf};

/// The folders of the tables.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The tables under a data folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// What arrived and was kept.
    pub fn bronze(&self) -> PathBuf {
        self.root.join("bronze/events")
    }

    /// What could not be read.
    pub fn bronze_rejects(&self) -> PathBuf {
        self.root.join("bronze/rejects")
    }

    /// What was dropped under pressure, counted.
    pub fn bronze_shed(&self) -> PathBuf {
        self.root.join("bronze/shed")
    }

    /// All of silver.
    pub fn silver_root(&self) -> PathBuf {
        self.root.join("silver")
    }

    /// Silver that is being made anew, until it is removed.
    pub(crate) fn silver_old(&self) -> PathBuf {
        self.root.join("silver.old")
    }

    /// Events with their ids, each once.
    pub fn silver(&self) -> PathBuf {
        self.root.join("silver/events")
    }

    /// Events the gate could not accept, with the reason.
    pub fn silver_rejects(&self) -> PathBuf {
        self.root.join("silver/rejects")
    }

    /// Aggregates.
    pub fn gold(&self) -> PathBuf {
        self.root.join("gold")
    }

    /// Which events silver has, up to an offset.
    pub(crate) fn seen(&self, offset: u64) -> PathBuf {
        self.root.join(format!("silver/.seen-{offset:020}"))
    }

    /// The stream buffer's last exported state.
    pub(crate) fn buffer_state(&self) -> PathBuf {
        self.root.join("bronze/.stream-buffer")
    }
}
