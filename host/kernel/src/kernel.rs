//! The kernel: which capsule answers a URN, and the one way for one to become active.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use kinetic_engine::Engine;
use kinetic_ledger::Ledger;
use kinetic_model::{CapsuleRef, Fault, Pin, Urn};
use kinetic_registry::{Cache, Carried, FolderStore, Registries};
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, Semaphore, watch};

use crate::admission::Judge;
use crate::capsule::Capsule;
use crate::crystallize::CrystallizationKeys;
use crate::discovery::Discovery;
use crate::executors::{Board, ExecutorSettings};
use crate::kept::Kept;
use crate::life::{Binding, Former, Journal};
use crate::outbox::Outbox;
use crate::parts::Parts;
use crate::quarantine::{Quarantine, Quarantined};
use crate::recorder::Recorder;
use crate::statement::Build;
use crate::stored::Manifests;
use crate::swap::SwapSettings;
use crate::turns::Turns;
use crate::watched;
use crate::zones::{ZoneSettings, Zones};
use crate::{KernelError, NodeSettings, Policy, State};

/// Admissions at once: compiling is the heaviest thing a host does, and calls come first.
const ADMISSIONS_MAX: usize = 2;
/// Pinned versions kept ready beside the active ones; the least recently activated goes first.
const PINNED_MAX: usize = 64;

/// Where the kernel finds what it needs.
pub struct KernelConfig {
    /// The operator's policy.
    pub policy: Policy,
    /// How careful swaps are.
    pub swap: SwapSettings,
    /// How the engine's sandboxes are divided among zones and tenants.
    pub zones: ZoneSettings,
    /// What this host is as a node that runs capsules. None asks nothing about it: for trying a capsule out that will run
    /// elsewhere.
    pub node: Option<NodeSettings>,
    /// How events and the clock call capsules.
    pub executors: ExecutorSettings,
    /// The trust root's file; read anew at each admission, so that a new key needs no restart.
    pub trust_root: PathBuf,
    /// Folder of the quarantine.
    pub quarantine: PathBuf,
    /// The local store; asked first, and where publishing puts.
    pub store: Arc<FolderStore>,
    /// Where else capsules come from.
    pub registries: Arc<Registries>,
    /// Where what registries delivered is kept; the default keeps nothing.
    pub cache: Cache,
    /// The versions of the host's own parts that the program carries. They are trusted as the program is, without a
    /// signature, and their URNs are called by nobody but the host.
    pub carried: Arc<Carried>,
    /// Where everything is recorded, and what the records say runs here. None records nothing: for trying a capsule out
    /// on its author's machine.
    pub ledger: Option<(Ledger, Build)>,
}

/// Active capsules by URN, and pinned versions.
#[derive(Default, Clone)]
pub(crate) struct Active {
    pub(crate) by_urn: BTreeMap<Urn, Arc<Capsule>>,
    pinned: Vec<Arc<Capsule>>,
}

impl Active {
    /// The capsule a reference means, if it is among them.
    pub(crate) fn find(&self, what: &CapsuleRef) -> Option<&Arc<Capsule>> {
        let current = self.by_urn.get(&what.urn);
        current.filter(|capsule| fits(capsule, &what.pin)).or_else(|| {
            let mut pinned = self.pinned.iter();
            pinned.find(|capsule| capsule.manifest.id == what.urn && fits(capsule, &what.pin))
        })
    }
}

pub(crate) struct Inner {
    pub(crate) judge: Judge,
    swap: SwapSettings,
    zones: Zones,
    node: Option<NodeSettings>,
    pub(crate) executors: ExecutorSettings,
    pub(crate) board: Board,
    pub(crate) watched: watched::Board,
    store: Arc<FolderStore>,
    pub(crate) registries: Arc<Registries>,
    pub(crate) kept: Kept,
    /// Where publications wait; opened by a host that delivers them.
    pub(crate) outbox: OnceLock<Outbox>,
    /// What promotions are signed with, on a host that may make some.
    pub(crate) crystallization: OnceLock<CrystallizationKeys>,
    quarantine: Quarantine,
    parts: Parts,
    pub(crate) active: ArcSwap<Active>,
    changing: Mutex<()>,
    pub(crate) discovery: Discovery,
    pub(crate) manifests: Manifests,
    bindings: Mutex<BTreeMap<Urn, Binding>>,
    generations: Mutex<BTreeMap<Urn, u64>>,
    pub(crate) admissions: Semaphore,
    turns: Turns,
    changes: watch::Sender<u64>,
    journal: Journal,
    pub(crate) recorder: Option<Recorder>,
}

/// The kernel. Cheap to clone.
#[derive(Clone)]
pub struct Kernel(pub(crate) Arc<Inner>);

