//! The outbox: what is published while a registry is away waits here, and is delivered when it is back, once as the
//! registry sees it.
//!
//! An entry is a value of the kernel's state, written in one synced record before anybody is told that it was accepted;
//! its bytes lie in a folder beside, and were on the disk before. Each delivery looks first whether the registry has it
//! already, so that one which broke in the middle, or whose host died, is not made twice.

mod book;
mod delivery;
mod entry;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use kinetic_ledger::Ledger;
use kinetic_model::{Digest, Fault};
use kinetic_registry::{BlobFolder, Descriptor, FolderStore, Publish, RegistryError};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::entry::{CapsulePayload, OutboxEntry, OutboxState, OutboxView, Payload, PromotionPayload};
use crate::admission::Described;
use crate::executors::Stop;
use crate::publish::PUBLISHER;
use crate::statement::Build;
use crate::{Kernel, KernelError, Manifest};

/// The type of the outbox's events on the topic of capsules' lives.
pub const OUTBOX_EVENT: &str = "kinetic.lifecycle.outbox";

/// What the outbox takes, and how it tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// Entries that wait or are dead, at most; default 10,000.
    pub entries_max: u64,
    /// What is kept for them, in bytes, at most; default 1 GiB.
    pub bytes_max: u64,
    /// How long an entry is tried before it is dead, in milliseconds; default 7 days.
    pub give_up_after_ms: u64,
    /// The bound of the pause after a first failure, in milliseconds; default 1,000. It doubles with each further one.
    pub backoff_ms_min: u64,
    /// The largest bound of a pause, in milliseconds; default 60,000.
    pub backoff_ms_max: u64,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            entries_max: 10_000,
            bytes_max: 1 << 30,
            give_up_after_ms: 7 * 24 * 3_600_000,
            backoff_ms_min: 1_000,
            backoff_ms_max: 60_000,
        }
    }
}

/// How much there is in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Entries that wait.
    pub waiting: u64,
    /// Entries that are not tried any more.
    pub dead: u64,
    /// What is kept for both, in bytes.
    pub bytes: u64,
}

/// The outbox of a host. Clones share it.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    build: Build,
    settings: OutboxSettings,
    blobs: BlobFolder,
    publisher: Arc<dyn Publish>,
    /// Where promotions are kept that a registry has taken.
    store: Arc<FolderStore>,
    /// Held while an entry changes: records, bytes and what is known here change together.
    changing: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
    topic: OnceCell<()>,
    /// The ledger's next record when it was opened, and events since: what their ids are made of.
    started_at: u64,
    events: AtomicU64,
}

/// What the ledger says, and when what is tried next.
#[derive(Default)]
struct Known {
    entries: BTreeMap<String, Held>,
    /// Registries that were away when they were last asked.
    away: BTreeMap<String, Away>,
}

/// An entry, and when it is tried again.
#[derive(Clone)]
struct Held {
    entry: OutboxEntry,
    due: Instant,
}

/// A registry that is left alone for a while.
#[derive(Clone, Copy)]
struct Away {
    failures: u32,
    until: Instant,
}

/// The deliveries of a host. Dropped, they end; what was under way is looked at again at the next start.
#[derive(Debug)]
pub struct Deliveries {
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl Deliveries {
    /// Delivers nothing more, and waits so long for what is being written down; then it is cut off.
    pub async fn stop(self, within: Duration) {
        let Self { stop, mut supervisor } = self;
        stop.send_replace(true);
        if tokio::time::timeout(within, &mut supervisor).await.is_err() {
            supervisor.abort();
            let _ = supervisor.await;
        }
    }
}

impl Outbox {
    /// Delivers what waits, from now on.
    fn start(&self) -> Deliveries {
        let (sender, stop) = Stop::new();
        let supervisor = tokio::spawn(delivery::supervise(self.clone(), stop));
        Deliveries {
            stop: sender,
            supervisor,
        }
    }
}

impl Kernel {
    /// Opens the outbox, with its bytes in that folder, and delivers what waits in it from now on.
    ///
    /// # Errors
    /// A host without a ledger; an outbox that is open already; a folder or a ledger that cannot be read. Blocks on the
    /// disk.
    pub fn open_outbox(&self, folder: &Path, settings: OutboxSettings) -> Result<Deliveries, Fault> {
        let no = |why: &str| KernelError::NoOutbox { why: why.into() };
        let recorder = self.0.recorder.as_ref().ok_or_else(|| no("it keeps no ledger"))?;
        let publisher: Arc<dyn Publish> = self.0.registries.clone();
        let outbox = Outbox::open(
            (recorder.ledger.clone(), *recorder.build()),
            folder,
            settings,
            (publisher, self.store().clone()),
        )?;
        self.0
            .outbox
            .set(outbox.clone())
            .map_err(|_| no("it was opened already"))?;
        Ok(outbox.start())
    }

