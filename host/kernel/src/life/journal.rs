//! Writes each transition and each step of a swap: a receipt, an event for whoever watches, and what the URN means from
//! then on, all in one record. What cannot be recorded does not happen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kinetic_ledger::bus::{Envelope, NewEvent, TopicConfig};
use kinetic_ledger::state::{BranchId, Key, KeyRange, Owner, Write};
use kinetic_ledger::{Commit, Durability, Ledger, LedgerError, Placed};
use kinetic_model::{Digest, Fault, Urn};
use parking_lot::Mutex;
use semver::Version;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::binding::{Binding, PREFIX, key};
use super::{Actor, Cause, State};
use crate::KernelError;
use crate::statement::{self, Build};

/// The topic every transition and every step of a swap is published to.
pub const LIFECYCLE_TOPIC: &str = "kinetic.lifecycle.v1";
/// The type of its events that are transitions.
pub const TRANSITION_EVENT: &str = "kinetic.lifecycle.transition";
/// The type of its events that are steps of a swap.
pub const SWAP_EVENT: &str = "kinetic.lifecycle.swap";
/// The type of its events that are refusals of what was found in a watched folder or registry, or say that what is active
/// was yanked there.
pub const WATCHED_EVENT: &str = "kinetic.lifecycle.watched";
/// The type of its events that are phases of the host's own start.
pub const BOOT_EVENT: &str = "kinetic.lifecycle.boot";
/// What those events are about.
const HOST: &str = "kinetic";
/// The key that counts the starts of the host.
const STARTS: &[u8] = b"host/starts";
const SOURCE: &str = "kinetic/kernel";
/// Bindings read at once at the start.
const PAGE: usize = 1_000;

/// A version of a capsule, as records name it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) urn: Urn,
    pub(crate) version: Version,
    pub(crate) digest: Digest,
    /// 0 as long as it was never active.
    pub(crate) generation: u64,
    /// Tells one life of a version from the next one: it may be loaded twice at once, and come back.
    pub(crate) life: u64,
    /// Where its bytes came from, in words.
    pub(crate) source: Arc<str>,
}

impl Named {
    fn json(&self) -> Value {
        json!({ "urn": self.urn, "version": self.version, "digest": self.digest, "generation": self.generation })
    }
}

/// What a record is about.
struct About<'a> {
    name: &'a str,
    digest: Digest,
}

impl<'a> From<&'a Named> for About<'a> {
    fn from(named: &'a Named) -> Self {
        Self {
            name: named.urn.as_str(),
            digest: named.digest,
        }
    }
}

/// One transition to be written.
pub(crate) struct Move<'a> {
    pub(crate) what: &'a Named,
    pub(crate) to: State,
    pub(crate) cause: Cause,
    pub(crate) actor: Actor,
    /// Code and message of a failure, or an operator's words.
    pub(crate) reason: Value,
}

/// The states of all that is or was here since the start, and the way into the ledger.
pub(crate) struct Journal {
    ledger: Option<(Ledger, Build)>,
    topic: OnceCell<()>,
    lives: AtomicU64,
    /// The ledger's next record when the host started, and events since: what their ids are made of.
    started_at: u64,
    events: AtomicU64,
    states: Mutex<HashMap<u64, State>>,
}

/// A record that was written, and may not be on disk yet.
#[must_use = "it may not be on disk yet"]
pub(crate) struct Unsynced(Option<Placed>);

impl Unsynced {
    /// Waits until it is as durable as it was to be: on disk, if it binds.
    ///
    /// # Errors
    /// The failure that stopped the ledger.
    pub(crate) async fn synced(self) -> Result<(), Fault> {
        if let Some(placed) = self.0 {
            placed.acknowledged().await.map_err(|error| Fault::from(&error))?;
        }
        Ok(())
    }
}

impl Journal {
    pub(crate) fn new(ledger: Option<(Ledger, Build)>) -> Self {
        Self {
            started_at: ledger.as_ref().map_or(0, |(ledger, _)| ledger.records()),
            events: AtomicU64::new(0),
            ledger,
            topic: OnceCell::new(),
            lives: AtomicU64::new(0),
            states: Mutex::default(),
        }
    }

