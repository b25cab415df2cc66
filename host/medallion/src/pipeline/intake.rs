//! Takes what was pushed: through the stream buffer, into the log, and on to the tables. One task, so that everything
//! has one order; pushes that wait together become one record.

mod relief;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::{Array as _, RecordBatch};
use kinetic_kernel::Occupant;
use kinetic_ledger::{Commit, Ledger};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::decided::Decided;
use super::keeper::{Keeper, Place, Saved};
use super::storage::Unit;
use super::topic::{self, Totals};
use super::{BufferStatus, Committed, HandingOver, ipc};
use crate::MedallionError;

/// How much becomes one record at most, in rows and bytes: an event of the log holds 4 MiB.
const RECORD_ROWS_MAX: usize = 16_384;
const RECORD_BYTES_MAX: usize = 3 << 20;
/// Pushes are joined up to here, in bytes: one more, rejects and all, still fits.
const JOINED_BYTES_MAX: usize = 3 << 19;

/// What became of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events that are on their way to bronze, and in the log.
    pub kept: u64,
    /// Events that were dropped under pressure.
    pub shed: u64,
    /// Events that could not be read; they are kept as rejects.
    pub rejected: u64,
}

/// A batch that waits to be taken.
pub(crate) struct Push {
    pub(crate) events: RecordBatch,
    pub(crate) rejects: RecordBatch,
    /// Receipts below this record are in the log of telemetry with it.
    pub(crate) receipts_seq: Option<u64>,
    pub(crate) answer: oneshot::Sender<Result<Taken, MedallionError>>,
}

/// What else the task is asked.
pub(crate) enum Ask {
    /// The buffer's state, for starting again from.
    Save(oneshot::Sender<Option<Saved>>),
    /// Another buffer is to take over; with this, even without the state.
    HandOver(Occupant, bool, oneshot::Sender<Result<HandingOver, MedallionError>>),
    /// Take no more.
    Close,
    /// How it is.
    Status(oneshot::Sender<(Totals, BufferStatus)>),
}

/// How far the tables are.
#[derive(Default)]
pub(crate) struct Stored {
    place: Mutex<Place>,
    /// Bytes of units that are on their way to the tables.
    on_their_way: AtomicU64,
    moved: Notify,
}

impl Stored {
    /// A unit is in the tables.
    pub(crate) fn done(&self, unit: &Unit) {
        if let Some(place) = unit.place {
            let mut newest = self.place.lock();
            *newest = (*newest).max(place);
        }
        self.on_their_way.fetch_sub(unit.size_bytes, Ordering::AcqRel);
        self.moved.notify_waiters();
    }
}

/// The task.
pub(crate) struct Intake {
    pub(crate) ledger: Ledger,
    pub(crate) keeper: Keeper,
    pub(crate) totals: Totals,
    pub(crate) next_offset: u64,
    pub(crate) push_wait: Duration,
    /// So many bytes may be on their way to the tables: a buffer that was started again has forgotten what is.
    pub(crate) on_their_way_max: u64,
    pub(crate) units: mpsc::UnboundedSender<Unit>,
    pub(crate) stored: Arc<Stored>,
    pub(crate) acknowledged: Place,
    pub(crate) committed: Committed,
    pub(crate) pushes: mpsc::Receiver<Push>,
    pub(crate) asks: mpsc::Receiver<Ask>,
}

/// A push that is being taken.
struct Pending {
    /// Its rows among those taken together.
    rows: std::ops::Range<usize>,
    taken: Taken,
    answer: oneshot::Sender<Result<Taken, MedallionError>>,
}

/// A part that is in the log.
struct Part {
    decided: Decided,
    rows: usize,
}

