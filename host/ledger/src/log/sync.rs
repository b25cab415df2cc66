//! The thread that syncs: one `fdatasync` for all who wait, then the tree, and a signed checkpoint now and then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::append::{Log, Shared};
use super::disk::DiskFile;
use crate::LedgerError;
use crate::merkle::{Checkpoint, CheckpointFile, Frontier, Signer, TreeFiles};

/// So many commits share a sync well enough: with more in flight, one part of them is prepared while the disk takes the
/// other.
const SHARED_ENOUGH: usize = 128;

/// What the syncing thread is asked for.
#[derive(Default)]
pub(crate) struct Wish {
    /// Commits that wait for a sync.
    waiting: usize,
    /// Something was written and waits for nothing.
    dirty_since: Option<Instant>,
    /// The thread may be woken when so many wait.
    wake_at: usize,
    closing: bool,
}

/// The tree, as far as the log is on disk.
pub(crate) struct Tree {
    pub(crate) frontier: Frontier,
    pub(crate) files: TreeFiles,
    pub(crate) checkpoints: CheckpointFile,
    pub(crate) last: Option<Checkpoint>,
    pub(crate) last_at: Instant,
    pub(crate) signer: Signer,
    /// Where the number below which everything is on disk is noted after each sync.
    pub(crate) head: Box<dyn DiskFile>,
}

impl Shared {
    /// A commit waits for the next sync.
    pub(crate) fn wish_for_sync(&self) {
        let mut wish = self.wish.lock();
        wish.waiting += 1;
        if wish.waiting == 1 || wish.waiting == wish.wake_at {
            self.wished.notify_one();
        }
    }

    /// Something was written: to be synced within `sync_within`.
    pub(crate) fn wish_for_sync_later(&self) {
        let mut wish = self.wish.lock();
        if wish.dirty_since.is_none() {
            wish.dirty_since = Some(Instant::now());
            self.wished.notify_one();
        }
    }

    /// Waits until there is something to sync or to sign; `None` when the log closes. `before` waited last time: so many
    /// are likely to come again, and sharing one sync with them is worth a short wait.
    fn next_round(&self, before: usize, unsigned: bool) -> Option<usize> {
        let mut wish = self.wish.lock();
        loop {
            if wish.waiting > 0 {
                let deadline = Instant::now() + self.config.linger_max;
                let enough = before.min(SHARED_ENOUGH);
                wish.wake_at = enough;
                while wish.waiting < enough && !wish.closing {
                    if self.wished.wait_until(&mut wish, deadline).timed_out() {
                        break;
                    }
                }
                wish.dirty_since = None;
                wish.wake_at = 0;
                return Some(std::mem::take(&mut wish.waiting));
            }
            if wish.closing {
                return None;
            }
            if let Some(since) = wish.dirty_since {
                if self
                    .wished
                    .wait_until(&mut wish, since + self.config.sync_within)
                    .timed_out()
                    && wish.waiting == 0
                {
                    wish.dirty_since = None;
                    return Some(0);
                }
            } else if unsigned {
                if self
                    .wished
                    .wait_for(&mut wish, self.config.checkpoint_within)
                    .timed_out()
                    && wish.waiting == 0
                {
                    return Some(0);
                }
            } else {
                self.wished.wait(&mut wish);
            }
        }
    }

    /// The thread's work.
    pub(crate) fn sync_loop(&self) {
        let (mut before, mut unsigned) = (0, true);
        while let Some(waiting) = self.next_round(before, unsigned) {
            before = waiting;
            match self.sync() {
                Ok(left) => unsigned = left,
                Err(_) => break,
            }
        }
        if self.failed.get().is_none()
            && let Err(error) = self.sync().and_then(|_| self.sign(true))
        {
            tracing::error!("{error}");
        }
        self.marks.lock().abandon();
    }

    /// Writes and syncs all there is; tells whether records are left that no checkpoint covers.
    fn sync(&self) -> Result<bool, LedgerError> {
        self.flush()?;
        let (segment, written) = {
            let output = self.output.lock();
            (output.segment.clone(), self.written.load(Ordering::Acquire))
        };
        let before = self.synced.load(Ordering::Acquire);
        if written > before {
            segment.file.sync_data().map_err(|error| self.fail("sync", &error))?;
            self.synced.store(written, Ordering::Release);
            self.advance();
            if let Some(watcher) = self.on_synced.get() {
                watcher(written);
            }
        }
        self.grow(written);
        self.sign(false)
    }

