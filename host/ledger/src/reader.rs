//! Reading a ledger from its files alone, beside a running host or without one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::LedgerError;
use crate::error::io;
use crate::log::{Disk, Frames, Record, SegmentHeader, list_segments};

/// The records of a folder, in order. What a running host writes after the last segment was opened is not seen.
pub struct Reader {
    disk: Arc<dyn Disk>,
    segments: std::iter::Peekable<std::vec::IntoIter<(u64, PathBuf)>>,
    from: u64,
}

impl Reader {
    /// From record `from` on.
    ///
    /// # Errors
    /// `BelowHorizon` when that was removed; `Io`.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, from: u64) -> Result<Self, LedgerError> {
        let mut segments = list_segments(&*disk, &folder.join("segments"))?;
        if let Some((horizon, _)) = segments.first().filter(|(first, _)| from < *first) {
            return Err(LedgerError::BelowHorizon {
                seq: from,
                horizon: *horizon,
            });
        }
        let after = segments.partition_point(|(first, _)| *first <= from);
        segments.drain(..after.saturating_sub(1));
        Ok(Self {
            disk,
            segments: segments.into_iter().peekable(),
            from,
        })
    }

    /// Gives each record to `visit` until it says stop.
    ///
    /// # Errors
    /// `Damaged`; what `visit` says.
    pub fn each<E: From<LedgerError>>(self, mut visit: impl FnMut(Record) -> Result<bool, E>) -> Result<(), E> {
        let Self {
            disk,
            mut segments,
            from,
        } = self;
        while let Some((first, path)) = segments.next() {
            let file = disk.open(&path, false).map_err(io("open a segment"))?;
            let header = SegmentHeader::read(&*file).map_err(io("read a segment"))?;
            let Some(header) = header.filter(|header| header.first == first) else {
                // A segment that a host is making at this moment, or was when it was killed.
                break;
            };
            let end = file.len().map_err(io("read a segment"))?;
            let mut frames = Frames::new(&*file, &header, end);
            loop {
                match frames.next_record()? {
                    Ok(Some((record, _))) if record.seq < from => {}
                    Ok(Some((record, _))) => {
                        if !visit(record)? {
                            return Ok(());
                        }
                    }
                    Ok(None) => break,
                    Err(problem) if segments.peek().is_none() && frames.evidence_after()?.is_none() => {
                        tracing::debug!(
                            seq = problem.seq,
                            "the log's end is being written, or was when the host died"
                        );
                        return Ok(());
                    }
                    Err(problem) => {
                        return Err(LedgerError::Damaged {
                            seq: problem.seq,
                            file: path.display().to_string(),
                            byte: problem.at,
                            why: problem.why,
                        }
                        .into());
                    }
                }
            }
        }
        Ok(())
    }
}
