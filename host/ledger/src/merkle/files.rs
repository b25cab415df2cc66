//! The tree's hashes on disk: one file of leaves, one of complete blocks. A view: rebuilt from the log when short or wrong.

use std::path::Path;

use super::proof::BLOCK_LEAVES;
use super::{Frontier, Hash, Leaves, range_root};
use crate::LedgerError;
use crate::error::io;
use crate::log::{Disk, DiskFile};

const HASH_BYTES: u64 = 32;

/// The leaf and block files, and what was not written to them yet.
pub(crate) struct TreeFiles {
    leaves: Box<dyn DiskFile>,
    blocks: Box<dyn DiskFile>,
    size: u64,
    block: Frontier,
}

impl TreeFiles {
    /// Opens the files and keeps at most `size` leaves of them.
    pub(crate) fn open(disk: &dyn Disk, folder: &Path, size: u64) -> Result<Self, LedgerError> {
        let open = |name: &str| {
            disk.open(&folder.join(name), true)
                .map_err(io(format!("open the tree's {name}")))
        };
        let (leaves, blocks) = (open("leaves")?, open("blocks")?);
        let length = |file: &dyn DiskFile| {
            file.len()
                .map(|bytes| bytes / HASH_BYTES)
                .map_err(io("read the tree's length"))
        };
        let mut size = size.min(length(&*leaves)?);
        let whole = size / BLOCK_LEAVES;
        let ready = whole.min(length(&*blocks)?);
        if ready < whole {
            size = ready * BLOCK_LEAVES;
        }
        let mut files = Self {
            leaves,
            blocks,
            size,
            block: Frontier::default(),
        };
        files.shorten(size)?;
        Ok(files)
    }

    /// Forgets all leaves from `size` on.
    pub(crate) fn shorten(&mut self, size: u64) -> Result<(), LedgerError> {
        let whole = size / BLOCK_LEAVES;
        self.leaves.set_len(size * HASH_BYTES).map_err(io("shorten the tree"))?;
        self.blocks
            .set_len(whole * HASH_BYTES)
            .map_err(io("shorten the tree"))?;
        self.size = size;
        self.block = Frontier::default();
        for leaf in self.leaves(whole * BLOCK_LEAVES, size)? {
            self.block.push(leaf);
        }
        Ok(())
    }

    /// Makes all that was appended survive a power cut: what cannot be rebuilt from the log any more must be there.
    pub(crate) fn sync(&self) -> Result<(), LedgerError> {
        self.leaves
            .sync_data()
            .and_then(|()| self.blocks.sync_data())
            .map_err(io("sync the tree"))
    }

    /// Opens the files as they are, to read; none when they are not there.
    pub(crate) fn read_only(disk: &dyn Disk, folder: &Path) -> Option<Self> {
        let open = |name: &str| disk.open(&folder.join(name), false).ok();
        let (leaves, blocks) = (open("leaves")?, open("blocks")?);
        let size = leaves.len().ok()? / HASH_BYTES;
        Some(Self {
            leaves,
            blocks,
            size,
            block: Frontier::default(),
        })
    }

    /// Leaves there are.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Appends leaves. Buffered by the system; a crash that loses some costs a rebuild of those.
    pub(crate) fn append(&mut self, leaves: &[Hash]) -> Result<(), LedgerError> {
        let mut blocks = Vec::new();
        let first_block = self.size / BLOCK_LEAVES;
        for leaf in leaves {
            self.block.push(*leaf);
            if self.block.size() == BLOCK_LEAVES {
                blocks.extend_from_slice(&self.block.root());
                self.block = Frontier::default();
            }
        }
        self.leaves
            .write_at(leaves.as_flattened(), self.size * HASH_BYTES)
            .map_err(io("write the tree's leaves"))?;
        if !blocks.is_empty() {
            self.blocks
                .write_at(&blocks, first_block * HASH_BYTES)
                .map_err(io("write the tree's blocks"))?;
        }
        self.size += leaves.len() as u64;
        Ok(())
    }

    /// The frontier of the first `size` leaves.
    pub(crate) fn frontier(&self, size: u64) -> Result<Frontier, LedgerError> {
        let mut roots = Vec::new();
        let mut from = 0;
        for bit in (0..64).rev() {
            let count = 1_u64 << bit;
            if size & count != 0 {
                roots.push(range_root(self, from, from + count)?);
                from += count;
            }
        }
        Frontier::from_roots(size, roots).ok_or_else(|| crate::wire::malformed("the tree's edge does not add up"))
    }

    fn hashes(file: &dyn DiskFile, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError> {
        let count = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        let mut hashes = vec![[0; 32]; count];
        file.read_exact_at(hashes.as_flattened_mut(), from * HASH_BYTES)
            .map_err(io("read the tree"))?;
        Ok(hashes)
    }
}

impl Leaves for TreeFiles {
    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError> {
        Self::hashes(&*self.leaves, from, to)
    }

    fn blocks(&self, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError> {
        Self::hashes(&*self.blocks, from, to)
    }
}
