//! The ledger: commits go in, records, receipts and proofs come out.

mod changes;
mod receipt;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
pub use changes::{ChangesAsk, ChangesPage};
use kinetic_identity::SigningKey;
use kinetic_model::Digest;
use parking_lot::Mutex;
pub use receipt::ReceiptProof;
pub(crate) use receipt::receipt_id;
use tokio::sync::Notify;

use crate::bus::{BusView, Checked, Committer, Records};
use crate::commit::Encoded;
use crate::index::Index;
use crate::log::{Disk, Leaf, Log, LogConfig, Record, SystemDisk, Ticket};
use crate::merkle::Signer;
use crate::retention::{Horizon, restore};
use crate::state::{BranchId, KeyRange, PlacedKeys, ReadRecord, StateView, Transaction, Watch};
use crate::upkeep::Upkeep;
use crate::{Commit, Durability, LedgerError, Parts};

/// How long a proof waits for its record to be on disk and covered by a checkpoint.
const COVER_WITHIN: Duration = Duration::from_secs(5);

/// Where a ledger lives and how it works.
#[derive(Clone)]
pub struct LedgerConfig {
    /// Its folder.
    pub folder: PathBuf,
    /// The log's name in checkpoints: also the name of the signing key there. No spaces, no plus signs.
    pub origin: String,
    /// Settings of the log.
    pub log: LogConfig,
    /// About so many bytes of records are kept; older ones are removed as far as nobody needs them. 0 keeps all.
    pub retain_bytes: u64,
    /// Memory in which the views' store keeps what was read last, in bytes.
    pub index_cache_bytes: usize,
    /// The file system.
    pub disk: Arc<dyn Disk>,
}

impl LedgerConfig {
    /// The defaults, in a folder of the machine's own file system.
    pub fn new(folder: &Path, origin: &str) -> Self {
        Self {
            folder: folder.to_path_buf(),
            origin: origin.into(),
            log: LogConfig::default(),
            retain_bytes: 0,
            index_cache_bytes: 64 << 20,
            disk: Arc::new(SystemDisk),
        }
    }
}

/// What an acknowledged commit became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The record's number.
    pub seq: u64,
    /// The name of its receipt: number and the first 16 hexadecimal digits of the leaf's hash.
    pub receipt_id: String,
    /// When it was written, in nanoseconds since 1970.
    pub unix_ns: u64,
}

fn committed(ticket: &Ticket) -> Committed {
    Committed {
        seq: ticket.seq,
        receipt_id: receipt_id(ticket.seq, &ticket.leaf),
        unix_ns: ticket.unix_ns,
    }
}

/// A record that is written and not acknowledged yet.
pub struct Placed {
    ledger: Arc<Inner>,
    ticket: Ticket,
}

impl std::fmt::Debug for Placed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Placed")
            .field("seq", &self.ticket.seq)
            .finish_non_exhaustive()
    }
}

impl Placed {
    /// Waits until it is as durable as it was to be, and views show it.
    ///
    /// # Errors
    /// `Failed`: the log stopped; whether this record survives shows a restart.
    pub async fn acknowledged(mut self) -> Result<Committed, LedgerError> {
        self.ledger.log.acknowledged(&mut self.ticket).await?;
        Ok(committed(&self.ticket))
    }
}

/// The ledger of a host. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(
    Arc<Inner>,
    #[expect(dead_code, reason = "held until the last one goes")] Arc<Upkeep>,
);

pub(crate) struct Inner {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) retain_bytes: u64,
    /// Held while records are removed.
    pub(crate) retaining: Mutex<()>,
    pub(crate) log: Log,
    pub(crate) index: Arc<Index>,
    pub(crate) state: Arc<StateView>,
    pub(crate) bus: Arc<BusView>,
    /// Told each time more is visible.
    advanced: Arc<Notify>,
}