/// A kernel that may have ended.
#[derive(Clone)]
pub(crate) struct WeakKernel(Weak<Inner>);

impl WeakKernel {
    pub(crate) fn upgrade(&self) -> Option<Kernel> {
        self.0.upgrade().map(Kernel)
    }
}

impl Kernel {
    /// Opens the quarantine, reads what every URN meant when the host last ran, and records that the host started;
    /// nothing is active yet.
    ///
    /// # Errors
    /// When the zones do not fit into the engine's pool; when the quarantine's folder or the ledger cannot be used.
    pub fn new(engine: Engine, config: KernelConfig) -> Result<Self, Fault> {
        let pool = engine.config();
        let zones = Zones::new(&config.zones, pool.pool_instances, pool.residents_max())?;
        let journal = Journal::new(config.ledger.clone());
        let bindings = journal.bindings()?;
        let generations = bindings
            .iter()
            .map(|(urn, binding)| (urn.clone(), binding.generation))
            .collect();
        let recorder = config
            .ledger
            .map(|(ledger, build)| Recorder::start(ledger, build, &config.policy))
            .transpose()?;
        Ok(Self(Arc::new(Inner {
            judge: Judge {
                engine,
                policy: config.policy,
                trust_root: config.trust_root,
                carried: config.carried.clone(),
            },
            swap: config.swap,
            zones,
            node: config.node,
            executors: config.executors,
            board: Board::default(),
            watched: watched::Board::default(),
            store: config.store,
            registries: config.registries,
            kept: Kept::new(config.cache),
            outbox: OnceLock::new(),
            crystallization: OnceLock::new(),
            quarantine: Quarantine::open(&config.quarantine)?,
            parts: Parts::new(config.carried),
            active: ArcSwap::default(),
            changing: Mutex::new(()),
            discovery: Discovery::default(),
            manifests: Manifests::default(),
            bindings: Mutex::new(bindings),
            generations: Mutex::new(generations),
            admissions: Semaphore::new(ADMISSIONS_MAX),
            turns: Turns::default(),
            changes: watch::Sender::new(0),
            journal,
            recorder,
        })))
    }

    /// The engine calls run in.
    pub fn engine(&self) -> &Engine {
        &self.0.judge.engine
    }

    /// The local store.
    pub fn store(&self) -> &Arc<FolderStore> {
        &self.0.store
    }

    /// Where else capsules come from.
    pub(crate) fn registries(&self) -> &Registries {
        &self.0.registries
    }

    /// The operator's policy.
    pub fn policy(&self) -> &Policy {
        &self.0.judge.policy
    }

