//! What the outbox holds: accepted within its bounds, written down before anybody is told, found again after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kinetic_identity::Promotion;
use kinetic_ledger::bus::{Envelope, NewEvent};
use kinetic_ledger::state::{BranchId, Key, KeyRange, Owner, Write};
use kinetic_ledger::{Commit, Durability, Ledger, LedgerError};
use kinetic_model::{Coded as _, Digest, Fault};
use kinetic_registry::{BlobFolder, Descriptor, FolderStore, Publish, RegistryError};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use super::entry::PREFIX;
use super::{
    CapsulePayload, Held, Inner, Known, OUTBOX_EVENT, Outbox, OutboxCounts, OutboxEntry, OutboxSettings, OutboxState,
    OutboxView, Payload, PromotionPayload,
};
use crate::life::{LIFECYCLE_TOPIC, ensure_topic};
use crate::statement::{self, Build};
use crate::{Actor, KernelError, unix_ms};

/// Delivered entries that are remembered, so that the same again is not delivered again; the oldest goes first.
const DELIVERED_KEPT: usize = 1_000;
/// Entries read at once at the start.
const PAGE: usize = 1_000;
const SOURCE: &str = "kinetic/kernel";

/// One change of an entry, to be written.
pub(super) struct Step<'a> {
    /// What happened.
    pub(super) name: &'static str,
    /// The entry as it is from now on.
    pub(super) entry: &'a OutboxEntry,
    pub(super) actor: Actor,
    /// Code and message of a failure, or words.
    pub(super) reason: Value,
    /// Entries that are forgotten with it.
    pub(super) gone: &'a [String],
}

impl Outbox {
    /// Reads what the ledger says of it, and removes bytes that no entry needs.
    pub(super) fn open(
        (ledger, build): (Ledger, Build),
        folder: &Path,
        settings: OutboxSettings,
        (publisher, store): (Arc<dyn Publish>, Arc<FolderStore>),
    ) -> Result<Self, Fault> {
        let known = Known {
            entries: read(&ledger)?,
            away: BTreeMap::new(),
        };
        let blobs = BlobFolder::open(folder)?;
        blobs.retain(&known.blobs())?;
        Ok(Self(Arc::new(Inner {
            started_at: ledger.records(),
            ledger,
            build,
            settings,
            blobs,
            publisher,
            store,
            changing: tokio::sync::Mutex::new(()),
            known: Mutex::new(known),
            changes: watch::Sender::new(0),
            topic: OnceCell::new(),
            events: AtomicU64::new(0),
        })))
    }

    /// Takes a capsule that was verified. What waits already, or was delivered lately, is answered as it stands; what is dead
    /// is tried anew, with the bytes that came now.
    pub(super) async fn accept(
        &self,
        registry: String,
        descriptor: Descriptor,
        component: Bytes,
    ) -> Result<OutboxView, Fault> {
        let envelope = serde_json::to_vec(&descriptor).map_err(|error| failed(&error.to_string()))?;
        let payload = Payload::Capsule(CapsulePayload {
            manifest: Digest::of(descriptor.manifest.as_bytes()),
            urn: descriptor.urn,
            version: descriptor.version,
            digest: descriptor.digest,
            envelope: Digest::of(&envelope),
            size_bytes: descriptor.size_bytes,
        });
        self.take(registry, payload, vec![component, envelope.into()]).await
    }

    /// Takes a promotion that was verified; as with a capsule.
    pub(crate) async fn accept_promotion(&self, registry: String, promotion: &Promotion) -> Result<OutboxView, Fault> {
        let envelope = Bytes::from(promotion.to_json());
        let payload = Payload::Promotion(PromotionPayload {
            urn: promotion.urn().clone(),
            version: promotion.version().clone(),
            digest: promotion.digest(),
            event_cid: promotion.event().event_cid.clone(),
            envelope: Digest::of(&envelope),
            size_bytes: envelope.len() as u64,
        });
        self.take(registry, payload, vec![envelope]).await
    }

