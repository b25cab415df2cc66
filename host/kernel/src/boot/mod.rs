//! The start of a host: what its ledger wants becomes what is there, capsules after what they require, and each phase leaves
//! a record when it is over. A host that is killed in between leaves the records of the phases that were.

mod order;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kinetic_model::{CapsuleRef, Fault, Urn};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::order::{Start, waves};
use crate::{Capsule, Kernel, State};

/// As many failures are named in the record of a phase; all are counted.
const REASONS_MAX: usize = 16;

/// The phases, as records call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    LedgerRecovered,
    StoreScanned,
    PartsStarted,
    CapsulesReconciled,
    Serving,
}

/// A phase that is over.
struct Phase {
    name: Name,
    /// What there is at all.
    known: usize,
    /// What of it should be active...
    wanted: usize,
    /// ...and what is.
    active: usize,
    failed: Vec<Value>,
    took: Duration,
}

/// A host that starts. Phases are recorded in the order in which they end.
pub struct Boot {
    kernel: Kernel,
    /// Counts the starts on this ledger, from 1.
    generation: u64,
    began: Instant,
    recovering: Duration,
}

/// What became of the capsules in the local store.
#[derive(Clone, Debug)]
pub struct Reconciled {
    /// How many should be active.
    pub wanted: usize,
    /// How many are.
    pub active: usize,
    /// The others, and why they are not.
    pub failed: Vec<(CapsuleRef, Fault)>,
}

impl Kernel {
    /// Begins the start of a host, whose ledger took so long to open.
    ///
    /// # Errors
    /// A ledger that takes no records.
    pub async fn boot(&self, recovering: Duration) -> Result<Boot, Fault> {
        let boot = Boot {
            kernel: self.clone(),
            generation: self.journal().starts()?.saturating_add(1),
            began: Instant::now(),
            recovering,
        };
        let standings = self.standings();
        let phase = Phase {
            name: Name::LedgerRecovered,
            known: standings.len(),
            wanted: standings.into_iter().filter(|state| is_wanted(Some(*state))).count(),
            active: 0,
            failed: Vec::new(),
            took: recovering,
        };
        boot.record(phase).await?;
        Ok(boot)
    }

    /// Makes active what should be, without a record of the start: what every URN in the local store meant when the host
    /// last ran, and the newest version of those that the ledger says nothing of. What was put into the store to wait stays
    /// there until somebody calls it; a search finds it. What fails is quarantined and named. Parts of the host are left to
    /// who keeps their seats.
    pub async fn activate_all(&self) -> Vec<(CapsuleRef, Result<Arc<Capsule>, Fault>)> {
        self.scan_store().await;
        self.reconcile().await
    }

    /// Reads all manifests in the local store. Gives those that cannot be read, and why.
    async fn scan_store(&self) -> Vec<(Urn, String)> {
        let urns = self.store().newest().into_iter().map(|newest| newest.urn);
        let read = side_by_side(processors(), urns.collect(), |urn: Urn| {
            let kernel = self.clone();
            async move {
                let why = match kernel.in_store(&urn).await {
                    Ok(stored) => stored.and_then(|stored| stored.manifest.as_ref().err().cloned()),
                    Err(error) => Some(error.to_string()),
                };
                why.map(|why| (urn, why))
            }
        });
        let mut unreadable: Vec<_> = read.await.into_iter().flatten().collect();
        unreadable.sort();
        unreadable
    }

    /// Makes active what should be, providers before who requires them, and what does not wait for each other at once.
    async fn reconcile(&self) -> Vec<(CapsuleRef, Result<Arc<Capsule>, Fault>)> {
        let urns = self.store().newest().into_iter().map(|newest| newest.urn);
        let callable = urns.filter(|urn| !self.is_part(urn));
        let (wanted, waiting): (Vec<Urn>, Vec<Urn>) = callable.partition(|urn| is_wanted(self.standing(urn)));
        let mut starts = Vec::with_capacity(wanted.len());
        for urn in wanted {
            let stored = self.in_store(&urn).await.ok().flatten();
            let manifest = stored.as_ref().and_then(|stored| stored.manifest.as_ref().ok());
            starts.push(Start::of(urn, manifest));
        }
        // Which tenant's come first decides whose there are when tenants are kept apart: that is no question of speed.
        let at_once = if self.policy().placement.isolate_tenants {
            1
        } else {
            processors()
        };
        let mut report = Vec::with_capacity(starts.len());
        for wave in waves(&starts) {
            let wave = wave.into_iter().map(CapsuleRef::from).collect();
            let activated = side_by_side(at_once, wave, |what: CapsuleRef| {
                let kernel = self.clone();
                async move {
                    let result = kernel.activate(&what).await;
                    if result.is_err() {
                        kernel.show_stored(&what.urn).await;
                    }
                    (what, result)
                }
            });
            report.extend(activated.await);
        }
        let shown = side_by_side(processors(), waiting, |urn: Urn| {
            let kernel = self.clone();
            async move { kernel.show_stored(&urn).await }
        });
        shown.await;
        report.sort_by(|(one, _), (other, _)| one.urn.cmp(&other.urn));
        report
    }
}

