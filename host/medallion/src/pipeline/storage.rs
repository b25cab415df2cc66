//! Writes what is in the log to the tables: bronze, then silver, then gold. What is not finished when the host dies is
//! written again from the log.

mod hand_over;
mod recover;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use kinetic_kernel::Occupant;
use kinetic_ledger::Ledger;
use tokio::sync::{mpsc, oneshot};

use super::group::Group;
use super::intake::{Ask, Stored};
use super::keeper::{Place, Saved};
use super::layout::Layout;
use super::refiner::Refiner;
use super::seen::Seen;
use super::side::SideTable;
use super::{Gold, HandingOver, StorageStatus, small_file, snapshot};
use crate::MedallionError;
use crate::files::fault;
use crate::files::{Disk, Part, PartSettings, Writer, parts};

/// How often the buffer's state is saved, at most: it holds all that waits.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How long the storage waits after a failure before it goes back to the log.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// After so many failures in a row who waits for the tables is told.
const FAILURES_TOLD: u32 = 4;
/// Of its time gold takes at most one part in this many, but for who asks.
const GOLD_SHARE: u32 = 10;

/// What one record of the log brings to the tables.
pub(crate) struct Unit {
    pub(crate) events: RecordBatch,
    pub(crate) rejects: Option<RecordBatch>,
    pub(crate) shed: Option<RecordBatch>,
    /// The offset of the topic after it.
    pub(crate) end_offset: u64,
    /// What it takes in memory, in bytes.
    pub(crate) size_bytes: u64,
    /// What to acknowledge to the buffer when it is stored.
    pub(crate) place: Option<Place>,
}

/// What the storage is asked.
pub(crate) enum Command {
    /// Finish what is being written, up to what arrived until now, and bring gold up to it.
    Flush(u64, oneshot::Sender<Result<(), MedallionError>>),
    /// Make silver and gold anew from bronze.
    Rebuild(oneshot::Sender<Result<(), MedallionError>>),
    /// Another gate is to take over; with this, even if silver has to be made anew for it.
    HandOver(Occupant, bool, oneshot::Sender<Result<HandingOver, MedallionError>>),
    /// How it is.
    Status(oneshot::Sender<StorageStatus>),
}

/// The tables, open for writing.
struct Tables {
    bronze: Writer,
    rejects: SideTable,
    shed: SideTable,
    silver: Writer,
    silver_rejects: SideTable,
    seen: Seen,
}

/// The one who writes the tables.
pub(crate) struct Storage {
    pub(crate) ledger: Ledger,
    pub(crate) layout: Layout,
    pub(crate) parts: PartSettings,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) refiner: Refiner,
    pub(crate) gold: Option<Box<dyn Gold>>,
    pub(crate) group: Group,
    pub(crate) intake: mpsc::Sender<Ask>,
    pub(crate) stored: Arc<Stored>,
    pub(crate) units: mpsc::UnboundedReceiver<Unit>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) state: State,
}

/// What changes while the storage works.
#[derive(Default)]
pub(crate) struct State {
    tables: Option<Tables>,
    /// Up to which offset the log is in the buffer's saved state, and when that was saved by this process.
    saved: (u64, Option<Instant>),
    gold_due: Option<Instant>,
    /// Whether silver has what gold has not seen.
    gold_behind: bool,
    flushes: Vec<(u64, oneshot::Sender<Result<(), MedallionError>>)>,
    trouble: Option<String>,
    failures: u32,
    duplicates: u64,
    silver_rejected: u64,
    stored_offset: u64,
}

impl State {
    /// Nothing is open; the buffer's saved state has the log up to this offset.
    pub(crate) fn begin(saved_offset: u64) -> Self {
        Self {
            saved: (saved_offset, None),
            ..Self::default()
        }
    }
}

impl Storage {
    /// Opens the tables and brings them to the end of the log.
    ///
    /// # Errors
    /// Tables that cannot be used.
    pub(crate) async fn open(&mut self, to: u64) -> Result<(), MedallionError> {
        let tables = self.open_tables().await?;
        self.state.tables = Some(tables);
        self.catch_up_silver().await?;
        self.replay(to).await
    }