    /// A version whose life begins.
    pub(crate) fn begin(&self, urn: Urn, version: Version, digest: Digest, source: &str) -> Named {
        Named {
            source: source.into(),
            urn,
            version,
            digest,
            generation: 0,
            life: self.lives.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// What every URN meant when the host last ran.
    pub(crate) fn bindings(&self) -> Result<BTreeMap<Urn, Binding>, Fault> {
        let mut bindings = BTreeMap::new();
        let Some((ledger, _)) = &self.ledger else {
            return Ok(bindings);
        };
        let range = KeyRange::prefix(&Owner::Kernel, PREFIX);
        let mut after: Option<Key> = None;
        loop {
            let page = ledger
                .state()
                .scan(BranchId::MAIN, &range, ledger.visible(), PAGE, after.as_ref())
                .map_err(|error| Fault::from(&error))?;
            for (key, version) in &page.entries {
                let name = key.key.get(PREFIX.len()..).unwrap_or_default();
                let urn = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
                let binding = serde_json::from_slice(&version.value).ok();
                match urn.zip(binding) {
                    Some((urn, binding)) => drop(bindings.insert(urn, binding)),
                    None => tracing::warn!("a binding cannot be read and is passed over: {key}"),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(bindings);
            }
        }
    }

    /// The state of a life; none when it has not begun, or is over.
    pub(crate) fn state(&self, what: &Named) -> Option<State> {
        self.states.lock().get(&what.life).copied()
    }

    /// Writes a transition.
    ///
    /// # Errors
    /// `NoSuchTransition`, and those of the ledger; nothing changed then.
    pub(crate) async fn step(&self, step: Move<'_>) -> Result<(), Fault> {
        self.write(&[step], None).await?.synced().await
    }

    /// Writes transitions that happen together, and what a URN means from then on; one record, which is to be synced when it
    /// binds. It outlives this process when this returns, and all that is recorded from now on comes after it.
    ///
    /// # Errors
    /// As [`Journal::step`]'s.
    pub(crate) async fn write(&self, moves: &[Move<'_>], binding: Option<(&Urn, &Binding)>) -> Result<Unsynced, Fault> {
        let mut froms = Vec::with_capacity(moves.len());
        for step in moves {
            let from = self.state(step.what);
            if !step.to.may_follow(from) {
                let error = KernelError::NoSuchTransition {
                    what: format!("{}@{}", step.what.urn, step.what.version),
                    from: from.map_or_else(|| "nothing".into(), |from| from.to_string()),
                    to: step.to.to_string(),
                };
                return Err(error.into());
            }
            froms.push(from);
        }
        let documents: Vec<Value> = moves
            .iter()
            .zip(&froms)
            .map(|(step, from)| {
                json!({
                    "event": "lifecycle",
                    "capsule": step.what.json(),
                    "from": from,
                    "to": step.to,
                    "cause": step.cause,
                    "actor": step.actor,
                    "reason": step.reason,
                })
            })
            .collect();
        let Some(last) = moves.last() else {
            return Ok(Unsynced(None));
        };
        let write = binding.map(|(urn, binding)| bound(urn, binding));
        let unsynced = self
            .place(TRANSITION_EVENT, last.what.into(), &documents, write)
            .await?;
        let mut states = self.states.lock();
        for step in moves {
            // What is gone begins another life when it comes again; to remember it would only take memory.
            if matches!(step.to, State::Unloaded | State::Quarantined) {
                states.remove(&step.what.life);
            } else {
                states.insert(step.what.life, step.to);
            }
        }
        Ok(unsynced)
    }

    /// Writes what a URN means, where no version changes its state.
    pub(crate) async fn bind(&self, what: &Named, binding: &Binding, document: Value) -> Result<(), Fault> {
        self.bound_anew(what, Some(binding), document).await
    }

    /// Writes that a link leads elsewhere. What the URN means stays as it is, if it means anything.
    pub(crate) async fn bound_anew(
        &self,
        what: &Named,
        binding: Option<&Binding>,
        mut document: Value,
    ) -> Result<(), Fault> {
        if let Some(members) = document.as_object_mut() {
            members.insert("capsule".into(), what.json());
        }
        let write = binding.map(|binding| bound(&what.urn, binding));
        self.commit(SWAP_EVENT, what.into(), &[document], write).await
    }

    /// Writes a step of a swap.
    pub(crate) async fn swap_step(&self, what: &Named, step: &str, detail: Value) -> Result<(), Fault> {
        let document = json!({ "event": "swap", "step": step, "capsule": what.json(), "detail": detail });
        self.commit(SWAP_EVENT, what.into(), &[document], None).await
    }

    /// How often a host started on this ledger.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub(crate) fn starts(&self) -> Result<u64, Fault> {
        let Some((ledger, _)) = &self.ledger else {
            return Ok(0);
        };
        let key = Key::new(Owner::Kernel, STARTS.to_vec());
        let found = ledger
            .state()
            .get(BranchId::MAIN, &key, ledger.visible())
            .map_err(|error| Fault::from(&error))?;
        Ok(found
            .and_then(|version| serde_json::from_slice(&version.value).ok())
            .unwrap_or(0))
    }

    /// Writes that a phase of the host's start is over; the first one of a start counts it.
    pub(crate) async fn boot(&self, document: Value, counts: Option<u64>) -> Result<(), Fault> {
        let Some((_, build)) = &self.ledger else {
            return Ok(());
        };
        let about = About {
            name: HOST,
            digest: build.host,
        };
        let counted = counts.map(|starts| Write {
            branch: BranchId::MAIN,
            key: Key::new(Owner::Kernel, STARTS.to_vec()),
            value: Some(serde_json::to_vec(&starts).unwrap_or_default().into()),
        });
        self.commit(BOOT_EVENT, about, &[document], counted).await
    }

    /// Writes that a version which was found in what is watched was refused, whatever the step.
    pub(crate) async fn refused_entry(&self, what: &Named, entry: &str, fault: &Fault) -> Result<(), Fault> {
        let document = json!({
            "event": "watched",
            "capsule": what.json(),
            "entry": entry,
            "cause": Cause::Watched,
            "actor": Actor::Publisher,
            "reason": { "code": fault.code, "message": fault.message },
        });
        self.commit(WATCHED_EVENT, what.into(), &[document], None).await
    }

    async fn commit(
        &self,
        kind: &str,
        about: About<'_>,
        documents: &[Value],
        write: Option<Write>,
    ) -> Result<(), Fault> {
        self.place(kind, about, documents, write).await?.synced().await
    }

    async fn place(
        &self,
        kind: &str,
        about: About<'_>,
        documents: &[Value],
        write: Option<Write>,
    ) -> Result<Unsynced, Fault> {
        let Some((ledger, build)) = &self.ledger else {
            return Ok(Unsynced(None));
        };
        self.topic.get_or_try_init(|| ensure_topic(ledger)).await?;
        let fault = |error: LedgerError| Fault::from(&error);
        let mut events = Vec::with_capacity(documents.len());
        for document in documents {
            let id = format!("{}-{}", self.started_at, self.events.fetch_add(1, Ordering::Relaxed));
            let data = serde_json::to_vec(document).unwrap_or_default();
            let envelope = Envelope::builder(id, SOURCE, kind)
                .subject(about.name)
                .content_type("application/json")
                .data(data)
                .build()
                .map_err(fault)?;
            let mut event = NewEvent::new(Arc::from(LIFECYCLE_TOPIC), envelope);
            event.key = Some(Bytes::copy_from_slice(about.name.as_bytes()));
            events.push(event);
        }
        let receipt = match documents {
            [one] => statement::step(about.name, &about.digest, one.clone(), build),
            many => {
                let together = json!({ "event": "lifecycle", "together": many });
                statement::step(about.name, &about.digest, together, build)
            }
        };
        let durability = if write.is_some() {
            Durability::Synced
        } else {
            Durability::Written
        };
        let commit = Commit {
            durability: Some(durability),
            receipt: Some(receipt),
            writes: write.into_iter().collect(),
            events,
            ..Commit::default()
        };
        Ok(Unsynced(Some(ledger.place(commit).await.map_err(fault)?)))
    }
}

/// What a URN means from now on, as a write of the state.
fn bound(urn: &Urn, binding: &Binding) -> Write {
    Write {
        branch: BranchId::MAIN,
        key: Key::new(Owner::Kernel, key(urn)),
        value: Some(serde_json::to_vec(binding).unwrap_or_default().into()),
    }
}

/// Makes the topic of capsules' lives, unless it is there.
pub(crate) async fn ensure_topic(ledger: &Ledger) -> Result<(), Fault> {
    match ledger.bus().topic_stats(LIFECYCLE_TOPIC) {
        Ok(_) => Ok(()),
        Err(LedgerError::NoTopic { .. }) => {
            match ledger.bus().create_topic(LIFECYCLE_TOPIC, TopicConfig::default()).await {
                Err(error) if ledger.bus().topic_stats(LIFECYCLE_TOPIC).is_err() => Err(Fault::from(&error)),
                // The journal and the outbox may both want it first.
                _ => Ok(()),
            }
        }
        Err(error) => Err(Fault::from(&error)),
    }
}
