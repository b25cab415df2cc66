//! Taking a batch in: numbering, dropping, refusing and counting, stretch by stretch while the level stays the same.

mod kept;
mod stretch;
mod undecided;

use arrow_buffer::Buffer as Bytes;
use arrow_schema::SchemaRef;

use crate::buffer::{Admission, Buffer};
use crate::error::Error;
use crate::events::Events;
use crate::ipc;
use crate::queue::copied;
use crate::runs::Run;
use kept::{Kept, kept_of};
use stretch::Taking;

impl Buffer {
    /// Offers a batch, an Arrow IPC stream. Sheddable events are dropped at the level that holds for their place; the
    /// rest is kept as far as there is room. On an error nothing has changed.
    pub fn offer(&mut self, batch: Vec<u8>) -> Result<Admission, Error> {
        let offered_bytes = batch.len() as u64;
        let stream = ipc::read(Bytes::from_vec(batch)).map_err(Error::BadBatch)?;
        let batches: Result<Vec<_>, _> = stream.batches.iter().map(Events::of).collect();
        let batches = batches.map_err(Error::BadBatch)?;
        let size_bytes = batches.iter().map(|events| events.sizes.all()).sum();
        if size_bytes > self.settings.size_bytes_max {
            return Err(Error::TooLarge {
                size_bytes,
                size_bytes_max: self.settings.size_bytes_max,
            });
        }
        let schema = self.queue.schema(stream.schema)?;
        let bounds = self.bounds();
        let runs = self.streams.resolve(&batches, bounds)?;
        let (admission, kept) = self.take(&batches, &runs, &schema)?;
        self.hold(kept, offered_bytes)?;
        self.step = self.step.settled(self.queue.amount(), &self.settings);
        self.count(&admission);
        Ok(admission)
    }

    fn take(
        &mut self,
        batches: &[Events<'_>],
        runs: &[Vec<Run>],
        schema: &SchemaRef,
    ) -> Result<(Admission, Vec<Kept>), Error> {
        let mut kept = Vec::with_capacity(batches.len());
        let mut admission = Admission::default();
        let columns = schema.fields().len();
        let mut has_room = true;
        let queue_has_place = |pieces: usize| self.queue.has_place(pieces * columns);
        let places: Vec<bool> = (1..=batches.len()).map(queue_has_place).collect();
        let mut taking = Taking::of(self, &mut admission);
        for ((events, runs), has_place) in batches.iter().zip(runs).zip(places) {
            if has_room {
                let taken = taking.batch(events, runs, has_place);
                has_room = taken.rows == events.count();
                kept.extend(kept_of(events, &taken, schema).map_err(|error| Error::Other(error.to_string()))?);
            }
        }
        admission.offered = batches.iter().map(|events| events.count() as u64).sum();
        let shed: u64 = admission.shed.iter().map(|class| class.events).sum();
        admission.refused = admission.offered - admission.kept - shed;
        Ok((admission, kept))
    }

    /// Holds what was kept. If that is little of what was offered it is copied, so that the rest need not stay in memory.
    fn hold(&mut self, kept: Vec<Kept>, offered_bytes: u64) -> Result<(), Error> {
        let sliced = kept.iter().filter(|kept| kept.is_slice);
        let sliced_bytes: u64 = sliced.map(|kept| kept.size_bytes).sum();
        let copies = sliced_bytes < offered_bytes / 2;
        for Kept {
            batch,
            size_bytes,
            is_slice,
        } in kept
        {
            let batch = if is_slice && copies {
                copied(&batch).map_err(|error| Error::Other(error.to_string()))?
            } else {
                batch
            };
            self.queue.push(batch, size_bytes);
            self.queue.join_last();
        }
        Ok(())
    }

    fn count(&mut self, admission: &Admission) {
        self.totals.offered += admission.offered;
        self.totals.kept += admission.kept;
        self.totals.refused += admission.refused;
        for (total, shed) in self.totals.shed.iter_mut().zip(admission.shed) {
            *total = total.plus(shed);
        }
    }
}