impl Intake {
    /// Works until nobody can push any more.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                Some(ask) = self.asks.recv() => self.answer(ask).await,
                push = self.pushes.recv() => match push {
                    Some(push) => self.together(push).await,
                    None => return,
                },
            }
        }
    }

    /// Takes a push, and those that came meanwhile.
    async fn together(&mut self, first: Push) {
        let (mut events, mut rejects, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rows, mut bytes, mut receipts_seq) = (0, 0, None);
        let mut next = Some(first);
        while let Some(push) = next.take() {
            if push.answer.is_closed() {
                // Its sender went away, or was told that an earlier part was not taken.
                next = self.pushes.try_recv().ok();
                continue;
            }
            let end = rows + push.events.num_rows();
            bytes += size_bytes(&push.events) + size_bytes(&push.rejects);
            receipts_seq = receipts_seq.max(push.receipts_seq);
            pending.push(Pending {
                rows: rows..end,
                taken: Taken {
                    rejected: push.rejects.num_rows() as u64,
                    ..Taken::default()
                },
                answer: push.answer,
            });
            rows = end;
            if push.events.num_rows() > 0 {
                events.push(push.events);
            }
            if push.rejects.num_rows() > 0 {
                rejects.push(push.rejects);
            }
            if rows < RECORD_ROWS_MAX && bytes < JOINED_BYTES_MAX {
                next = self.pushes.try_recv().ok();
            }
        }
        let joined = ipc::concat(&events).and_then(|events| {
            let rejects = if rejects.is_empty() {
                None
            } else {
                Some(ipc::concat(&rejects)?)
            };
            Ok((events, rejects))
        });
        let result = match joined {
            Ok((events, rejects)) => self.take(events, rejects, receipts_seq, &mut pending).await,
            Err(error) => Err(error),
        };
        for push in pending {
            let left = push.rows.len() as u64 - push.taken.kept - push.taken.shed;
            let answer = match &result {
                Ok(()) => Ok(push.taken),
                Err(error) => Err(error.for_push(push.taken.kept + push.taken.shed, left)),
            };
            let _ = push.answer.send(answer);
        }
    }

    /// Takes a batch part by part; answers each push as soon as all of it is in the log.
    async fn take(
        &mut self,
        events: RecordBatch,
        mut rejects: Option<RecordBatch>,
        receipts_seq: Option<u64>,
        pending: &mut Vec<Pending>,
    ) -> Result<(), MedallionError> {
        let deadline = Instant::now() + self.push_wait;
        let mut done = 0;
        while done < events.num_rows() || rejects.is_some() {
            let stored = self.stored.clone();
            let mut moved = std::pin::pin!(stored.moved.notified());
            moved.as_mut().enable();
            self.acknowledge().await?;
            if stored.on_their_way.load(Ordering::Acquire) > self.on_their_way_max {
                self.wait_room(moved, deadline).await?;
                continue;
            }
            let offered = piece(&events, done);
            let asked = offered.num_rows();
            let last = receipts_seq.filter(|_| done + asked == events.num_rows());
            let part = self.part(offered, rejects.take(), last).await?;
            for push in pending.iter_mut() {
                let start = push.rows.start.max(done);
                let end = push.rows.end.min(done + part.rows);
                if start < end {
                    let kept = part.decided.kept_among(start - done..end - done);
                    push.taken.kept += kept;
                    push.taken.shed += (end - start) as u64 - kept;
                }
            }
            done += part.rows;
            let complete = pending.iter().take_while(|push| push.rows.end <= done).count();
            for push in pending.drain(..complete) {
                let _ = push.answer.send(Ok(push.taken));
            }
            if part.rows < asked {
                self.wait_room(moved, deadline).await?;
            }
        }
        Ok(())
    }

    /// Offers a batch, and commits what of it was kept or dropped.
    async fn part(
        &mut self,
        offered: RecordBatch,
        rejects: Option<RecordBatch>,
        receipts_seq: Option<u64>,
    ) -> Result<Part, MedallionError> {
        let asked = offered.num_rows();
        let mut batch = offered;
        let (decided, levels, place) = loop {
            if batch.num_rows() == 0 {
                let nothing = Decided {
                    events: batch.clone(),
                    kept: None,
                };
                break (nothing, Vec::new(), None);
            }
            match self.keeper.offer(&batch).await {
                Err(MedallionError::BatchTooLarge { .. }) if batch.num_rows() > 1 => {
                    batch = batch.slice(0, batch.num_rows() / 2);
                }
                // What pushes is not told of a component that is being replaced for its failures.
                Err(MedallionError::Quarantined { .. }) if self.keeper.strikes().relief().is_some() => {
                    self.wait_relief().await;
                }
                answer => {
                    let answer = answer?;
                    break (answer.decided, answer.levels, answer.up_to);
                }
            }
        };
        let receipts_seq = receipts_seq.filter(|_| decided.events.num_rows() == asked);
        let mut totals = self.totals_with(&decided, rejects.as_ref());
        totals.receipts_seq = totals.receipts_seq.max(receipts_seq.unwrap_or(0));
        self.commit(decided, &levels, rejects, (totals, place)).await
    }

    async fn commit(
        &mut self,
        decided: Decided,
        levels: &[crate::subsystem::buffer::LevelChange],
        rejects: Option<RecordBatch>,
        (totals, place): (Totals, Option<Place>),
    ) -> Result<Part, MedallionError> {
        let rows = decided.events.num_rows();
        // Nothing may fail between the log and the tables.
        let (kept, shed) = (decided.kept_events()?, decided.shed()?);
        let events = topic::encode(
            self.next_offset,
            levels,
            Some(&decided).filter(|_| rows > 0),
            rejects.as_ref(),
            &totals,
        );
        let committed = match events {
            Ok(events) if events.is_empty() => return Ok(Part { decided, rows }),
            Ok(events) => {
                let count = events.len() as u64;
                let commit = Commit {
                    events,
                    ..Commit::default()
                };
                self.ledger.commit(commit).await.map(|_| count).map_err(topic::fault)
            }
            Err(error) => Err(error),
        };
        let count = match committed {
            Ok(count) => count,
            Err(error) => {
                // The buffer holds what the log does not.
                self.keeper.forget();
                return Err(error);
            }
        };
        let events_offset = self.next_offset + topic::level_events(levels);
        self.next_offset += count;
        self.totals = totals;
        let nothing = RecordBatch::new_empty(kept.schema());
        for offset in self.next_offset - count..self.next_offset {
            (self.committed)(
                offset,
                if rows > 0 && offset == events_offset {
                    &kept
                } else {
                    &nothing
                },
            );
        }
        let size_bytes = size_bytes(&kept) + rejects.as_ref().map_or(0, size_bytes);
        let unit = Unit {
            shed,
            size_bytes: size_bytes as u64,
            events: kept,
            rejects,
            end_offset: self.next_offset,
            place,
        };
        self.stored.on_their_way.fetch_add(unit.size_bytes, Ordering::AcqRel);
        // Without the other end the host is stopping, and the log has it.
        let _ = self.units.send(unit);
        Ok(Part { decided, rows })
    }

    fn totals_with(&self, decided: &Decided, rejects: Option<&RecordBatch>) -> Totals {
        let mut totals = self.totals;
        let (kept, shed) = decided.counts();
        for (total, count) in totals.kept.iter_mut().zip(kept) {
            *total += count;
        }
        for (total, count) in totals.shed.iter_mut().zip(shed) {
            *total += count;
        }
        let rejected = rejects.map_or(0, RecordBatch::num_rows) as u64;
        totals.rejected += rejected;
        totals.arrived += decided.events.num_rows() as u64 + rejected;
        totals
    }

    /// Tells the buffer what the tables have.
    async fn acknowledge(&mut self) -> Result<(), MedallionError> {
        let place = *self.stored.place.lock();
        if place != self.acknowledged {
            self.keeper.acknowledge(place).await?;
            self.acknowledged = place;
        }
        Ok(())
    }

    /// Waits until the tables have more; answers others meanwhile.
    async fn wait_room(
        &mut self,
        mut moved: std::pin::Pin<&mut tokio::sync::futures::Notified<'_>>,
        deadline: Instant,
    ) -> Result<(), MedallionError> {
        loop {
            tokio::select! {
                () = &mut moved => return Ok(()),
                () = tokio::time::sleep_until(deadline) => return Err(MedallionError::Overloaded {
                    taken: 0,
                    left: 0,
                    wait_ms: u64::try_from(self.push_wait.as_millis()).unwrap_or(u64::MAX),
                }),
                Some(ask) = self.asks.recv() => self.answer(ask).await,
            }
        }
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Save(answer) => {
                let saved = self
                    .keeper
                    .save(self.next_offset, self.totals)
                    .await
                    .unwrap_or_default();
                let _ = answer.send(saved);
            }
            Ask::HandOver(component, discard_state, answer) => {
                self.hand_over(component, discard_state, answer).await;
            }
            // Closing waits until what is being taken is taken.
            Ask::Close => self.pushes.close(),
            Ask::Status(answer) => {
                let _ = self.acknowledge().await;
                let status = BufferStatus::of(&mut self.keeper, self.next_offset).await;
                let _ = answer.send((self.totals, status));
            }
        }
    }
}

/// The next rows, as many as one record can hold.
pub(crate) fn piece(events: &RecordBatch, from: usize) -> RecordBatch {
    let left = events.slice(from, events.num_rows() - from);
    let bytes = size_bytes(&left).max(1);
    if left.num_rows() <= RECORD_ROWS_MAX && bytes <= RECORD_BYTES_MAX {
        return left;
    }
    let by_bytes = left.num_rows().saturating_mul(RECORD_BYTES_MAX) / bytes;
    let mut rows = by_bytes.clamp(1, RECORD_ROWS_MAX).min(left.num_rows());
    while rows > 1 && size_bytes(&left.slice(0, rows)) > RECORD_BYTES_MAX {
        rows = rows.div_ceil(2);
    }
    left.slice(0, rows)
}

fn size_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    columns
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum()
}