    async fn take(&self, registry: String, payload: Payload, blobs: Vec<Bytes>) -> Result<OutboxView, Fault> {
        let id = payload.id(&registry);
        let _turn = self.0.changing.lock().await;
        // Whoever publishes again what is dead has mended something, be it only its signatures.
        let dead = match self.one(&id) {
            Ok(there) if there.entry.state == OutboxState::Dead => Some(there.entry),
            Ok(there) => return Ok(there),
            Err(_) => None,
        };
        self.name_is_free(&payload)?;
        let bytes: u64 = blobs.iter().map(|bytes| bytes.len() as u64).sum();
        self.check_room(bytes, dead.as_ref())?;
        // A ledger that has stopped takes no record: nothing is to be kept for one.
        self.0.ledger.check().map_err(fault)?;
        let number = match &dead {
            Some(dead) => dead.number,
            None => self.0.known.lock().next_number(),
        };
        let entry = OutboxEntry {
            number,
            id,
            registry,
            payload,
            bytes,
            since_unix_ms: unix_ms(),
            state: OutboxState::Waiting,
            attempts: 0,
            code: None,
            reason: None,
        };
        let name = if dead.is_some() { "retried" } else { "accepted" };
        if let Err(fault) = self.keep(name, &entry, blobs).await {
            // Bytes that no record names count in no bound, and a disk may be full already.
            if !may_be_recorded(&fault) {
                self.tidy(&entry.payload).await;
            }
            return Err(fault);
        }
        let taken = self.put(entry, Instant::now());
        if let Some(dead) = dead {
            self.tidy(&dead.payload).await;
        }
        Ok(taken)
    }

    /// Bytes before the record that names them: a crash in between leaves some that the next start removes.
    async fn keep(&self, name: &'static str, entry: &OutboxEntry, blobs: Vec<Bytes>) -> Result<(), Fault> {
        for bytes in blobs {
            self.0.blobs.put(bytes).await?;
        }
        let step = Step {
            name,
            entry,
            actor: Actor::Publisher,
            reason: Value::Null,
            gone: &[],
        };
        self.write(step).await
    }

    /// Has an entry tried at once.
    pub(super) async fn retry(&self, id: &str) -> Result<OutboxView, Fault> {
        let _turn = self.0.changing.lock().await;
        let mut entry = self.undelivered(id, "tried again")?;
        self.name_is_free(&entry.payload)?;
        entry.state = OutboxState::Waiting;
        entry.since_unix_ms = unix_ms();
        entry.attempts = 0;
        let step = Step {
            name: "retried",
            entry: &entry,
            actor: Actor::Operator,
            reason: Value::Null,
            gone: &[],
        };
        self.write(step).await?;
        self.0.known.lock().away.remove(&entry.registry);
        Ok(self.put(entry, Instant::now()))
    }

    /// Takes an entry out, and its bytes.
    pub(super) async fn discard(&self, id: &str, reason: &str) -> Result<OutboxView, Fault> {
        let _turn = self.0.changing.lock().await;
        let entry = self.undelivered(id, "dropped")?;
        let shown = self.one(id)?;
        let gone = [entry.id.clone()];
        let step = Step {
            name: "dropped",
            entry: &entry,
            actor: Actor::Operator,
            reason: Value::String(reason.to_string()),
            gone: &gone,
        };
        self.write(step).await?;
        self.forget(&gone);
        self.tidy(&entry.payload).await;
        Ok(shown)
    }

    /// Writes down that an entry was delivered; the oldest that were are forgotten with it.
    pub(super) async fn delivered(&self, mut entry: OutboxEntry, how: &str) -> Result<(), Fault> {
        entry.state = OutboxState::Delivered;
        entry.code = None;
        entry.reason = Some(how.to_string());
        let gone = self.0.known.lock().surplus();
        let step = Step {
            name: "delivered",
            entry: &entry,
            actor: Actor::Host,
            reason: Value::String(how.to_string()),
            gone: &gone,
        };
        self.write(step).await?;
        self.forget(&gone);
        let payload = entry.payload.clone();
        self.0.known.lock().away.remove(&entry.registry);
        self.put(entry, Instant::now());
        self.tidy(&payload).await;
        Ok(())
    }

