//! Regroups rows so that what is encoded together does not depend on the batches they came in.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::coalesce::BatchCoalescer;

use super::fault;
use crate::MedallionError;

/// Rows that are encoded together.
const CHUNK_ROWS: usize = 8192;
/// Rows this large are encoded together although they are fewer, in bytes.
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// Rows that wait for others to be encoded with.
#[derive(Debug)]
pub(super) struct Chunks {
    waiting: BatchCoalescer,
    waiting_bytes: usize,
}

impl Chunks {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self {
            waiting: BatchCoalescer::new(schema, CHUNK_ROWS),
            waiting_bytes: 0,
        }
    }

    /// Adds rows; [`Chunks::next`] has what became complete.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), MedallionError> {
        self.waiting.push_batch(batch.clone()).map_err(fault::encoding)?;
        let waiting_rows = self.waiting.get_buffered_rows();
        self.waiting_bytes = match batch.num_rows().checked_sub(waiting_rows) {
            Some(complete) => size_bytes(&batch.slice(complete, waiting_rows))?,
            None => self.waiting_bytes + size_bytes(batch)?,
        };
        if self.waiting_bytes >= CHUNK_BYTES_MAX {
            self.complete()?;
        }
        Ok(())
    }

    /// Makes what waits complete.
    pub(super) fn complete(&mut self) -> Result<(), MedallionError> {
        self.waiting_bytes = 0;
        self.waiting.finish_buffered_batch().map_err(fault::encoding)
    }

    /// The next rows to be encoded.
    pub(super) fn next(&mut self) -> Option<RecordBatch> {
        self.waiting.next_completed_batch()
    }
}

fn size_bytes(batch: &RecordBatch) -> Result<usize, MedallionError> {
    batch.columns().iter().try_fold(0, |bytes, column| {
        let column_bytes = column.to_data().get_slice_memory_size().map_err(fault::encoding)?;
        Ok(bytes + column_bytes)
    })
}
