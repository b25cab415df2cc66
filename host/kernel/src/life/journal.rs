//! Writes each transition and each step of a swap: a receipt, an event for whoever watches, and what the URN means from
//! then on, all in one record. What cannot be recorded does not happen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kinetic_ledger::bus::{Envelope, NewEvent, TopicConfig};
use kinetic_ledger::state::{BranchId, Key, KeyRange, Owner, Write};
use kinetic_ledger::{Commit, Durability, Ledger, LedgerError};
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
}

impl Named {
    fn json(&self) -> Value {
        json!({ "urn": self.urn, "version": self.version, "digest": self.digest, "generation": self.generation })
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
    pub(crate) fn begin(&self, urn: Urn, version: Version, digest: Digest) -> Named {
        Named {
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
        self.write(&[step], None).await
    }

    /// Writes transitions that happen together, and what a URN means from then on; one record, synced when it binds.
    ///
    /// # Errors
    /// As [`Journal::step`]'s.
    pub(crate) async fn write(&self, moves: &[Move<'_>], binding: Option<(&Urn, &Binding)>) -> Result<(), Fault> {
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
        let subject = moves.last().map(|step| step.what);
        self.commit(TRANSITION_EVENT, subject, &documents, binding).await?;
        let mut states = self.states.lock();
        for step in moves {
            // What is gone begins another life when it comes again; to remember it would only take memory.
            if matches!(step.to, State::Unloaded | State::Quarantined) {
                states.remove(&step.what.life);
            } else {
                states.insert(step.what.life, step.to);
            }
        }
        Ok(())
    }

    /// Writes what a URN means, where no version changes its state.
    pub(crate) async fn bind(&self, what: &Named, binding: &Binding, mut document: Value) -> Result<(), Fault> {
        if let Some(members) = document.as_object_mut() {
            members.insert("capsule".into(), what.json());
        }
        self.commit(SWAP_EVENT, Some(what), &[document], Some((&what.urn, binding)))
            .await
    }

    /// Writes a step of a swap.
    pub(crate) async fn swap_step(&self, what: &Named, step: &str, detail: Value) -> Result<(), Fault> {
        let document = json!({ "event": "swap", "step": step, "capsule": what.json(), "detail": detail });
        self.commit(SWAP_EVENT, Some(what), &[document], None).await
    }

    async fn commit(
        &self,
        kind: &str,
        subject: Option<&Named>,
        documents: &[Value],
        binding: Option<(&Urn, &Binding)>,
    ) -> Result<(), Fault> {
        let (Some((ledger, build)), Some(subject)) = (&self.ledger, subject) else {
            return Ok(());
        };
        self.topic.get_or_try_init(|| ensure_topic(ledger)).await?;
        let fault = |error: LedgerError| Fault::from(&error);
        let mut events = Vec::with_capacity(documents.len());
        for document in documents {
            let id = format!("{}-{}", self.started_at, self.events.fetch_add(1, Ordering::Relaxed));
            let data = serde_json::to_vec(document).unwrap_or_default();
            let envelope = Envelope::builder(id, SOURCE, kind)
                .subject(subject.urn.as_str())
                .content_type("application/json")
                .data(data)
                .build()
                .map_err(fault)?;
            let mut event = NewEvent::new(Arc::from(LIFECYCLE_TOPIC), envelope);
            event.key = Some(Bytes::copy_from_slice(subject.urn.as_str().as_bytes()));
            events.push(event);
        }
        let receipt = match documents {
            [one] => statement::step(subject.urn.as_str(), &subject.digest, one.clone(), build),
            many => {
                let together = json!({ "event": "lifecycle", "together": many });
                statement::step(subject.urn.as_str(), &subject.digest, together, build)
            }
        };
        let writes = binding.map(|(urn, binding)| Write {
            branch: BranchId::MAIN,
            key: Key::new(Owner::Kernel, key(urn)),
            value: Some(serde_json::to_vec(binding).unwrap_or_default().into()),
        });
        let durability = if writes.is_some() {
            Durability::Synced
        } else {
            Durability::Written
        };
        let commit = Commit {
            durability: Some(durability),
            receipt: Some(receipt),
            writes: writes.into_iter().collect(),
            events,
            ..Commit::default()
        };
        ledger.commit(commit).await.map_err(fault)?;
        Ok(())
    }
}

async fn ensure_topic(ledger: &Ledger) -> Result<(), Fault> {
    match ledger.bus().topic_stats(LIFECYCLE_TOPIC) {
        Ok(_) => Ok(()),
        Err(LedgerError::NoTopic { .. }) => {
            let created = ledger.bus().create_topic(LIFECYCLE_TOPIC, TopicConfig::default()).await;
            created.map(drop).map_err(|error| Fault::from(&error))
        }
        Err(error) => Err(Fault::from(&error)),
    }
}
