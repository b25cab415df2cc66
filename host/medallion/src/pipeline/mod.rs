//! From what is pushed to tables: through the stream buffer into the log, from the log to bronze, through the silver gate
//! to silver, and on to gold.
//!
//! A push is answered when its events are in the log. From there each step can be made again: the tables' files say up to
//! which offset they go, so a host that is killed loses nothing and doubles nothing. Who does not keep up is waited for:
//! what is not in the tables yet stays in the stream buffer, whose fullness decides what is dropped, and what may not be
//! dropped is not taken.

mod claims;
mod decided;
mod executions;
mod group;
mod handing_over;
mod history;
mod intake;
mod ipc;
mod keeper;
mod layout;
mod pusher;
mod refiner;
mod seats;
mod seen;
mod side;
mod small_file;
mod snapshot;
mod status;
mod storage;
mod strikes;
mod topic;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use kinetic_engine::Called;
use kinetic_kernel::Occupant;
use kinetic_ledger::{Durability, Ledger};
use kinetic_model::Fault;
use tokio::sync::{mpsc, oneshot};

pub use decided::shed_schema;
pub use executions::{EXECUTIONS, Executions};
pub use group::GROUP;
pub use handing_over::HandingOver;
pub use history::LogHistory;
pub use intake::Taken;
use intake::{Ask, Intake, Push, Stored};
use keeper::Keeper;
pub use keeper::STREAM_BUFFER;
pub use layout::Layout;
pub use pusher::{Pushed, Pusher};
use refiner::Refiner;
pub use refiner::SILVER_GATE;
pub use seats::{SILVER_GATE_URN, STREAM_BUFFER_URN, SubsystemSeat};
pub use status::{BufferStatus, ComponentStatus, Status, StorageStatus};
use storage::{Command, Storage};
pub use topic::{KEPT, TOPIC, Totals};

use crate::MedallionError;
use crate::event::Batch;
use crate::files::{Disk, Part, PartSettings};
use crate::subsystem::buffer::Setting;

/// Pushes that wait to be taken; more wait to wait.
const PUSHES_WAITING: usize = 64;
/// Questions that wait for an answer.
const ASKS_WAITING: usize = 16;

/// Told of each batch of kept events once it is in the log, with its offset in the topic.
pub type Committed = Arc<dyn Fn(u64, &RecordBatch) + Send + Sync>;

/// Makes gold of silver.
pub trait Gold: Send {
    /// Brings gold up to these files of silver and of what was dropped, as far as it is not.
    ///
    /// # Errors
    /// What it says; the tables before it are kept.
    fn refresh(&mut self, silver: &[Part], shed: &[Part]) -> Result<(), Fault>;

    /// The same from nothing.
    ///
    /// # Errors
    /// What it says; the tables before it are kept.
    fn rebuild(&mut self, silver: &[Part], shed: &[Part]) -> Result<(), Fault>;
}

/// What a pipeline is made of.
pub struct PipelineConfig {
    /// The data folder: the tables lie in `bronze`, `silver` and `gold` under it.
    pub data: PathBuf,
    /// Where everything is recorded first.
    pub ledger: Ledger,
    /// The stream buffer.
    pub buffer: Occupant,
    /// Its settings.
    pub buffer_settings: Vec<Setting>,
    /// The silver gate.
    pub gate: Occupant,
    /// Whether silver has the ids of the 0.80 line as well. When that changes silver is made anew.
    pub legacy_ids: bool,
    /// How files are cut.
    pub parts: PartSettings,
    /// Where they are written.
    pub disk: Arc<dyn Disk>,
    /// After what a push is answered.
    pub durability: Durability,
    /// How long a push waits for room.
    pub push_wait: Duration,
    /// So many bytes may be on their way from the log to the tables; more wait to be taken.
    pub on_their_way_bytes_max: u64,
    /// After so many failures within ten minutes a subsystem is not started again by itself.
    pub strikes_max: u32,
    /// Makes gold; without it there is none.
    pub gold: Option<Box<dyn Gold>>,
    /// Told of what is in the log.
    pub committed: Committed,
}