/// A record that no view shows is noted in the index now and then, so that a restart need not read it again.
const NOTE_EVERY_RECORDS: u64 = 1_024;
/// Records read at once when the views are brought up.
const REPLAY_RECORDS: usize = 256;

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("records", &self.records())
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the ledger in a folder, or begins one. `key` signs its checkpoints.
    ///
    /// # Errors
    /// `Damaged`, `Missing` or `CheckpointMismatch` when what is there is not what was acknowledged; `Io`; `DiskFull`.
    pub fn open(config: LedgerConfig, key: SigningKey) -> Result<Self, LedgerError> {
        let signer = Signer::new(config.origin, key);
        let (disk, folder) = (config.disk, config.folder);
        let horizon = Horizon::newest(&*disk, &folder, signer.origin(), &signer.public())?;
        let log = Log::open(disk.clone(), &folder, config.log, signer, horizon.as_ref())?;
        let next = log.written();
        // Not what the log still has: a crash may have left segments that are to go before anything reads them.
        let first = horizon.as_ref().map_or(0, |horizon| horizon.first);
        let index = Index::open(&folder.join("index"), (first, next), config.index_cache_bytes)?;
        let mut seq = index.applied();
        if let Some(horizon) = &horizon {
            if seq < first {
                index.synced(next);
                restore(&*disk, &folder, horizon, &index)?;
                seq = horizon.applied;
            }
            // What a crash left of removing it.
            log.remove_below(horizon.first)?;
            horizon.remove_others(&*disk, &folder)?;
        }
        let index = Arc::new(index);
        let state = Arc::new(StateView::open(index.clone())?);
        let bus = Arc::new(BusView::open(index.clone())?);
        while seq < next {
            let records = log.read(seq, REPLAY_RECORDS)?;
            for record in &records {
                let parts = record.parts()?;
                state.replay(record.seq, &parts)?;
                bus.replay(record.seq, &parts)?;
            }
            seq += records.len() as u64;
        }
        index.settle();
        state.advance(next);
        bus.advance(next);
        bus.retain(log.horizon())?;
        index.synced(next);
        let settled = index.clone();
        log.before_visible(Box::new(move || settled.settle()));
        let advanced = Arc::new(Notify::new());
        let shown = (state.clone(), bus.clone(), advanced.clone());
        log.watch_visible(Box::new(move |visible| {
            shown.0.advance(visible);
            shown.1.advance(visible);
            shown.2.notify_waiters();
        }));
        let fed = index.clone();
        log.watch_synced(Box::new(move |synced| fed.synced(synced)));
        let inner = Arc::new(Inner {
            disk,
            folder,
            retain_bytes: config.retain_bytes,
            retaining: Mutex::new(()),
            log,
            index,
            state,
            bus,
            advanced,
        });
        let records: Weak<dyn Records> = Arc::downgrade(&(inner.clone() as Arc<dyn Records>));
        let committer: Weak<dyn Committer> = Arc::downgrade(&(inner.clone() as Arc<dyn Committer>));
        inner.bus.attach(records, committer);
        let upkeep = Upkeep::start(inner.clone())?;
        Ok(Self(inner, Arc::new(upkeep)))
    }

    /// The bus: topics, subscriptions, publishing.
    pub fn bus(&self) -> &Arc<BusView> {
        &self.0.bus
    }

    /// The state: versions by record, branches, transactions.
    pub fn state(&self) -> &Arc<StateView> {
        &self.0.state
    }

    /// Begins a serializable transaction on a branch; commit what [`Transaction::into_commit_parts`] gives.
    ///
    /// # Errors
    /// `NoBranch`.
    pub fn begin(&self, branch: BranchId) -> Result<Transaction, LedgerError> {
        self.0.state.begin(branch, || self.visible())
    }

    /// Watches a range of keys on a branch from record `from` on: each change, in the order of the log, none left out.
    ///
    /// # Errors
    /// `NoBranch`.
    pub fn watch(&self, branch: BranchId, range: KeyRange, from: u64) -> Result<Watch, LedgerError> {
        let ledger = Arc::downgrade(&self.0);
        let read: ReadRecord = Arc::new(move |seq| {
            let inner = ledger.upgrade().ok_or(LedgerError::Closed {})?;
            inner.parts(seq)
        });
        self.0.state.watch(branch, range, from, read)
    }

    /// Commits: one record, all of it or nothing, acknowledged after its durability. Events are checked against the
    /// schemas of critical topics first, and wait where a topic holds its publishers back.
    ///
    /// # Errors
    /// `RecordTooLarge`, `DiskFull`, `Conflict`, `Fenced`, `OffsetMoved`, what [`BusView::admit`] refuses: nothing
    /// happened. `Failed`: the log stopped; whether this record survives shows a restart.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, LedgerError> {
        if !commit.events.is_empty() {
            self.0.bus.admit(&commit.events).await?;
        }
        self.0.commit(commit).await
    }

    /// As [`Ledger::commit`], without waiting for the disk: the record has its place and was written when this returns, so
    /// that it outlives the process, and all that is recorded from now on comes after it.
    ///
    /// # Errors
    /// As [`Ledger::commit`]'s.
    pub async fn place(&self, commit: Commit) -> Result<Placed, LedgerError> {
        if !commit.events.is_empty() {
            self.0.bus.admit(&commit.events).await?;
        }
        self.0.wait_room(&commit);
        let ticket = self.0.append(&commit)?;
        self.0.log.flush()?;
        Ok(Placed {
            ledger: self.0.clone(),
            ticket,
        })
    }

    /// Commits a receipt without waiting: it was written when this returns, and is synced within 10 ms. For where nothing
    /// can wait, such as a call that was dropped.
    ///
    /// # Errors
    /// As [`Ledger::commit`]'s.
    pub fn record(&self, receipt: Bytes, call: Option<Bytes>) -> Result<Committed, LedgerError> {
        let commit = Commit {
            durability: Some(Durability::Written),
            receipt: Some(receipt),
            call,
            ..Commit::default()
        };
        let ticket = self.0.append(&commit)?;
        Ok(committed(&ticket))
    }

    /// Records there are, removed ones included: the number the next one gets.
    pub fn records(&self) -> u64 {
        self.0.log.written()
    }

    /// Records below this number are on disk.
    pub fn synced(&self) -> u64 {
        self.0.log.synced()
    }

    /// Records below this number are acknowledged, so that views show them.
    pub fn visible(&self) -> u64 {
        self.0.log.visible()
    }

    /// Waits until views show a record.
    ///
    /// # Errors
    /// The failure that stopped the log.
    pub async fn shown(&self, seq: u64) -> Result<(), LedgerError> {
        loop {
            let mut advanced = pin!(self.0.advanced.notified());
            advanced.as_mut().enable();
            if self.visible() > seq {
                return Ok(());
            }
            self.check()?;
            // A log that stops meanwhile tells nobody.
            let _ = tokio::time::timeout(COVER_WITHIN, advanced).await;
        }
    }

    /// Removes the oldest records now until at most about `bytes` are left, as far as nothing needs them: groups of
    /// consumers, and what was not signed yet. Branches and open transactions keep their versions. Whole segments go at
    /// a time. Gives the new horizon; none when nothing was removed. Blocks for as long as the views' content takes to be
    /// written out.
    ///
    /// # Errors
    /// `DiskFull`, `Io`, `Index`: nothing was removed, or not all.
    pub fn retain(&self, bytes: u64) -> Result<Option<u64>, LedgerError> {
        self.0.retain(bytes)
    }

    /// The oldest record there is.
    pub fn horizon(&self) -> u64 {
        self.0.log.horizon()
    }

    /// The wall time of the newest record, in nanoseconds since 1970: where virtual clocks start.
    pub fn last_unix_ns(&self) -> u64 {
        self.0.log.last_unix_ns()
    }

    /// Passes while records are taken.
    ///
    /// # Errors
    /// The failure that stopped the log.
    pub fn check(&self) -> Result<(), LedgerError> {
        self.0.log.failed().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Records from `seq` on, at most `limit`.
    ///
    /// # Errors
    /// `BelowHorizon`, `NotYet`, `Damaged`.
    pub fn read(&self, seq: u64, limit: usize) -> Result<Vec<Record>, LedgerError> {
        self.0.log.read(seq, limit)
    }

    /// Records what topics shed last, ends subscriptions, syncs, signs a last checkpoint and takes no more records.
    pub async fn close(&self) {
        self.0.bus.close().await;
        self.0.log.close();
        self.0.index.close();
    }
}

