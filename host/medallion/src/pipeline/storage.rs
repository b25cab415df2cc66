//! Writes what is in the log to the tables: bronze, then silver, then gold. What is not finished when the host dies is
//! written again from the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use kinetic_ledger::Ledger;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use super::group::Group;
use super::intake::{Ask, Stored, piece};
use super::keeper::{Place, Saved};
use super::layout::Layout;
use super::refiner::Refiner;
use super::seen::Seen;
use super::side::SideTable;
use super::topic::{self, Logged};
use super::{Component, Gold, StorageStatus, ipc, small_file, snapshot};
use crate::MedallionError;
use crate::event::{self, VERSION};
use crate::files::fault;
use crate::files::{Disk, Part, PartSettings, Table, Writer, parts, read_all, read_part};

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
    /// Another gate.
    Swap(Component, oneshot::Sender<Result<(), MedallionError>>),
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

    /// After a failure: what the tables have on disk counts, the rest comes from the log again.
    async fn reopen(&mut self, to: u64) -> Result<(), MedallionError> {
        self.state.tables = None;
        self.open(to).await
    }

    async fn open_tables(&mut self) -> Result<Tables, MedallionError> {
        let schema = self.refiner.schema().await?;
        let whole = PartSettings {
            part_bytes_max: u64::MAX,
            part_age_max: Duration::MAX,
            ..self.parts
        };
        let table = |schema| Table {
            schema,
            schema_version: VERSION.into(),
        };
        let layout = &self.layout;
        let old = layout.silver_old();
        if old.exists() {
            let what = format!("remove {}", old.display());
            std::fs::remove_dir_all(&old).map_err(fault::io(what))?;
        }
        let bronze = Writer::open_on(self.disk.clone(), &layout.bronze(), table(event::schema()), self.parts)?;
        let silver = Writer::open_on(self.disk.clone(), &layout.silver(), table(schema), whole)?;
        let (_, head) = topic::bounds(&self.ledger)?;
        if let Some(end_offset) = bronze.durable_offset().filter(|end| *end > head) {
            return Err(MedallionError::AheadOfLog {
                folder: layout.bronze().display().to_string(),
                end_offset,
                head,
            });
        }
        let seen = self.load_seen(silver.durable_offset())?;
        Ok(Tables {
            rejects: SideTable::open(self.disk.clone(), layout.bronze_rejects(), whole)?,
            shed: SideTable::open(self.disk.clone(), layout.bronze_shed(), whole)?,
            silver_rejects: SideTable::open(self.disk.clone(), layout.silver_rejects(), whole)?,
            bronze,
            silver,
            seen,
        })
    }

    fn load_seen(&self, silver: Option<u64>) -> Result<Seen, MedallionError> {
        let Some(offset) = silver else {
            return Ok(Seen::default());
        };
        if let Some(bytes) = small_file::read(&self.layout.seen(offset)) {
            match Seen::load(&bytes) {
                Ok(seen) => return Ok(seen),
                Err(why) => tracing::warn!("what silver has is read from its files: the saved list is damaged: {why}"),
            }
        }
        let mut seen = Seen::default();
        for batch in read_all(&self.layout.silver())? {
            seen.fresh(&batch?).map_err(|why| MedallionError::Damaged {
                file: self.layout.silver().display().to_string(),
                why,
            })?;
        }
        Ok(seen)
    }

    /// Makes the silver of finished bronze parts that have none.
    async fn catch_up_silver(&mut self) -> Result<(), MedallionError> {
        for part in parts(&self.layout.bronze())? {
            let Some(tables) = self.state.tables.as_mut() else {
                return Ok(());
            };
            if tables.silver.durable_offset().is_some_and(|end| part.end_offset <= end) {
                continue;
            }
            for batch in read_part(&part)? {
                let batch =
                    ipc::with_schema(&batch?, event::schema()).map_err(|error| MedallionError::OtherSchema {
                        what: error.to_string(),
                    })?;
                let mut done = 0;
                while done < batch.num_rows() {
                    let piece = piece(&batch, done);
                    done += piece.num_rows();
                    let refined = self.refiner.refine(&piece, &mut tables.seen).await?;
                    tables
                        .silver
                        .append(&refined.accepted, part.first_offset, Instant::now())?;
                    if let Some(rejected) = refined.rejected {
                        tables.silver_rejects.add(&rejected, part.end_offset)?;
                    }
                }
            }
            let nothing = RecordBatch::new_empty(tables.silver.schema());
            tables
                .silver
                .write(&nothing, part.first_offset..part.end_offset, Instant::now())?;
            tables.silver_rejects.finish(part.end_offset)?;
            tables.silver.finish()?;
            self.save_seen(part.end_offset)?;
        }
        Ok(())
    }

    /// Writes again what the log has and the tables have not.
    async fn replay(&mut self, to: u64) -> Result<(), MedallionError> {
        let (first, head) = topic::bounds(&self.ledger)?;
        let durable = self
            .state
            .tables
            .as_ref()
            .and_then(|tables| tables.bronze.durable_offset());
        let committed = self.group.next();
        let mut offset = durable.map_or(committed, |durable| committed.min(durable)).max(first);
        let to = to.min(head);
        while offset < to {
            let events = topic::read(&self.ledger, offset)?;
            if events.is_empty() {
                return Err(MedallionError::NotRecorded {
                    why: format!("offset {offset} of {} is not there", topic::TOPIC),
                });
            }
            for event in events.into_iter().take_while(|event| event.offset < to) {
                offset = event.offset + 1;
                let mut unit = Unit {
                    events: RecordBatch::new_empty(event::schema()),
                    rejects: None,
                    shed: None,
                    end_offset: offset,
                    size_bytes: 0,
                    place: None,
                };
                match topic::decode(&event) {
                    Logged::Events(decided) => {
                        unit.shed = decided.shed()?;
                        unit.events = decided.kept_events()?;
                    }
                    Logged::Rejects(rejects) => unit.rejects = Some(rejects),
                    Logged::Levels(_) => {}
                    Logged::Other(why) => tracing::warn!(
                        offset = event.offset,
                        "an event of {} is passed over: {why}",
                        topic::TOPIC
                    ),
                }
                self.store(&unit).await?;
            }
        }
        self.state.stored_offset = self.state.stored_offset.max(offset);
        Ok(())
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
            Command::Swap(component, answer) => {
                let _ = answer.send(self.refiner.swap(component).await);
            }
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

    /// Makes silver and gold anew.
    async fn rebuild(&mut self) -> Result<(), MedallionError> {
        self.finish().await?;
        self.state.tables = None;
        let (folder, old) = (self.layout.silver_root(), self.layout.silver_old());
        if folder.exists() {
            // All of it goes at once: what a kill left of removing it would look like silver.
            let what = format!("rename {}", folder.display());
            std::fs::rename(&folder, &old).map_err(fault::io(what))?;
        }
        self.open(self.state.stored_offset).await?;
        self.refresh_gold(true)
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