/// A running pipeline. Cheap to clone; it ends with [`Pipeline::close`], or when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pushes: mpsc::Sender<Push>,
    asks: mpsc::Sender<Ask>,
    commands: mpsc::Sender<Command>,
    layout: Layout,
}

/// A pipeline's tasks, to be waited for at the end.
#[derive(Debug)]
pub struct Tasks {
    intake: tokio::task::JoinHandle<()>,
    storage: std::thread::JoinHandle<()>,
}

impl Tasks {
    /// Waits until all that was taken is in finished files, after [`Pipeline::close`].
    pub async fn finished(self) {
        let _ = self.intake.await;
        let _ = tokio::task::spawn_blocking(move || self.storage.join()).await;
    }
}

/// A batch that is being taken; it is taken also when nobody waits for it.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Taken, MedallionError>>);

impl Pending {
    /// What became of it, once all of it is in the log.
    ///
    /// # Errors
    /// `Overloaded`, with how much was taken; `NotRecorded`; `Quarantined`; `TooManyStreams`; `Closed`.
    pub async fn taken(self) -> Result<Taken, MedallionError> {
        self.0.await.map_err(|_| MedallionError::Closed {})?
    }
}

impl Pipeline {
    /// Opens the tables, brings them up to the log, and takes pushes from then on.
    ///
    /// # Errors
    /// `NotRecorded`; tables that cannot be used; a gate that does not answer.
    pub async fn open(config: PipelineConfig) -> Result<(Self, Tasks), MedallionError> {
        let layout = Layout::new(&config.data);
        let ledger = config.ledger;
        topic::ensure(&ledger, config.durability).await?;
        let (_, head) = topic::bounds(&ledger)?;
        let saved = small_file::read(&layout.buffer_state()).and_then(|bytes| snapshot::decode(&bytes));
        let totals = last_totals(&ledger, head)?;
        // Retention may have removed the last record of telemetry.
        let totals = totals.or(saved.as_ref().map(|saved| saved.totals)).unwrap_or_default();
        let (pushes, incoming) = mpsc::channel(PUSHES_WAITING);
        let (asks, asked) = mpsc::channel(ASKS_WAITING);
        let (commands, commanded) = mpsc::channel(ASKS_WAITING);
        // Bounded by the stream buffer: what is in here is not acknowledged there.
        let (units, stored_units) = mpsc::unbounded_channel();
        let stored = Arc::new(Stored::default());
        let mut storage = Storage {
            ledger: ledger.clone(),
            layout: layout.clone(),
            parts: config.parts,
            disk: config.disk,
            refiner: Refiner::new(config.gate, config.strikes_max, config.legacy_ids),
            gold: config.gold,
            group: group::Group::join(&ledger).await?,
            intake: asks.clone(),
            stored: stored.clone(),
            units: stored_units,
            commands: commanded,
            state: storage::State::begin(saved.as_ref().map_or(0, |saved| saved.offset)),
        };
        let intake = Intake {
            keeper: Keeper::new(
                ledger.clone(),
                config.buffer,
                config.buffer_settings,
                saved,
                config.strikes_max,
            ),
            ledger,
            totals,
            next_offset: head,
            push_wait: config.push_wait,
            on_their_way_max: config.on_their_way_bytes_max,
            units,
            stored,
            acknowledged: keeper::Place::default(),
            committed: config.committed,
            pushes: incoming,
            asks: asked,
        };
        let intake = tokio::spawn(intake.run());
        storage.open(head).await?;
        // Encoding files takes whole cores for milliseconds: on a thread of its own, so that nobody's socket waits for it.
        let runtime = tokio::runtime::Handle::current();
        let storage = std::thread::Builder::new()
            .name("medallion".into())
            .spawn(move || runtime.block_on(storage.run()))
            .map_err(|error| MedallionError::Io {
                what: "start a thread".into(),
                why: error.to_string(),
            })?;
        let pipeline = Self {
            pushes,
            asks,
            commands,
            layout,
        };
        Ok((pipeline, Tasks { intake, storage }))
    }