impl Inner {
    /// Commits what was admitted.
    async fn commit(&self, commit: Commit) -> Result<Committed, LedgerError> {
        self.wait_room(&commit);
        let mut ticket = self.append(&commit)?;
        self.log.acknowledged(&mut ticket).await?;
        Ok(committed(&ticket))
    }

    fn wait_room(&self, commit: &Commit) {
        if commit.shows_in_views() {
            self.index.wait_room();
        }
    }

    pub(crate) fn append(&self, commit: &Commit) -> Result<Ticket, LedgerError> {
        // All that does not depend on the record's place comes before the lock: a call's input may be megabytes.
        let digest = |section: &Option<Bytes>| section.as_deref().map_or(Digest::EMPTY, Digest::of);
        let (receipt, call) = (digest(&commit.receipt), digest(&commit.call));
        let encoded = Encoded::of(commit);
        let shown = commit.shows_in_views();
        let keys = self.state.place(&commit.writes);
        self.log.append(
            commit.effective_durability(self.topics_durability(commit)),
            shown,
            |_, body| {
                let mut checked = Checked::default();
                if shown {
                    self.state.check(commit)?;
                    checked = self.bus.check(commit)?;
                }
                let parts = encoded.append(commit, &checked.events, body)?;
                Ok((checked, Leaf { receipt, call, parts }))
            },
            |seq, checked| self.stage(seq, commit, &keys, &checked),
        )
    }

    fn topics_durability(&self, commit: &Commit) -> Durability {
        if commit.events.is_empty() {
            Durability::Written
        } else {
            self.bus.durability(&commit.events)
        }
    }

    /// Shows a record to the views; it was checked.
    fn stage(&self, seq: u64, commit: &Commit, keys: &PlacedKeys, checked: &Checked) {
        if commit.shows_in_views() {
            let staged = self.state.stage(seq, commit, keys);
            let staged = staged.and_then(|()| self.bus.stage(seq, checked, &commit.offsets, &commit.controls));
            if let Err(error) = staged {
                // Checked a moment ago under the same lock; should it still happen, the log is right and a restart
                // rebuilds the views from it.
                tracing::error!(seq, "the views did not take a record: {error}");
            }
        } else if seq.is_multiple_of(NOTE_EVERY_RECORDS) {
            self.index.queue(seq, |_| {});
        }
    }

    fn parts(&self, seq: u64) -> Result<Parts, LedgerError> {
        let record = self.log.read(seq, 1)?.pop();
        record.ok_or(LedgerError::NotYet { seq, next: seq })?.parts()
    }
}

impl Records for Inner {
    fn read(&self, seq: u64) -> Result<Parts, LedgerError> {
        self.parts(seq)
    }
}

#[async_trait]
impl Committer for Inner {
    async fn commit(&self, commit: Commit) -> Result<u64, LedgerError> {
        Ok(Self::commit(self, commit).await?.seq)
    }
}
