//! What a paced reader gets at the next tick: the newest event of each stream, within a bound.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::batch::Piece;
use super::hub::Watched;
use super::{EventId, Frames};

/// The most streams of one tick, and the most bytes of their frames; one frame is held whatever it takes.
const STREAMS_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// The newest events of streams.
#[derive(Debug, Default)]
pub(super) struct Pending {
    newest: HashMap<String, EventId>,
    frames: BTreeMap<EventId, (String, Vec<u8>)>,
    bytes: usize,
    /// Wanted events since the last tick.
    seen: u64,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes in the wanted ones of these rows.
    pub(super) fn add(&mut self, piece: &Piece, watched: &Watched) {
        let rows = piece.matching(watched, piece.rows.clone());
        self.seen += rows.len() as u64;
        let (mut streams, mut bytes) = (HashSet::new(), 0);
        // From the newest back, and no further than there is room: older ones would be left out again.
        for row in rows.into_iter().rev() {
            if streams.len() == STREAMS_MAX || bytes > BYTES_MAX {
                break;
            }
            let stream = piece.stream(row);
            if streams.insert(stream) {
                let frame = piece.frame(row);
                bytes += frame.len();
                self.put(stream, piece.batch.id(row), frame);
            }
        }
        while self.frames.len() > 1 && (self.frames.len() > STREAMS_MAX || self.bytes > BYTES_MAX) {
            let Some((_, (stream, frame))) = self.frames.pop_first() else {
                break;
            };
            self.newest.remove(&stream);
            self.bytes -= frame.len();
        }
    }

    fn put(&mut self, stream: &str, id: EventId, frame: Vec<u8>) {
        self.bytes += frame.len();
        if let Some(old) = self.newest.insert(stream.into(), id)
            && let Some((_, frame)) = self.frames.remove(&old)
        {
            self.bytes -= frame.len();
        }
        self.frames.insert(id, (stream.into(), frame));
    }

    /// Gives out what there is: how many events were left out, the events, and the place `position` that is behind them
    /// all. None when there is nothing.
    pub(super) fn flush(&mut self, position: Option<EventId>) -> Option<Frames> {
        let Self {
            frames, bytes, seen, ..
        } = std::mem::take(self);
        let (last, _) = frames.last_key_value()?;
        let (last, events) = (*last, frames.len() as u64);
        let mut text = Vec::with_capacity(bytes + 128);
        let skipped = seen.saturating_sub(events);
        if skipped > 0 {
            text.extend_from_slice(format!("event: skipped\ndata: {{\"events\":{skipped}}}\n\n").as_bytes());
        }
        for (_, frame) in frames.into_values() {
            text.extend_from_slice(&frame);
        }
        // An id on its own moves the reader's place without being an event.
        if let Some(position) = position.filter(|position| *position > last) {
            text.extend_from_slice(format!("id: {position}\n\n").as_bytes());
        }
        Some(Frames {
            bytes: text.into(),
            events,
            last,
        })
    }
}