    /// Takes a batch as the reader made it; answered when all of it is in the log.
    ///
    /// # Errors
    /// As [`Pending::taken`].
    pub async fn push(&self, batch: Batch) -> Result<Taken, MedallionError> {
        self.begin(batch).await?.taken().await
    }

    /// Hands in a batch, after those that were handed in before; it is taken while its sender reads on.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn begin(&self, batch: Batch) -> Result<Pending, MedallionError> {
        self.hand_in(batch, None).await
    }

    /// Takes the events of receipts up to a record.
    async fn push_receipts(&self, batch: Batch, receipts_seq: u64) -> Result<Taken, MedallionError> {
        self.hand_in(batch, Some(receipts_seq)).await?.taken().await
    }

    async fn hand_in(&self, batch: Batch, receipts_seq: Option<u64>) -> Result<Pending, MedallionError> {
        let (answer, taken) = oneshot::channel();
        let push = Push {
            receipts_seq,
            events: batch.events,
            rejects: batch.rejects,
            answer,
        };
        self.pushes.send(push).await.map_err(|_| MedallionError::Closed {})?;
        Ok(Pending(taken))
    }

    /// Finishes the files that are being written and brings gold up to what was pushed until now.
    ///
    /// # Errors
    /// What kept the tables from it.
    pub async fn flush(&self) -> Result<(), MedallionError> {
        let (_, buffer) = self.ask(Ask::Status).await?;
        self.command(|answer| Command::Flush(buffer.next_offset, answer))
            .await?
    }

    /// Makes silver and gold anew from bronze.
    ///
    /// # Errors
    /// What kept the tables from it.
    pub async fn rebuild(&self) -> Result<(), MedallionError> {
        self.command(Command::Rebuild).await?
    }

    /// Brings another component to where a subsystem is. Its work waits until that begins or is dropped. With
    /// `discard_state` a stream buffer that cannot read the state begins without it, and for a silver gate with other ids
    /// silver is made anew.
    ///
    /// # Errors
    /// `SwapRefused`: the old one goes on. `NoSubsystem`, `Closed`.
    pub async fn hand_over(
        &self,
        subsystem: &str,
        component: Occupant,
        discard_state: bool,
    ) -> Result<HandingOver, MedallionError> {
        match subsystem {
            STREAM_BUFFER => {
                self.ask(|answer| Ask::HandOver(component, discard_state, answer))
                    .await?
            }
            SILVER_GATE => {
                self.command(|answer| Command::HandOver(component, discard_state, answer))
                    .await?
            }
            other => Err(MedallionError::NoSubsystem { name: other.into() }),
        }
    }

    /// Takes no more; what was taken is finished then, see [`Tasks::finished`].
    pub async fn close(&self) {
        // Who is there no more has ended already.
        let _ = self.asks.send(Ask::Close).await;
    }

    /// How it is.
    ///
    /// # Errors
    /// `Closed`.
    pub async fn status(&self) -> Result<Status, MedallionError> {
        let (totals, buffer) = self.ask(Ask::Status).await?;
        let storage = self.command(Command::Status).await?;
        Ok(Status {
            totals,
            buffer,
            storage,
        })
    }

    /// Where the tables are.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, MedallionError> {
        let (answer, said) = oneshot::channel();
        self.asks
            .send(ask(answer))
            .await
            .map_err(|_| MedallionError::Closed {})?;
        said.await.map_err(|_| MedallionError::Closed {})
    }

    async fn command<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, MedallionError> {
        let (answer, said) = oneshot::channel();
        let sent = self.commands.send(command(answer)).await;
        sent.map_err(|_| MedallionError::Closed {})?;
        said.await.map_err(|_| MedallionError::Closed {})
    }
}

/// What had arrived up to the topic's end.
fn last_totals(ledger: &Ledger, head: u64) -> Result<Option<Totals>, MedallionError> {
    let (first, _) = topic::bounds(ledger)?;
    if head <= first {
        return Ok(None);
    }
    let events = topic::read(ledger, head - 1)?;
    Ok(events.last().and_then(|event| topic::totals(event)))
}

/// What a component returned; the error is a sentence.
fn said<T>(called: Called<T>) -> Result<T, String> {
    called.result.map_err(|error| error.to_string())
}
