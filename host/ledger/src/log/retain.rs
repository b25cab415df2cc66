//! Removing the oldest segments, and what stands for them.

use std::sync::atomic::Ordering;

use super::append::Log;
use crate::LedgerError;
use crate::error::io;
use crate::merkle::Hash;

impl Log {
    /// The first record to keep when at most about `bytes` are to stay and records from `needed` on are needed: the
    /// first of a segment, never of the one being written if another would do. None when nothing is to go.
    pub(crate) fn first_kept(&self, bytes: u64, needed: u64) -> Option<u64> {
        let segments = self.shared.segments.read();
        let mut held = 0_u64;
        let fitting = segments.iter().rev().take_while(|segment| {
            held = held.saturating_add(segment.end());
            held <= bytes
        });
        let kept = fitting.count().max(1);
        let oldest = segments.get(segments.len().checked_sub(kept)?)?.header.first;
        let firsts = segments.iter().map(|segment| segment.header.first);
        let first = firsts.take_while(|first| *first <= oldest.min(needed)).last()?;
        (first > segments.first()?.header.first).then_some(first)
    }

    /// The chain hash and the tree's root before the first record of a segment. The tree's hashes of the records below
    /// are on disk when this returns: nothing else can tell them when those are removed.
    pub(crate) fn before(&self, first: u64) -> Result<(Hash, Hash), LedgerError> {
        let segment = self.shared.segment_of(first)?;
        let tree = self.shared.tree.lock();
        tree.files.sync()?;
        Ok((segment.header.chain, tree.files.frontier(first)?.root()))
    }

    /// Removes the segments below the one that begins with `first`.
    pub(crate) fn remove_below(&self, first: u64) -> Result<(), LedgerError> {
        let gone: Vec<_> = {
            let mut segments = self.shared.segments.write();
            let count = segments.partition_point(|segment| segment.header.first < first);
            // Only whole segments, and never the last one.
            let whole = segments.get(count).is_some_and(|next| next.header.first == first);
            if whole {
                segments.drain(..count).collect()
            } else {
                Vec::new()
            }
        };
        for segment in &gone {
            self.shared
                .disk
                .remove(&segment.path)
                .map_err(io("remove an old segment"))?;
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.shared
            .disk
            .sync_folder(&self.shared.folder)
            .map_err(io("remove old segments"))?;
        tracing::info!(
            first,
            segments = gone.len(),
            written = self.shared.written.load(Ordering::Relaxed),
            "removed the oldest records"
        );
        Ok(())
    }
}
