//! A place in the events, and the way from there on: all that a subscriber is beside its filter.

use std::sync::Arc;

use arrow_array::RecordBatch;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::EventId;
use super::batch::{LiveBatch, Piece};
use super::hub::{At, Live, Place};
use crate::MedallionError;

type Read = Result<Option<RecordBatch>, MedallionError>;

/// What is passed and what comes next. It holds no events, so that whoever stands still holds no memory.
pub(super) struct Cursor {
    place: Place,
    head: watch::Receiver<()>,
    passed: Option<EventId>,
    offset: u64,
    row: usize,
    /// A batch being read from the history, by its offset. It is kept here so that nothing is read twice when a wait is
    /// given up.
    reading: Option<(u64, JoinHandle<Read>)>,
}

/// What is at hand.
enum Step {
    Piece(Piece),
    /// It is yet to come.
    Ahead,
    /// It must be read from the history.
    Older,
}

impl Cursor {
    /// Behind the event `passed`.
    pub(super) fn new(place: Place, head: watch::Receiver<()>, passed: Option<EventId>) -> Self {
        let (offset, row) = match passed {
            None => (0, 0),
            Some(id) => match id.row.checked_add(1) {
                Some(row) => (id.offset, row as usize),
                None => (id.offset.saturating_add(1), 0),
            },
        };
        Self {
            place,
            head,
            passed,
            offset,
            row,
            reading: None,
        }
    }

    pub(super) fn live(&self) -> &Arc<Live> {
        &self.place.0
    }

    /// The batch that comes next.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The last event that is passed; none before the first of all.
    pub(super) const fn passed(&self) -> Option<EventId> {
        self.passed
    }

    /// The next rows, waiting until there are some. A wait that is given up passes nothing.
    pub(super) async fn piece(&mut self) -> Result<Piece, MedallionError> {
        loop {
            match self.step() {
                Step::Piece(piece) => {
                    self.pass(&piece);
                    return Ok(piece);
                }
                Step::Ahead => {
                    let Self {
                        place, head, offset, ..
                    } = self;
                    if head.wait_for(|()| place.0.next_offset() > *offset).await.is_err() {
                        // Only with the hub, which this cursor holds, could that end.
                        std::future::pending::<()>().await;
                    }
                }
                Step::Older => {
                    let batch = self.read().await?;
                    match batch.piece(self.row) {
                        Some(piece) => {
                            self.pass(&piece);
                            return Ok(piece);
                        }
                        None => self.leave(&batch),
                    }
                }
            }
        }
    }

    /// The next rows, if they are in memory. They are not passed yet.
    pub(super) fn ready(&mut self) -> Option<Piece> {
        match self.step() {
            Step::Piece(piece) => Some(piece),
            Step::Ahead | Step::Older => None,
        }
    }

    fn step(&mut self) -> Step {
        loop {
            match self.live().at(self.offset) {
                At::Here(batch) => match batch.piece(self.row) {
                    Some(piece) => return Step::Piece(piece),
                    None => self.leave(&batch),
                },
                At::Ahead => return Step::Ahead,
                At::Older => return Step::Older,
            }
        }
    }

    /// Passes the rows that come next.
    pub(super) fn pass(&mut self, piece: &Piece) {
        self.row = piece.rows.end;
        self.passed = Some(piece.batch.id(piece.rows.end.saturating_sub(1)));
        if self.row >= piece.batch.rows() {
            self.leave(&piece.batch);
        }
    }

    /// Passes what is left of the batch that comes next.
    fn leave(&mut self, batch: &LiveBatch) {
        self.passed = self.passed.max(Some(batch.last_id()));
        (self.offset, self.row) = (self.offset.saturating_add(1), 0);
    }

    async fn read(&mut self) -> Result<Arc<LiveBatch>, MedallionError> {
        let offset = self.offset;
        // Meanwhile somebody else may have read it, and this cursor gone on.
        self.reading = self.reading.take().filter(|(of, _)| *of == offset);
        if self.reading.is_none() {
            let place = Arc::clone(&self.live().reads).acquire_owned().await;
            let history = Arc::clone(&self.live().history);
            let reading = tokio::task::spawn_blocking(move || {
                let _place = place;
                history.batch(offset)
            });
            self.reading = Some((offset, reading));
        }
        let Some((_, reading)) = &mut self.reading else {
            return Err(MedallionError::NoBatch { offset });
        };
        let read = reading.await;
        self.reading = None;
        let read = read.map_err(|error| MedallionError::Io {
            what: format!("be read at the offset {offset}"),
            why: error.to_string(),
        });
        let events = read??.ok_or(MedallionError::NoBatch { offset })?;
        Ok(self.live().replay(LiveBatch::new(offset, &events)?))
    }
}