    /// Verifies a capsule as admission would, and puts it into the outbox for the registry of that name. It is neither
    /// compiled nor stored as one of this host's. When this returns it is in the ledger and on the disk.
    ///
    /// # Errors
    /// As [`Kernel::pull`]'s of what is not to be believed; a registry that is not known or not for the namespace; an
    /// outbox that is full.
    pub async fn post(
        &self,
        registry: String,
        manifest: String,
        receipt: Value,
        component: Bytes,
    ) -> Result<OutboxView, Fault> {
        let outbox = self.open_one()?.clone();
        let parsed = Manifest::parse(&manifest)?;
        let descriptor = Descriptor {
            urn: parsed.id,
            version: parsed.version,
            digest: Digest::of(&component),
            size_bytes: component.len() as u64,
            manifest,
            receipt,
        };
        descriptor.check()?;
        let bytes_max = self.engine().config().component_bytes_max;
        if descriptor.size_bytes > bytes_max {
            let error = RegistryError::TooLarge {
                what: "the component".into(),
                size_bytes: descriptor.size_bytes,
                bytes_max,
            };
            return Err(error.into());
        }
        self.registries().permits(&registry, descriptor.urn.namespace())?;
        self.refuse_quarantined(&descriptor)?;
        let (urn, version) = (descriptor.urn.clone(), descriptor.version.clone());
        // Digest and size are those of these very bytes.
        let described = Described {
            named: self.journal().begin(urn, version, descriptor.digest, PUBLISHER),
            descriptor: descriptor.clone(),
        };
        described.vouch(&self.0.judge).map_err(|refusal| refusal.fault)?;
        self.to_the_end(async move { outbox.accept(registry, descriptor, component).await })
            .await
    }

    /// Everything in the outbox, in the order it came.
    ///
    /// # Errors
    /// A host without an outbox.
    pub fn outbox(&self) -> Result<Vec<OutboxView>, Fault> {
        Ok(self.open_one()?.list())
    }

    /// One entry.
    ///
    /// # Errors
    /// A host without an outbox; no such entry.
    pub fn outbox_entry(&self, id: &str) -> Result<OutboxView, Fault> {
        self.open_one()?.one(id)
    }

    /// How much there is in it; nothing on a host without one.
    pub fn outbox_counts(&self) -> OutboxCounts {
        self.open_one().map(Outbox::counts).unwrap_or_default()
    }

    /// Has an entry tried at once; a dead one is tried again from now on.
    ///
    /// # Errors
    /// A host without an outbox; no such entry, or one that was delivered.
    pub async fn retry_outbox(&self, id: &str) -> Result<OutboxView, Fault> {
        let (outbox, id) = (self.open_one()?.clone(), id.to_string());
        self.to_the_end(async move { outbox.retry(&id).await }).await
    }

    /// Takes an entry out of the outbox, and its bytes. Gives what it was.
    ///
    /// # Errors
    /// As [`Kernel::retry_outbox`]'s.
    pub async fn drop_outbox(&self, id: &str, reason: &str) -> Result<OutboxView, Fault> {
        let (outbox, id, reason) = (self.open_one()?.clone(), id.to_string(), reason.to_string());
        self.to_the_end(async move { outbox.discard(&id, &reason).await }).await
    }

    pub(crate) fn open_one(&self) -> Result<&Outbox, KernelError> {
        self.0.outbox.get().ok_or_else(|| KernelError::NoOutbox {
            why: "it was not opened".into(),
        })
    }
}
