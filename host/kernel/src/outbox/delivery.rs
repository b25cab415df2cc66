//! Delivering: registries side by side, to each one entry at a time, the one that failed least first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kinetic_identity::{PROMOTION_BYTES_MAX, Promotion};
use kinetic_model::{CapsuleRef, Coded as _, Fault, Pin};
use kinetic_registry::{DESCRIPTOR_BYTES_MAX, Descriptor, RegistryError};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::book::Step;
use super::verdict::{is_away, is_final, is_open, pause};
use super::{Away, CapsulePayload, Outbox, OutboxEntry, OutboxState, Payload, PromotionPayload};
use crate::executors::Stop;
use crate::{Actor, KernelError, unix_ms};

/// The longest one try may take, whatever the registry's own bounds are.
const TRY_WITHIN: Duration = Duration::from_mins(10);

/// How it is known that a registry has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It took it.
    Took,
    /// It had it before anything was sent.
    HadIt,
    /// The answer was lost, and it has it.
    HasIt,
}

impl Told {
    const fn words(self) -> &'static str {
        match self {
            Self::Took => "the registry took it",
            Self::HadIt => "the registry had it already",
            Self::HasIt => "the answer was lost, and the registry has it",
        }
    }
}

/// What a registry's task does next.
enum Next {
    Try(Box<OutboxEntry>),
    WaitUntil(Instant),
    Nothing,
}

