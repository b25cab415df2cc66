//! Somebody who watches, and takes everything that the filter lets through.

use std::sync::Arc;

use super::batch::Piece;
use super::cursor::Cursor;
use super::hub::Watched;
use super::throttle::{Throttle, Throttled};
use super::{EventId, Frames};
use crate::MedallionError;

/// Up to this many bytes the frames of several batches are given out together; larger ones are not worth a copy.
const GATHER_BYTES: usize = 16 << 10;
/// The most that is looked at for it beyond what comes first: of what is not wanted there may be very much.
const GATHER_PIECES: usize = 64;

/// Somebody who watches: a place in the events, and a filter. Dropping it ends it.
pub struct Subscriber {
    cursor: Cursor,
    watched: Arc<Watched>,
}

impl Subscriber {
    pub(super) const fn new(cursor: Cursor, watched: Arc<Watched>) -> Self {
        Self { cursor, watched }
    }

    /// The next frames, every wanted event once and in order; waits until there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`MedallionError::Removed`] when retention was faster, [`MedallionError::NoBatch`] when one is missing, and whatever
    /// the history answers. After that the same place is tried again.
    pub async fn next(&mut self) -> Result<Frames, MedallionError> {
        loop {
            let piece = self.cursor.piece().await?;
            if let Some(frames) = self.frames(&piece) {
                return Ok(self.gather(frames));
            }
            // Much may pass that is not wanted, and others want to run.
            tokio::task::yield_now().await;
        }
    }

    /// The last event that was given out or is not wanted: who begins behind it misses nothing. None before the first.
    pub const fn position(&self) -> Option<EventId> {
        self.cursor.passed()
    }

    /// The same, at a pace.
    pub fn throttled(self, throttle: Throttle) -> Throttled {
        Throttled::new(self, throttle)
    }

    /// The next rows, wanted or not.
    pub(super) async fn piece(&mut self) -> Result<Piece, MedallionError> {
        self.cursor.piece().await
    }

    pub(super) fn watched(&self) -> &Watched {
        &self.watched
    }

    fn frames(&self, piece: &Piece) -> Option<Frames> {
        let (frames, kept) = piece.frames(&self.watched);
        self.cursor.live().grow(&piece.batch, kept);
        frames
    }

    /// Adds what else is at hand, as long as it is little.
    fn gather(&mut self, first: Frames) -> Frames {
        let Frames {
            bytes,
            mut events,
            mut last,
        } = first;
        let mut gathered = Vec::new();
        for _ in 0..GATHER_PIECES {
            if bytes.len().max(gathered.len()) >= GATHER_BYTES {
                break;
            }
            let Some(piece) = self.cursor.ready() else { break };
            let more = self.frames(&piece);
            if more.as_ref().is_some_and(|more| more.bytes.len() > GATHER_BYTES) {
                // It comes next, as it is.
                break;
            }
            self.cursor.pass(&piece);
            let Some(more) = more else { continue };
            if gathered.is_empty() {
                gathered.extend_from_slice(&bytes);
            }
            gathered.extend_from_slice(&more.bytes);
            (events, last) = (events + more.events, more.last);
        }
        let bytes = if gathered.is_empty() { bytes } else { gathered.into() };
        Frames { bytes, events, last }
    }
}
