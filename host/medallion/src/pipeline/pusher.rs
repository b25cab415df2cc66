//! Pushes a stream of bytes: reads events out of it and hands them in batch by batch, while the batches before are taken.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Pending, Pipeline, Taken};
use crate::MedallionError;
use crate::event::{Batch, Framing, Reader, ReaderSettings, Rejected};

/// A batch is about what one record of the log holds.
const BATCH: ReaderSettings = ReaderSettings {
    batch_events_max: 8_192,
    batch_bytes_max: 2 << 20,
};
/// An event waits no longer than this for others to fill its batch, however steadily they come.
const BATCH_AGE_MAX: Duration = Duration::from_millis(200);
/// Batches that are being taken while the next one is read.
const IN_FLIGHT_MAX: usize = 2;

/// What became of a stream so far: `arrived` = `kept` + `shed` + `rejected` once all of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// Events that came.
    pub arrived: u64,
    /// Events that are on their way to bronze, and in the log.
    pub kept: u64,
    /// Events that were dropped under pressure.
    pub shed: u64,
    /// Events that could not be read; they are kept as rejects.
    pub rejected: u64,
    /// The first of those, with their lines and the reasons.
    pub rejects: Vec<Rejected>,
}

/// One stream on its way.
#[derive(Debug)]
pub struct Pusher<'a> {
    pipeline: &'a Pipeline,
    reader: Reader,
    /// Since when something of the batch being read is there.
    reading_since: Option<Instant>,
    in_flight: VecDeque<Pending>,
    taken: Taken,
}

impl<'a> Pusher<'a> {
    /// At the beginning of a stream.
    ///
    /// # Errors
    /// None at present: the settings are its own.
    pub fn new(pipeline: &'a Pipeline, framing: Framing) -> Result<Self, MedallionError> {
        Ok(Self {
            pipeline,
            reader: Reader::new(framing, BATCH)?,
            reading_since: None,
            in_flight: VecDeque::new(),
            taken: Taken::default(),
        })
    }

    /// Takes bytes as they come.
    ///
    /// # Errors
    /// As [`Pending::taken`]'s, with how much of the stream was taken.
    pub async fn read(&mut self, mut bytes: &[u8]) -> Result<(), MedallionError> {
        while let Some(batch) = self.reader.read(&mut bytes, now_unix_ns())? {
            self.send(batch).await?;
        }
        if self.reading_since.get_or_insert_with(Instant::now).elapsed() >= BATCH_AGE_MAX
            && let Some(batch) = self.reader.flush()?
        {
            self.send(batch).await?;
        }
        Ok(())
    }

    /// Waits until all events that came whole are taken.
    ///
    /// # Errors
    /// As [`Pusher::read`].
    pub async fn flush(&mut self) -> Result<(), MedallionError> {
        if let Some(batch) = self.reader.flush()? {
            self.send(batch).await?;
        }
        self.settle(0).await
    }

    /// Ends the stream, whose last line may lack its end, and waits until all of it is taken.
    ///
    /// # Errors
    /// As [`Pusher::read`].
    pub async fn finish(&mut self) -> Result<(), MedallionError> {
        if let Some(batch) = self.reader.finish(now_unix_ns())? {
            self.send(batch).await?;
        }
        self.settle(0).await
    }

    /// What became of it so far.
    pub fn pushed(&self) -> Pushed {
        let totals = self.reader.totals();
        Pushed {
            arrived: totals.arrived,
            kept: self.taken.kept,
            shed: self.taken.shed,
            rejected: self.taken.rejected,
            rejects: totals.listed.clone(),
        }
    }

    async fn send(&mut self, batch: Batch) -> Result<(), MedallionError> {
        self.settle(IN_FLIGHT_MAX - 1).await?;
        self.reading_since = None;
        let pending = self.pipeline.begin(batch).await?;
        self.in_flight.push_back(pending);
        Ok(())
    }

    /// Waits until at most so many batches are being taken.
    async fn settle(&mut self, in_flight_max: usize) -> Result<(), MedallionError> {
        while self.in_flight.len() > in_flight_max {
            let Some(pending) = self.in_flight.pop_front() else {
                break;
            };
            let before = self.taken.kept + self.taken.shed;
            let taken = pending.taken().await.map_err(|error| error.after(before))?;
            self.taken.kept += taken.kept;
            self.taken.shed += taken.shed;
            self.taken.rejected += taken.rejected;
        }
        Ok(())
    }
}

fn now_unix_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