/// Keeps a task for each registry that something waits for, until it is asked to stop.
pub(super) async fn supervise(outbox: Outbox, mut stop: Stop) {
    let mut changes = outbox.0.changes.subscribe();
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<String, AbortHandle> = BTreeMap::new();
    loop {
        changes.mark_unchanged();
        running.retain(|_, task| !task.is_finished());
        for registry in outbox.wanted() {
            let entry = running.entry(registry.clone());
            entry.or_insert_with(|| tasks.spawn(deliver_to(outbox.clone(), registry, stop.clone())));
        }
        tokio::select! {
            () = stop.asked() => break,
            changed = changes.changed() => if changed.is_err() { break },
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Delivers to one registry until nothing waits for it.
async fn deliver_to(outbox: Outbox, registry: String, mut stop: Stop) {
    let mut changes = outbox.0.changes.subscribe();
    loop {
        changes.mark_unchanged();
        match outbox.next(&registry) {
            Next::Nothing => return,
            Next::WaitUntil(due) => tokio::select! {
                () = stop.asked() => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(due) => {}
            },
            Next::Try(entry) => {
                // Cut off, it is as if the host had died: the next start looks whether it got through. What was dropped is
                // cut off too: nobody waits for it, and others do behind it.
                tokio::select! {
                    () = stop.asked() => return,
                    () = outbox.dropped(&entry, &mut changes) => {}
                    outcome = outbox.attempt(&entry) => outbox.settle(&entry, outcome).await,
                }
            }
        }
    }
}

impl Outbox {
    /// The registries that something waits for.
    fn wanted(&self) -> BTreeSet<String> {
        let known = self.0.known.lock();
        let waiting = known.entries.values().map(|held| &held.entry);
        let waiting = waiting.filter(|entry| entry.state == OutboxState::Waiting);
        waiting.map(|entry| entry.registry.clone()).collect()
    }

    fn next(&self, registry: &str) -> Next {
        let now = Instant::now();
        let known = self.0.known.lock();
        let of_it = known.entries.values();
        let of_it = of_it.filter(|held| held.entry.registry == registry && held.entry.state == OutboxState::Waiting);
        let waiting: Vec<_> = of_it.collect();
        let Some(earliest) = waiting.iter().map(|held| held.due).min() else {
            return Next::Nothing;
        };
        let back = known.away.get(registry).map_or(now, |away| away.until);
        let due = earliest.max(back);
        if due > now {
            return Next::WaitUntil(due);
        }
        let ready = waiting.into_iter().filter(|held| held.due <= now);
        let first = ready.min_by_key(|held| (held.entry.attempts, held.entry.number));
        first.map_or(Next::Nothing, |held| Next::Try(Box::new(held.entry.clone())))
    }

    /// Whether an entry is there with just what is being delivered: dropped and published again it may come signed anew.
    fn is_there(&self, tried: &OutboxEntry) -> bool {
        let known = self.0.known.lock();
        let there = known.entries.get(&tried.id);
        there.is_some_and(|held| held.entry.payload == tried.payload)
    }

    /// Waits until somebody dropped the entry.
    async fn dropped(&self, tried: &OutboxEntry, changes: &mut watch::Receiver<u64>) {
        while self.is_there(tried) {
            // The sender lives as long as the outbox.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// One try.
    pub(super) async fn attempt(&self, entry: &OutboxEntry) -> Result<Told, RegistryError> {
        let trying = async {
            match &entry.payload {
                Payload::Capsule(capsule) => self.deliver(&entry.registry, capsule).await,
                Payload::Promotion(promotion) => self.promote(&entry.registry, promotion).await,
            }
        };
        tokio::time::timeout(TRY_WITHIN, trying).await.unwrap_or_else(|_| {
            Err(RegistryError::SourceTimeout {
                origin: entry.registry.clone(),
            })
        })
    }

    async fn deliver(&self, registry: &str, capsule: &CapsulePayload) -> Result<Told, RegistryError> {
        let envelope = self.0.blobs.get(capsule.envelope, DESCRIPTOR_BYTES_MAX).await?;
        let descriptor = Descriptor::from_json(&envelope)?;
        // An earlier try may have got through without anybody knowing.
        match self.has(registry, &descriptor).await {
            Ok(true) => return Ok(Told::HadIt),
            // Who may not look may still be allowed to publish, and the same again does no harm.
            Ok(false) | Err(RegistryError::SourceUnauthenticated { .. } | RegistryError::SourceForbids { .. }) => {}
            Err(error) => return Err(error),
        }
        let component = self.0.blobs.get(capsule.digest, capsule.size_bytes).await?;
        let Err(error) = self.0.publisher.publish(registry, &descriptor, component).await else {
            return Ok(Told::Took);
        };
        if is_open(&error) && matches!(self.has(registry, &descriptor).await, Ok(true)) {
            return Ok(Told::HasIt);
        }
        Err(error)
    }

    /// As with a capsule; then it is kept here too, so that whoever hears of it by the record finds it in the local store.
    async fn promote(&self, registry: &str, payload: &PromotionPayload) -> Result<Told, RegistryError> {
        let envelope = self.0.blobs.get(payload.envelope, PROMOTION_BYTES_MAX as u64).await?;
        let promotion = Promotion::from_json(&envelope).map_err(|error| RegistryError::BadPromotion {
            origin: "the outbox".into(),
            what: format!("{}@{}", payload.urn, payload.version),
            why: error.to_string().trim_end_matches('.').into(),
        })?;
        self.has_no_other(&promotion).await?;
        let told = self.promote_once(registry, &promotion).await?;
        self.0.store.put_promotion(promotion).await?;
        Ok(told)
    }

    /// Passes when the local store has no other topology under the name, as when somebody published one here meanwhile.
    async fn has_no_other(&self, promotion: &Promotion) -> Result<(), RegistryError> {
        let what = CapsuleRef {
            urn: promotion.urn().clone(),
            pin: Pin::Version(promotion.version().clone()),
        };
        match self.0.store.promotion(&what).await {
            Ok(there) if there.digest() != promotion.digest() => Err(RegistryError::PromotionTaken {
                what: what.to_string(),
                origin: "the local store".into(),
                there: there.digest().to_string(),
                digest: promotion.digest().to_string(),
            }),
            Ok(_) | Err(RegistryError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn promote_once(&self, registry: &str, promotion: &Promotion) -> Result<Told, RegistryError> {
        match self.has_promotion(registry, promotion).await {
            Ok(true) => return Ok(Told::HadIt),
            Ok(false) | Err(RegistryError::SourceUnauthenticated { .. } | RegistryError::SourceForbids { .. }) => {}
            Err(error) => return Err(error),
        }
        let Err(error) = self.0.publisher.publish_promotion(registry, promotion).await else {
            return Ok(Told::Took);
        };
        if is_open(&error) && matches!(self.has_promotion(registry, promotion).await, Ok(true)) {
            return Ok(Told::HasIt);
        }
        Err(error)
    }

    /// Whether the registry has this topology under this name.
    async fn has_promotion(&self, registry: &str, promotion: &Promotion) -> Result<bool, RegistryError> {
        let what = CapsuleRef {
            urn: promotion.urn().clone(),
            pin: Pin::Version(promotion.version().clone()),
        };
        match self.0.publisher.held_promotion(registry, &what).await? {
            None => Ok(false),
            Some(there) if there.digest() == promotion.digest() => Ok(true),
            Some(there) => Err(RegistryError::PromotionTaken {
                what: what.to_string(),
                origin: registry.into(),
                there: there.digest().to_string(),
                digest: promotion.digest().to_string(),
            }),
        }
    }

    /// Whether the registry has just this.
    async fn has(&self, registry: &str, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let what = CapsuleRef {
            urn: descriptor.urn.clone(),
            pin: Pin::Version(descriptor.version.clone()),
        };
        match self.0.publisher.held(registry, &what).await? {
            None => Ok(false),
            Some(there) if there.digest == descriptor.digest && there.manifest == descriptor.manifest => Ok(true),
            Some(_) => Err(RegistryError::VersionTaken {
                urn: descriptor.urn.to_string(),
                version: descriptor.version.to_string(),
            }),
        }
    }

    /// Writes down how a try went. Of failures that are tried on only the first, second, fourth, eighth and so on is
    /// written: a registry that is away for days must not fill the ledger.
    pub(super) async fn settle(&self, tried: &OutboxEntry, outcome: Result<Told, RegistryError>) {
        let _turn = self.0.changing.lock().await;
        let found = self.one(&tried.id).ok().map(|view| view.entry);
        // Somebody may have dropped it meanwhile, and have published it again.
        let found = found.filter(|entry| entry.payload == tried.payload);
        let Some(entry) = found.filter(|entry| entry.state == OutboxState::Waiting) else {
            return;
        };
        let written = match outcome {
            Ok(told) => self.delivered(entry.clone(), told.words()).await,
            Err(error) => self.failed(entry.clone(), &error).await,
        };
        if let Err(fault) = written {
            tracing::warn!(entry = %tried.id, "how a delivery went could not be recorded: {fault}");
            let attempts = entry.attempts.saturating_add(1);
            let due = Instant::now() + pause(&self.0.settings, attempts);
            self.put(OutboxEntry { attempts, ..entry }, due);
        }
    }

    async fn failed(&self, mut entry: OutboxEntry, error: &RegistryError) -> Result<(), Fault> {
        let settings = &self.0.settings;
        entry.attempts = entry.attempts.saturating_add(1);
        let tried_ms = unix_ms().saturating_sub(entry.since_unix_ms);
        let fault = if is_final(error) {
            entry.state = OutboxState::Dead;
            Fault::from(error)
        } else if tried_ms >= settings.give_up_after_ms {
            entry.state = OutboxState::Dead;
            Fault::from(KernelError::OutboxGaveUp {
                what: entry.payload.what(),
                registry: entry.registry.clone(),
                tried_ms,
                why: format!("{} {error}", error.code()),
            })
        } else {
            Fault::from(error)
        };
        entry.code = Some(fault.code.to_string());
        entry.reason = Some(fault.message.clone());
        let is_dead = entry.state == OutboxState::Dead;
        if is_dead {
            tracing::warn!(registry = %entry.registry, what = %entry.payload.what(), "was not delivered: {fault}");
        }
        if is_dead || entry.attempts.is_power_of_two() {
            let step = Step {
                name: if is_dead { "dead" } else { "retrying" },
                entry: &entry,
                actor: Actor::Host,
                reason: failure(&fault),
                gone: &[],
            };
            self.write(step).await?;
        }
        let due = self.next_try(&entry, error);
        self.put(entry, due);
        Ok(())
    }

    /// When an entry is tried again. A registry that is away is left alone by all that wait for it.
    fn next_try(&self, entry: &OutboxEntry, error: &RegistryError) -> Instant {
        let now = Instant::now();
        let mut known = self.0.known.lock();
        if !is_away(error) {
            known.away.remove(&entry.registry);
            return now + pause(&self.0.settings, entry.attempts);
        }
        let before = known.away.get(&entry.registry).map_or(0, |away| away.failures);
        let failures = before.saturating_add(1);
        let until = now + pause(&self.0.settings, failures);
        known.away.insert(entry.registry.clone(), Away { failures, until });
        now
    }
}

fn failure(fault: &Fault) -> Value {
    json!({ "code": fault.code, "message": fault.message })
}