    /// The ledger, if this host records.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.0.recorder.as_ref().map(|recorder| &recorder.ledger)
    }

    /// How careful swaps are.
    pub fn settings(&self) -> SwapSettings {
        self.0.swap
    }

    /// Zones and tenants: who may run how much at once, and who does.
    pub fn zones(&self) -> &Zones {
        &self.0.zones
    }

    /// What this host is as a node; none where capsules are only tried out.
    pub(crate) fn node(&self) -> Option<&NodeSettings> {
        self.0.node.as_ref()
    }

    /// The active capsules that can be called, sorted by URN. Parts of the host are not among them.
    pub fn list(&self) -> Vec<Arc<Capsule>> {
        let mut active = self.active();
        active.retain(|capsule| !self.is_part(&capsule.manifest.id));
        active
    }

    /// What every URN means, parts of the host included, sorted by URN.
    pub(crate) fn active(&self) -> Vec<Arc<Capsule>> {
        self.0.active.load().by_urn.values().cloned().collect()
    }

    /// The pinned versions that are ready beside them.
    pub(crate) fn pinned(&self) -> Vec<Arc<Capsule>> {
        self.0.active.load().pinned.clone()
    }

    /// The capsules that were refused, or failed too often.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.0.quarantine.list()
    }

    /// Counts changes of the active set.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The capsule a reference means, if it is ready in memory.
    pub fn resolve(&self, what: &CapsuleRef) -> Option<Arc<Capsule>> {
        self.0.active.load().find(what).cloned()
    }

    pub(crate) fn trust_root(&self) -> &std::path::Path {
        &self.0.judge.trust_root
    }

    pub(crate) fn downgrade(&self) -> WeakKernel {
        WeakKernel(Arc::downgrade(&self.0))
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    pub(crate) fn quarantine(&self) -> &Quarantine {
        &self.0.quarantine
    }

    /// Waits until nobody else changes what the URN means.
    pub(crate) async fn turn(&self, urn: &Urn) -> OwnedMutexGuard<()> {
        self.0.turns.take(urn.as_str()).await
    }

    /// Waits until nobody else makes the same version ready.
    pub(crate) async fn flight(&self, what: &CapsuleRef) -> OwnedMutexGuard<()> {
        self.0.turns.take(&format!("flight {what}")).await
    }

    /// The capsule the URN means now.
    pub(crate) fn current(&self, urn: &Urn) -> Result<Arc<Capsule>, KernelError> {
        let found = self.0.active.load().by_urn.get(urn).cloned();
        found.ok_or_else(|| {
            let what = urn.to_string();
            if self.is_part(urn) {
                KernelError::NotAPart { what }
            } else {
                KernelError::NotActive { what }
            }
        })
    }

    /// The version that was there before the one the URN means.
    pub(crate) fn former(&self, urn: &Urn) -> Result<Former, KernelError> {
        let former = self.binding(urn).and_then(|binding| binding.former);
        former.ok_or_else(|| KernelError::NoFormer { what: urn.to_string() })
    }

    /// What the ledger says the URN means, or meant when something last answered it.
    pub(crate) fn binding(&self, urn: &Urn) -> Option<Binding> {
        let bindings = self.0.bindings.lock();
        bindings.get(urn).filter(|binding| binding.generation > 0).cloned()
    }

    /// How the ledger says that a URN stands; none when it says nothing of it.
    pub(crate) fn standing(&self, urn: &Urn) -> Option<State> {
        self.0.bindings.lock().get(urn).map(|binding| binding.state)
    }

    /// How all URNs stand that the ledger says something of.
    pub(crate) fn standings(&self) -> Vec<State> {
        self.0.bindings.lock().values().map(|binding| binding.state).collect()
    }

    pub(crate) fn put_binding(&self, urn: &Urn, binding: Binding) {
        self.0.bindings.lock().insert(urn.clone(), binding);
    }

    /// A binding to this capsule; what an operator set for the URN stays.
    pub(crate) fn binding_of(&self, capsule: &Capsule, chosen: bool) -> Binding {
        let before = self.binding(&capsule.manifest.id);
        let (limits, providers) = before
            .map(|binding| (binding.limits, binding.providers))
            .unwrap_or_default();
        Binding {
            state: State::Active,
            reason: None,
            generation: capsule.generation,
            version: capsule.manifest.version.clone(),
            digest: capsule.digest,
            chosen,
            former: None,
            probation: false,
            providers,
            limits,
        }
    }

    /// The generation the next flip of a URN would have.
    pub(crate) fn generation_after(&self, urn: &Urn) -> u64 {
        self.0.generations.lock().get(urn).copied().unwrap_or(0) + 1
    }

    /// Takes the next generation of a URN. None is ever given twice.
    pub(crate) fn next_generation(&self, urn: &Urn) -> u64 {
        let mut generations = self.0.generations.lock();
        let generation = generations.entry(urn.clone()).or_insert(0);
        *generation += 1;
        *generation
    }

    /// Lets calls of the URN find this capsule, in one swap of a pointer.
    pub(crate) fn put_active(&self, capsule: Arc<Capsule>) {
        let urn = capsule.manifest.id.clone();
        self.change(|active| {
            active
                .pinned
                .retain(|pinned| pinned.manifest.id != capsule.manifest.id || pinned.digest != capsule.digest);
            active.by_urn.insert(capsule.manifest.id.clone(), capsule);
        });
        self.show_active(&urn);
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Lets calls that pin it find this capsule. Gives back those there is no room for any more.
    pub(crate) fn put_pinned(&self, capsule: Arc<Capsule>) -> Vec<Arc<Capsule>> {
        self.change(|active| {
            active.pinned.push(capsule);
            let surplus = active.pinned.len().saturating_sub(PINNED_MAX);
            active.pinned.drain(..surplus).collect()
        })
    }

    /// Lets no call that pins it find this capsule any more.
    pub(crate) fn remove_pinned(&self, capsule: &Arc<Capsule>) {
        self.change(|active| active.pinned.retain(|pinned| !Arc::ptr_eq(pinned, capsule)));
    }

    /// Lets no call find this capsule any more.
    pub(crate) fn remove(&self, capsule: &Arc<Capsule>) {
        self.change(|active| {
            active.pinned.retain(|pinned| !Arc::ptr_eq(pinned, capsule));
            active.by_urn.retain(|_, other| !Arc::ptr_eq(other, capsule));
        });
        self.show_active(&capsule.manifest.id);
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Active) -> T) -> T {
        let _change = self.0.changing.lock();
        let mut active = Active::clone(&self.0.active.load());
        let result = change(&mut active);
        self.0.active.store(Arc::new(active));
        result
    }
}

pub(crate) fn fits(capsule: &Capsule, pin: &Pin) -> bool {
    match pin {
        Pin::Active => true,
        Pin::Version(version) => capsule.manifest.version == *version,
        Pin::Digest(digest) => capsule.digest == *digest,
    }
}