    /// Writes a change of an entry in one record: a receipt, an event, and the entry as it is from now on. It is on the
    /// disk when this returns.
    pub(super) async fn write(&self, step: Step<'_>) -> Result<(), Fault> {
        let Inner { ledger, build, .. } = &*self.0;
        let entry = step.entry;
        self.0.topic.get_or_try_init(|| ensure_topic(ledger)).await?;
        let mut document = json!({
            "event": "outbox",
            "step": step.name,
            "entry": entry.id,
            "registry": entry.registry,
            "attempts": entry.attempts,
            "actor": step.actor,
            "reason": step.reason,
        });
        if let Some(members) = document.as_object_mut() {
            members.insert(entry.payload.kind().into(), entry.payload.json());
        }
        let (name, digest) = entry.payload.subject();
        let number = self.0.events.fetch_add(1, Ordering::Relaxed);
        let data = serde_json::to_vec(&document).unwrap_or_default();
        let envelope = Envelope::builder(format!("outbox-{}-{number}", self.0.started_at), SOURCE, OUTBOX_EVENT)
            .subject(name)
            .content_type("application/json")
            .data(data)
            .build()
            .map_err(fault)?;
        let mut event = NewEvent::new(Arc::from(LIFECYCLE_TOPIC), envelope);
        event.key = Some(Bytes::copy_from_slice(name.as_bytes()));
        let mut writes: Vec<Write> = step.gone.iter().map(|id| to_state(id, None)).collect();
        if !step.gone.contains(&entry.id) {
            let value = serde_json::to_vec(entry).map_err(|error| failed(&error.to_string()))?;
            writes.push(to_state(&entry.id, Some(value.into())));
        }
        let commit = Commit {
            durability: Some(Durability::Synced),
            receipt: Some(statement::step(name, &digest, document, build)),
            writes,
            events: vec![event],
            ..Commit::default()
        };
        ledger.commit(commit).await.map_err(fault)?;
        Ok(())
    }

    /// Everything, in the order it came.
    pub(super) fn list(&self) -> Vec<OutboxView> {
        let known = self.0.known.lock();
        let mut all: Vec<OutboxView> = known.entries.values().map(|held| known.view(held)).collect();
        drop(known);
        all.sort_by_key(|view| view.entry.number);
        all
    }

    pub(super) fn one(&self, id: &str) -> Result<OutboxView, Fault> {
        let known = self.0.known.lock();
        let found = known.entries.get(id).map(|held| known.view(held));
        drop(known);
        // What was asked for may be anything.
        found.ok_or_else(|| {
            let id = id.chars().filter(|c| !c.is_control()).take(64).collect();
            KernelError::NoOutboxEntry { id }.into()
        })
    }

    pub(super) fn counts(&self) -> OutboxCounts {
        let mut counts = OutboxCounts::default();
        for Held { entry, .. } in self.0.known.lock().entries.values() {
            match entry.state {
                OutboxState::Waiting => counts.waiting += 1,
                OutboxState::Dead => counts.dead += 1,
                OutboxState::Delivered => continue,
            }
            counts.bytes = counts.bytes.saturating_add(entry.bytes);
        }
        counts
    }

    /// What is known of an entry from now on, and when it is due.
    pub(super) fn put(&self, entry: OutboxEntry, due: Instant) -> OutboxView {
        let mut known = self.0.known.lock();
        let held = Held { entry, due };
        let view = known.view(&held);
        known.entries.insert(held.entry.id.clone(), held);
        drop(known);
        self.changed();
        view
    }

    fn forget(&self, ids: &[String]) {
        let mut known = self.0.known.lock();
        for id in ids {
            known.entries.remove(id);
        }
        drop(known);
        self.changed();
    }