    /// Notes how far the disk has come and adds the leaves to the tree.
    fn grow(&self, synced: u64) {
        let mut tree = self.tree.lock();
        let tree = &mut *tree;
        let count = usize::try_from(synced.saturating_sub(tree.frontier.size())).unwrap_or(usize::MAX);
        if count == 0 {
            return;
        }
        let leaves: Vec<_> = {
            let mut output = self.output.lock();
            let count = count.min(output.leaves.len());
            output.leaves.drain(..count).collect()
        };
        for leaf in &leaves {
            tree.frontier.push(*leaf);
        }
        // Both are helpers that a restart makes anew: failing to write them must not stop the log.
        let noted = write_head(&*tree.head, synced).map_err(|error| error.to_string());
        let appended = tree.files.append(&leaves).map_err(|error| error.to_string());
        if let Err(error) = noted.and(appended) {
            tracing::warn!("the tree's files are behind: {error}");
        }
    }

    /// Signs a checkpoint when it is time, or when `now`; tells whether records are left uncovered.
    pub(crate) fn sign(&self, now: bool) -> Result<bool, LedgerError> {
        let mut tree = self.tree.lock();
        let tree = &mut *tree;
        let size = tree.frontier.size();
        let covered = tree.last.as_ref().map_or(0, |last| last.size);
        if size <= covered {
            return Ok(false);
        }
        let due =
            size - covered >= self.config.checkpoint_records || tree.last_at.elapsed() >= self.config.checkpoint_within;
        if !(now || due) {
            return Ok(true);
        }
        let checkpoint = tree.signer.sign(size, &tree.frontier.root())?;
        tree.last_at = Instant::now();
        if let Err(error) = tree.checkpoints.append(&checkpoint) {
            tracing::warn!("a checkpoint was not kept: {error}");
        }
        tree.last = Some(checkpoint);
        Ok(false)
    }
}

/// The file that says below which number everything is on disk: the number and its checksum.
pub(crate) fn write_head(file: &dyn DiskFile, synced: u64) -> std::io::Result<()> {
    let number = synced.to_le_bytes();
    let mut bytes = [0; 12];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&number);
    second.copy_from_slice(&crc32c::crc32c(&number).to_le_bytes());
    file.write_at(&bytes, 0)
}

/// What [`write_head`] wrote; zero when it cannot be read, which only makes recovery more careful about nothing.
pub(crate) fn read_head(file: &dyn DiskFile) -> u64 {
    let mut bytes = [0; 12];
    if file.read_exact_at(&mut bytes, 0).is_err() {
        return 0;
    }
    let (number, crc) = bytes.split_at(8);
    let number: [u8; 8] = number.try_into().unwrap_or_default();
    if crc == crc32c::crc32c(&number).to_le_bytes() {
        u64::from_le_bytes(number)
    } else {
        0
    }
}

impl Log {
    /// Starts the syncing thread.
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self, LedgerError> {
        let working = shared.clone();
        let thread = std::thread::Builder::new()
            .name("ledger-sync".into())
            .spawn(move || working.sync_loop())
            .map_err(crate::error::io("start its syncing thread"))?;
        Ok(Self {
            shared,
            syncing: parking_lot::Mutex::new(Some(thread)),
        })
    }

    /// Takes no more records, syncs what there is, signs a last checkpoint.
    pub(crate) fn close(&self) {
        self.shared.sequencer.lock().closed = true;
        self.shared.wish.lock().closing = true;
        self.shared.wished.notify_all();
        if let Some(thread) = self.syncing.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Whether a checkpoint covers the record; signs one when that is all that is missing.
    pub(crate) fn covered(&self, seq: u64) -> Result<bool, LedgerError> {
        let (size, last) = {
            let tree = self.tree.lock();
            (tree.frontier.size(), tree.last.as_ref().map_or(0, |last| last.size))
        };
        if last <= seq && size > seq {
            self.sign(true)?;
            return Ok(true);
        }
        Ok(last > seq)
    }
}