impl Boot {
    /// Reads the manifests in the local store.
    ///
    /// # Errors
    /// A ledger that takes no records.
    pub async fn scan_store(&self) -> Result<(), Fault> {
        let since = Instant::now();
        let unreadable = self.kernel.scan_store().await;
        let store = self.kernel.store();
        let damaged = store.damaged().iter();
        let damaged = damaged.map(|damaged| json!({ "what": damaged.path.display().to_string(), "why": damaged.why }));
        let unreadable = unreadable
            .into_iter()
            .map(|(urn, why)| json!({ "what": urn, "why": why }));
        let phase = Phase {
            name: Name::StoreScanned,
            known: store.newest().len(),
            wanted: 0,
            active: 0,
            failed: damaged.chain(unreadable).collect(),
            took: since.elapsed(),
        };
        self.record(phase).await
    }

    /// The parts of the host were started since then, as far as they are wanted, by whoever keeps their seats.
    ///
    /// # Errors
    /// A ledger that takes no records.
    pub async fn parts_started(&self, since: Instant, wanted: bool, trouble: Option<&Fault>) -> Result<(), Fault> {
        let known = self.kernel.parts().carried().count();
        let active = self.kernel.active();
        let parts = active
            .iter()
            .filter(|capsule| self.kernel.is_part(&capsule.manifest.id));
        let phase = Phase {
            name: Name::PartsStarted,
            known,
            wanted: if wanted { known } else { 0 },
            active: parts.count(),
            failed: trouble.map(|fault| reason("parts", fault)).into_iter().collect(),
            took: since.elapsed(),
        };
        self.record(phase).await
    }

    /// Makes active what should be, as [`Kernel::activate_all`] does.
    ///
    /// # Errors
    /// A ledger that takes no records.
    pub async fn reconcile(&self) -> Result<Reconciled, Fault> {
        let since = Instant::now();
        let report = self.kernel.reconcile().await;
        let wanted = report.len();
        let failed: Vec<(CapsuleRef, Fault)> = report
            .into_iter()
            .filter_map(|(what, result)| result.err().map(|fault| (what, fault)))
            .collect();
        let reconciled = Reconciled {
            wanted,
            active: wanted - failed.len(),
            failed,
        };
        self.record(self.phase(Name::CapsulesReconciled, &reconciled, since.elapsed()))
            .await?;
        Ok(reconciled)
    }

    /// Calls are taken from now on: the start is over.
    ///
    /// # Errors
    /// A ledger that takes no records.
    pub async fn serving(self, reconciled: &Reconciled) -> Result<(), Fault> {
        let took = self.recovering.saturating_add(self.began.elapsed());
        let phase = Phase {
            // Some may have been called meanwhile that nobody waited for.
            active: self.kernel.list().len(),
            ..self.phase(Name::Serving, reconciled, took)
        };
        self.record(phase).await
    }

    fn phase(&self, name: Name, reconciled: &Reconciled, took: Duration) -> Phase {
        let failed = reconciled.failed.iter();
        Phase {
            name,
            known: self.kernel.store().newest().len(),
            wanted: reconciled.wanted,
            active: reconciled.active,
            failed: failed.map(|(what, fault)| reason(&what.to_string(), fault)).collect(),
            took,
        }
    }

    async fn record(&self, phase: Phase) -> Result<(), Fault> {
        let reasons = phase.failed.get(..REASONS_MAX).unwrap_or(&phase.failed);
        let document = json!({
            "event": "boot",
            "phase": phase.name,
            "generation": self.generation,
            "detail": {
                "took_ms": u64::try_from(phase.took.as_millis()).unwrap_or(u64::MAX),
                "known": phase.known,
                "wanted": phase.wanted,
                "active": phase.active,
                "failed": phase.failed.len(),
                "reasons": reasons,
            },
        });
        let counts = (phase.name == Name::LedgerRecovered).then_some(self.generation);
        self.kernel.journal().boot(document, counts).await
    }
}

/// Whether a start makes a URN active that stands so. What failed is tried again: there may be a better version.
const fn is_wanted(standing: Option<State>) -> bool {
    !matches!(standing, Some(State::Unloaded))
}

fn reason(what: &str, fault: &Fault) -> Value {
    json!({ "what": what, "code": fault.code, "why": fault.message })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does the same with each, so many at once. They begin in their order, and end in any.
async fn side_by_side<T, F>(at_once: usize, all: Vec<T>, work: impl Fn(T) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut done = Vec::with_capacity(all.len());
    for one in all {
        if running.len() >= at_once {
            done.extend(ended(running.join_next().await));
        }
        running.spawn(work(one));
    }
    while !running.is_empty() {
        done.extend(ended(running.join_next().await));
    }
    done
}

fn ended<T>(joined: Option<Result<T, tokio::task::JoinError>>) -> Option<T> {
    joined?
        .inspect_err(|error| tracing::error!("a part of the start ended without a result: {error}"))
        .ok()
}