    /// Works until no more can come.
    pub(crate) async fn run(mut self) {
        let age = self.parts.part_age_max.min(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                Some(command) = self.commands.recv() => self.command(command).await,
                unit = self.units.recv() => match unit {
                    Some(unit) => self.store_surely(unit).await,
                    None => break,
                },
                () = tokio::time::sleep(age) => self.roll().await,
            }
            self.flush_if_due().await;
            self.gold_if_due();
        }
        let finished = self.finish().await;
        self.state.gold_due = None;
        self.gold_if_due();
        if let Err(error) = finished {
            tracing::warn!("the tables are behind the log, and go on from it at the next start: {error}");
        }
    }

    /// Stores a unit, however long that takes: it is in the log.
    async fn store_surely(&mut self, unit: Unit) {
        let result = self.store(&unit).await;
        self.after(result, unit.end_offset).await;
        self.state.stored_offset = unit.end_offset;
        self.stored.done(&unit);
    }

    fn trouble(&mut self, error: &MedallionError) {
        let why = error.to_string();
        if self.state.trouble.as_ref() != Some(&why) {
            tracing::warn!("the tables wait: {why}");
        }
        self.state.failures += 1;
        if self.state.failures >= FAILURES_TOLD {
            for (_, answer) in self.state.flushes.drain(..) {
                let _ = answer.send(Err(MedallionError::TablesWait { why: why.clone() }));
            }
        }
        self.state.trouble = Some(why);
    }

    /// Waits a moment, and does what it is asked meanwhile.
    async fn pause(&mut self) {
        let until = tokio::time::Instant::now() + RETRY_AFTER;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                Some(command) = self.commands.recv() => match command {
                    Command::Rebuild(answer) => {
                        let why = self.state.trouble.clone().unwrap_or_default();
                        let _ = answer.send(Err(MedallionError::TablesWait { why }));
                    }
                    other => self.command(other).await,
                },
            }
        }
    }

    async fn store(&mut self, unit: &Unit) -> Result<(), MedallionError> {
        let Some(tables) = self.state.tables.as_mut() else {
            return Err(MedallionError::Closed {});
        };
        if let Some(rejects) = &unit.rejects {
            tables.rejects.add(rejects, unit.end_offset)?;
        }
        if let Some(shed) = &unit.shed {
            tables.shed.add(shed, unit.end_offset)?;
        }
        let start = tables.bronze.next_offset().unwrap_or(unit.end_offset.saturating_sub(1));
        if unit.end_offset <= start {
            return Ok(());
        }
        if tables.silver.next_offset() != tables.bronze.next_offset() {
            return Err(MedallionError::NotNext {
                first_offset: start,
                end_offset: unit.end_offset,
                next_offset: tables.silver.next_offset().unwrap_or(0),
            });
        }
        let offsets = start..unit.end_offset;
        let part = tables.bronze.write(&unit.events, offsets.clone(), Instant::now())?;
        let refined = self.refiner.refine(&unit.events, &mut tables.seen).await?;
        tables.silver.write(&refined.accepted, offsets, Instant::now())?;
        self.state.duplicates += refined.duplicates;
        if let Some(rejected) = refined.rejected {
            self.state.silver_rejected += rejected.num_rows() as u64;
            tables.silver_rejects.add(&rejected, unit.end_offset)?;
        }
        match part {
            Some(part) => self.finished(&part).await,
            None => Ok(()),
        }
    }

    /// Finishes a part that is old enough.
    async fn roll(&mut self) {
        let Some(tables) = self.state.tables.as_mut() else {
            return;
        };
        let rolled = match tables.bronze.roll(Instant::now()) {
            Ok(Some(part)) => self.finished(&part).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.after(rolled, self.state.stored_offset).await;
    }

    /// Finishes all that is being written.
    async fn finish(&mut self) -> Result<(), MedallionError> {
        let Some(tables) = self.state.tables.as_mut() else {
            return Ok(());
        };
        match tables.bronze.finish()? {
            Some(part) => self.finished(&part).await,
            None => Ok(()),
        }
    }

    /// A bronze part is there: its silver follows, then what the log need not keep any more is let go.
    async fn finished(&mut self, part: &Part) -> Result<(), MedallionError> {
        let Some(tables) = self.state.tables.as_mut() else {
            return Ok(());
        };
        tables.rejects.finish(part.end_offset)?;
        tables.shed.finish(part.end_offset)?;
        // A part of silver ends where its part of bronze does; one that would not is made anew from that.
        let reached = tables.silver.next_offset().unwrap_or(0);
        if reached != part.end_offset {
            return Err(MedallionError::NotNext {
                first_offset: part.first_offset,
                end_offset: part.end_offset,
                next_offset: reached,
            });
        }
        tables.silver_rejects.finish(part.end_offset)?;
        tables.silver.finish()?;
        self.save_seen(part.end_offset)?;
        let saved = self.save_buffer().await;
        self.group.advance(&self.ledger, part.end_offset.min(saved)).await;
        self.state.gold_behind = true;
        Ok(())
    }

    /// Brings gold up to silver when it is behind and has had its pause. What keeps it from that keeps nobody else.
    fn gold_if_due(&mut self) {
        if !self.state.gold_behind || self.state.gold_due.is_some_and(|due| due > Instant::now()) {
            return;
        }
        if let Err(error) = self.refresh_gold(false) {
            tracing::warn!("{error}");
        }
    }

    fn save_seen(&mut self, offset: u64) -> Result<(), MedallionError> {
        let Some(tables) = self.state.tables.as_mut() else {
            return Ok(());
        };
        let path = self.layout.seen(offset);
        let what = format!("write {}", path.display());
        let saved = tables.seen.save().and_then(|bytes| small_file::write(&path, &bytes));
        saved.map_err(fault::io(what))?;
        for old in snapshot::older_seen(&self.layout.silver_root(), &path) {
            // The next one removes what stays now.
            let _ = std::fs::remove_file(old);
        }
        Ok(())
    }

    /// Saves the buffer's state now and then; up to which offset the log is in the one that is saved.
    async fn save_buffer(&mut self) -> u64 {
        let now = Instant::now();
        let (before, at) = self.state.saved;
        if at.is_some_and(|at| now.saturating_duration_since(at) < SAVE_EVERY) {
            return before;
        }
        let (answer, saved) = oneshot::channel();
        let asked = self.intake.send(Ask::Save(answer)).await;
        let saved: Option<Saved> = if asked.is_ok() {
            saved.await.unwrap_or_default()
        } else {
            None
        };
        let Some(saved) = saved else { return before };
        match small_file::write(&self.layout.buffer_state(), &snapshot::encode(&saved)) {
            Ok(()) => {
                self.state.saved = (saved.offset, Some(now));
                saved.offset
            }
            Err(error) => {
                tracing::warn!("the stream buffer's state is not saved: {error}");
                before
            }
        }
    }

    fn refresh_gold(&mut self, anew: bool) -> Result<(), MedallionError> {
        self.state.gold_behind = false;
        let Some(gold) = self.gold.as_mut() else { return Ok(()) };
        let started = Instant::now();
        let silver = parts(&self.layout.silver())?;
        let shed = parts(&self.layout.bronze_shed())?;
        let done = if anew {
            gold.rebuild(&silver, &shed)
        } else {
            gold.refresh(&silver, &shed)
        };
        self.state.gold_due = Some(Instant::now() + started.elapsed() * GOLD_SHARE);
        done.map_err(|fault| MedallionError::Gold { why: fault.to_string() })
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Flush(offset, answer) => self.state.flushes.push((offset, answer)),
            Command::Rebuild(answer) => {
                let rebuilt = self.rebuild().await;
                let _ = answer.send(rebuilt.clone());
                // Boxed: repairing answers questions too.
                Box::pin(self.after(rebuilt, self.state.stored_offset)).await;
            }
            Command::HandOver(component, anew, answer) => Box::pin(self.hand_over(component, anew, answer)).await,
            Command::Status(answer) => {
                let _ = answer.send(self.status());
            }
        }
    }

    /// Answers who waits for what is stored by now.
    async fn flush_if_due(&mut self) {
        let stored = self.state.stored_offset;
        let due: Vec<_> = self
            .state
            .flushes
            .extract_if(.., |(offset, _)| *offset <= stored)
            .collect();
        if due.is_empty() {
            return;
        }
        let mut flushed = self.finish().await;
        if flushed.is_ok() {
            flushed = self.refresh_gold(false);
        }
        for (_, answer) in due {
            let _ = answer.send(flushed.clone());
        }
        if flushed.is_err() {
            self.after(flushed, self.state.stored_offset).await;
        }
    }

    /// Goes back to the log after a failure, however long that takes: all up to this offset is in it.
    async fn after(&mut self, result: Result<(), MedallionError>, end_offset: u64) {
        let mut result = result;
        while let Err(error) = result {
            self.trouble(&error);
            if matches!(error, MedallionError::Gold { .. }) || self.units.is_closed() {
                // The log has what the tables have not, for the next start.
                return;
            }
            self.pause().await;
            result = self.reopen(end_offset).await;
        }
        if self.state.trouble.take().is_some() {
            tracing::info!("the tables go on");
        }
        self.state.failures = 0;
    }

    fn status(&self) -> StorageStatus {
        let tables = self.state.tables.as_ref();
        StorageStatus::of(
            &self.refiner,
            tables.and_then(|tables| tables.bronze.durable_offset()),
            tables.map_or(0, |tables| tables.seen.streams()),
            (
                self.state.stored_offset,
                self.state.duplicates,
                self.state.silver_rejected,
            ),
            self.state.trouble.clone(),
        )
    }
}