    pub(super) fn changed(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Removes the bytes of a payload that no other entry needs.
    async fn tidy(&self, payload: &Payload) {
        let needed = self.0.known.lock().blobs();
        let mut gone = payload.blobs();
        gone.retain(|digest| !needed.contains(digest));
        self.0.blobs.remove(gone).await;
    }

    /// Passes when no other topology waits or was delivered under a promotion's name: each of two registries would take one,
    /// and the name is permanent. One that is dead has no name.
    fn name_is_free(&self, payload: &Payload) -> Result<(), RegistryError> {
        let Payload::Promotion(mine) = payload else {
            return Ok(());
        };
        let known = self.0.known.lock();
        let living = known.entries.values().map(|held| &held.entry);
        let mut living = living.filter(|entry| entry.state != OutboxState::Dead);
        let other = living.find_map(|entry| match &entry.payload {
            Payload::Promotion(other) if other.urn == mine.urn && other.version == mine.version => {
                Some(other.digest).filter(|digest| *digest != mine.digest)
            }
            _ => None,
        });
        drop(known);
        other.map_or(Ok(()), |there| {
            Err(RegistryError::PromotionTaken {
                what: payload.what(),
                origin: "the outbox".into(),
                there: there.to_string(),
                digest: mine.digest.to_string(),
            })
        })
    }

    /// Passes when there is room for so many bytes of an entry more, or of one in the place of that one.
    fn check_room(&self, bytes: u64, before: Option<&OutboxEntry>) -> Result<(), KernelError> {
        let (counts, settings) = (self.counts(), &self.0.settings);
        let full = |what: &str, count: u64, count_max: u64| KernelError::OutboxFull {
            what: what.to_string(),
            count,
            count_max,
        };
        let entries = counts.waiting + counts.dead + u64::from(before.is_none());
        if entries > settings.entries_max {
            return Err(full("entries", entries, settings.entries_max));
        }
        let others = counts.bytes.saturating_sub(before.map_or(0, |before| before.bytes));
        let bytes = others.saturating_add(bytes);
        if bytes > settings.bytes_max {
            return Err(full("bytes", bytes, settings.bytes_max));
        }
        Ok(())
    }

    fn undelivered(&self, id: &str, done: &str) -> Result<OutboxEntry, Fault> {
        let entry = self.one(id)?.entry;
        if entry.state == OutboxState::Delivered {
            let error = KernelError::OutboxDelivered {
                what: entry.payload.what(),
                registry: entry.registry,
                done: done.to_string(),
            };
            return Err(error.into());
        }
        Ok(entry)
    }
}

impl Known {
    /// The bytes that entries need which may yet be delivered.
    fn blobs(&self) -> BTreeSet<Digest> {
        let kept = self.entries.values();
        let kept = kept.filter(|held| held.entry.state != OutboxState::Delivered);
        kept.flat_map(|held| held.entry.payload.blobs()).collect()
    }

    fn next_number(&self) -> u64 {
        let numbers = self.entries.values().map(|held| held.entry.number);
        numbers.max().unwrap_or_default() + 1
    }

    /// Delivered entries to be forgotten when another one is delivered.
    fn surplus(&self) -> Vec<String> {
        let delivered = self.entries.values().map(|held| &held.entry);
        let delivered = delivered.filter(|entry| entry.state == OutboxState::Delivered);
        let mut delivered: Vec<(u64, &String)> = delivered.map(|entry| (entry.number, &entry.id)).collect();
        delivered.sort_unstable();
        let surplus = (delivered.len() + 1).saturating_sub(DELIVERED_KEPT);
        delivered.into_iter().take(surplus).map(|(_, id)| id.clone()).collect()
    }

    fn view(&self, held: &Held) -> OutboxView {
        let entry = held.entry.clone();
        let next_try_ms = (entry.state == OutboxState::Waiting).then(|| {
            let away = self.away.get(&entry.registry).map(|away| away.until);
            let due = away.map_or(held.due, |until| until.max(held.due));
            let wait = due.saturating_duration_since(Instant::now());
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
        });
        OutboxView { entry, next_try_ms }
    }
}

/// What the ledger holds. An entry that cannot be read stops the host's start: its bytes would be taken for nobody's.
fn read(ledger: &Ledger) -> Result<BTreeMap<String, Held>, Fault> {
    let mut entries = BTreeMap::new();
    let range = KeyRange::prefix(&Owner::Kernel, PREFIX);
    let mut after: Option<Key> = None;
    let due = Instant::now();
    loop {
        let page = ledger
            .state()
            .scan(BranchId::MAIN, &range, ledger.visible(), PAGE, after.as_ref())
            .map_err(fault)?;
        for (key, version) in &page.entries {
            let entry: OutboxEntry = serde_json::from_slice(&version.value)
                .map_err(|error| failed(&format!("the entry {key} cannot be read: {error}")))?;
            entries.insert(entry.id.clone(), Held { entry, due });
        }
        after = page.next;
        if after.is_none() {
            return Ok(entries);
        }
    }
}

fn to_state(id: &str, value: Option<Bytes>) -> Write {
    Write {
        branch: BranchId::MAIN,
        key: Key::new(Owner::Kernel, [PREFIX, id.as_bytes()].concat()),
        value,
    }
}

fn failed(why: &str) -> Fault {
    KernelError::OutboxFailed { why: why.to_string() }.into()
}

/// Whether the next start may find the record, although it was not acknowledged. All else fails before it is written.
fn may_be_recorded(fault: &Fault) -> bool {
    let stopped = LedgerError::Failed { why: String::new() };
    fault.code == stopped.code() || fault.code == LedgerError::Closed {}.code()
}

fn fault(error: LedgerError) -> Fault {
    Fault::from(&error)
}
