//! The kernel: which capsule answers a URN, and the one way for one to become active.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use kinetic_engine::{Engine, Input, Outcome};
use kinetic_ledger::Ledger;
use kinetic_model::{CapsuleRef, Digest, Fault, Pin, Urn};
use kinetic_registry::{Descriptor, FolderStore, RegistryError, Source, fetch};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use crate::admission::{Discovered, Judge, Loaded, Refusal};
use crate::capsule::Capsule;
use crate::quarantine::{Quarantine, Quarantined, entry};
use crate::recorder::Recorder;
use crate::statement::{Build, Event};
use crate::{KernelError, Manifest, Policy};

/// Admissions at once: compiling is the heaviest thing a host does, and calls come first.
const ADMISSIONS_MAX: usize = 2;
/// Pinned versions kept ready beside the active ones; the least recently activated goes first.
const PINNED_MAX: usize = 64;

/// Where the kernel finds what it needs.
pub struct KernelConfig {
    /// The operator's policy.
    pub policy: Policy,
    /// The trust root's file; read anew at each admission, so that a new key needs no restart.
    pub trust_root: PathBuf,
    /// Folder of the quarantine.
    pub quarantine: PathBuf,
    /// The local store; asked first, and where publishing puts.
    pub store: Arc<FolderStore>,
    /// Other registries, in order.
    pub sources: Vec<Arc<dyn Source>>,
    /// Where everything is recorded, and what the records say runs here. None records nothing: for trying a capsule out
    /// on its author's machine.
    pub ledger: Option<(Ledger, Build)>,
}

/// Active capsules by URN, and pinned versions.
#[derive(Default, Clone)]
struct Active {
    by_urn: BTreeMap<Urn, Arc<Capsule>>,
    pinned: Vec<Arc<Capsule>>,
}

struct Inner {
    judge: Judge,
    store: Arc<FolderStore>,
    sources: Vec<Arc<dyn Source>>,
    quarantine: Quarantine,
    active: ArcSwap<Active>,
    changing: Mutex<()>,
    admissions: Semaphore,
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    changes: watch::Sender<u64>,
    recorder: Option<Recorder>,
}

/// The kernel. Cheap to clone.
#[derive(Clone)]
pub struct Kernel(Arc<Inner>);

/// A call that was made.
#[derive(Debug)]
pub struct Execution {
    /// The capsule and generation that ran.
    pub capsule: Arc<Capsule>,
    /// The function that ran.
    pub function: String,
    /// How it went.
    pub outcome: Outcome,
    /// The name of its receipt in the ledger; none when nothing is recorded here.
    pub receipt_id: Option<String>,
}

impl Kernel {
    /// Opens the quarantine and records that the host started; nothing is active yet.
    ///
    /// # Errors
    /// When the quarantine's folder or the ledger cannot be used.
    pub fn new(engine: Engine, config: KernelConfig) -> Result<Self, Fault> {
        let recorder = config
            .ledger
            .map(|(ledger, build)| Recorder::start(ledger, build, &config.policy))
            .transpose()?;
        Ok(Self(Arc::new(Inner {
            judge: Judge {
                engine,
                policy: config.policy,
                trust_root: config.trust_root,
            },
            store: config.store,
            sources: config.sources,
            quarantine: Quarantine::open(&config.quarantine)?,
            active: ArcSwap::default(),
            changing: Mutex::new(()),
            admissions: Semaphore::new(ADMISSIONS_MAX),
            flights: Mutex::default(),
            changes: watch::Sender::new(0),
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

    /// The operator's policy.
    pub fn policy(&self) -> &Policy {
        &self.0.judge.policy
    }

    /// The ledger, if this host records.
    pub fn ledger(&self) -> Option<&Ledger> {
        self.0.recorder.as_ref().map(|recorder| &recorder.ledger)
    }

    /// The active capsules, sorted by URN.
    pub fn list(&self) -> Vec<Arc<Capsule>> {
        self.0.active.load().by_urn.values().cloned().collect()
    }

    /// The capsules that were refused.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.0.quarantine.list()
    }

    /// Counts changes of the active set.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The capsule a reference means, if it is ready in memory.
    pub fn resolve(&self, what: &CapsuleRef) -> Option<Arc<Capsule>> {
        let active = self.0.active.load();
        let current = active.by_urn.get(&what.urn);
        if let Some(capsule) = current.filter(|capsule| fits(capsule, &what.pin)) {
            return Some(capsule.clone());
        }
        active
            .pinned
            .iter()
            .find(|capsule| capsule.manifest.id == what.urn && fits(capsule, &what.pin))
            .cloned()
    }

    /// Makes a capsule ready: from memory, else fetched from the registries, verified and admitted. Callers that ask for
    /// the same at once share one admission.
    ///
    /// # Errors
    /// Not found, refused (then also quarantined), or unreachable; nothing is half active.
    pub async fn activate(&self, what: &CapsuleRef) -> Result<Arc<Capsule>, Fault> {
        if let Some(capsule) = self.resolve(what) {
            return Ok(capsule);
        }
        let key = what.to_string();
        let flight = self.0.flights.lock().entry(key.clone()).or_default().clone();
        let result = {
            let _alone = flight.lock().await;
            match self.resolve(what) {
                Some(capsule) => Ok(capsule),
                None => self.fetch_and_admit(what).await,
            }
        };
        drop(flight);
        let mut flights = self.0.flights.lock();
        if flights.get(&key).is_some_and(|flight| Arc::strong_count(flight) == 1) {
            flights.remove(&key);
        }
        result
    }

    async fn fetch_and_admit(&self, what: &CapsuleRef) -> Result<Arc<Capsule>, Fault> {
        let (source, descriptor) = self.find(what).await?;
        let manifest_digest = Digest::of(descriptor.manifest.as_bytes());
        self.refuse_quarantined(&descriptor, &manifest_digest)?;
        let bytes_max = self.0.judge.engine.config().component_bytes_max;
        let bytes = fetch(&*source, &descriptor, bytes_max)
            .await
            .map_err(|e| Fault::from(&e))?;
        let pinned = what.pin != Pin::Active;
        let loaded = self.admit(Discovered { descriptor, bytes }).await?;
        self.make_active(loaded, pinned)
    }

    async fn find(&self, what: &CapsuleRef) -> Result<(Arc<dyn Source>, Descriptor), Fault> {
        let store: Arc<dyn Source> = self.0.store.clone();
        let mut places = Vec::new();
        for source in std::iter::once(&store).chain(&self.0.sources) {
            match source.describe(what).await {
                Ok(descriptor) => {
                    let asked = &what.pin;
                    let same = descriptor.urn == what.urn
                        && match asked {
                            Pin::Active => true,
                            Pin::Version(version) => *version == descriptor.version,
                            Pin::Digest(digest) => *digest == descriptor.digest,
                        };
                    if same {
                        return Ok((source.clone(), descriptor));
                    }
                    let found = format!("{}@{} {}", descriptor.urn, descriptor.version, descriptor.digest);
                    return Err(KernelError::PinMismatch {
                        what: what.to_string(),
                        found,
                    }
                    .into());
                }
                Err(RegistryError::NotFound { .. }) => places.push(source.name().to_string()),
                Err(error) => return Err(Fault::from(&error)),
            }
        }
        Err(KernelError::NotFound {
            what: what.to_string(),
            places: places.join(", "),
        }
        .into())
    }

    fn refuse_quarantined(&self, descriptor: &Descriptor, manifest: &Digest) -> Result<(), Fault> {
        let Some(entry) = self.0.quarantine.forbids(&descriptor.digest, manifest) else {
            return Ok(());
        };
        let what = format!("{}@{}", descriptor.urn, descriptor.version);
        let error = KernelError::Quarantined {
            what,
            digest: entry.digest.to_string(),
            code: entry.code,
            why: entry.message,
        };
        Err(error.into())
    }

    /// Verifies, compiles, links and probes; quarantines what fails.
    async fn admit(&self, discovered: Discovered) -> Result<Loaded, Fault> {
        let descriptor = &discovered.descriptor;
        let digests = (descriptor.digest, Digest::of(descriptor.manifest.as_bytes()));
        let names = (descriptor.urn.to_string(), descriptor.version.to_string());
        // Closing the semaphore is the only way it fails, and nothing closes it.
        let _permit = self.0.admissions.acquire().await.ok();
        let admitted = match discovered.verify(&self.0.judge) {
            Ok(verified) => verified.load(&self.0.judge).await,
            Err(refusal) => Err(refusal),
        };
        match admitted {
            Ok(loaded) => {
                self.record(&names, &digests.0, Event::Admitted)?;
                self.0.quarantine.clear(&loaded.digest);
                Ok(loaded)
            }
            Err(Refusal { step, fault }) => {
                tracing::warn!(urn = names.0, version = names.1, ?step, "refused: {fault}");
                let event = if is_passing(&fault) {
                    Event::NotAdmitted { step, fault: &fault }
                } else {
                    Event::Quarantined { step, fault: &fault }
                };
                self.record(&names, &digests.0, event)?;
                if !is_passing(&fault) {
                    self.0.quarantine.add(entry(digests, names, step, &fault, unix_ms()))?;
                }
                Err(fault)
            }
        }
    }

    /// Writes a step of a capsule's life into the ledger. What cannot be recorded does not happen.
    fn record(&self, (urn, version): &(String, String), digest: &Digest, event: Event<'_>) -> Result<(), Fault> {
        let recorder = self.0.recorder.as_ref();
        recorder.map_or(Ok(()), |recorder| recorder.step(urn, version, digest, event))
    }

    /// Puts an admitted capsule where calls find it, in one swap of a pointer.
    fn make_active(&self, loaded: Loaded, pinned: bool) -> Result<Arc<Capsule>, Fault> {
        let _change = self.0.changing.lock();
        let mut active = Active::clone(&self.0.active.load());
        let before = active.by_urn.get(&loaded.manifest.id);
        if let Some(same) =
            before.filter(|capsule| capsule.digest == loaded.digest && capsule.manifest == loaded.manifest)
        {
            return Ok(same.clone());
        }
        let newest = before.is_none_or(|capsule| capsule.manifest.version < loaded.manifest.version);
        let capsule = Arc::new(Capsule {
            generation: before.map_or(1, |capsule| capsule.generation + 1),
            manifest: loaded.manifest,
            digest: loaded.digest,
            size_bytes: loaded.size_bytes,
            signer: loaded.signer,
            limits: loaded.limits,
            lowered: loaded.lowered,
            capability: loaded.capability,
            activated_unix_ms: unix_ms(),
            receipts_begin: OnceLock::new(),
        });
        let names = (capsule.manifest.id.to_string(), capsule.manifest.version.to_string());
        let activated = Event::Activated {
            generation: capsule.generation,
            replaces: before.map(|before| &before.digest),
        };
        self.record(&names, &capsule.digest, activated)?;
        // A pin is somebody's wish for one version; only an unpinned activation decides what the URN means.
        if pinned || !newest {
            active.pinned.push(capsule.clone());
            let surplus = active.pinned.len().saturating_sub(PINNED_MAX);
            active.pinned.drain(..surplus);
            self.0.active.store(Arc::new(active));
        } else {
            active.by_urn.insert(capsule.manifest.id.clone(), capsule.clone());
            self.0.active.store(Arc::new(active));
            self.0.changes.send_modify(|count| *count += 1);
        }
        Ok(capsule)
    }

    /// Admits a capsule and puts it into the local store. Nothing that is refused reaches the store.
    ///
    /// # Errors
    /// As admission's; a version that exists with other bytes is a conflict.
    pub async fn publish(
        &self,
        manifest: String,
        receipt: serde_json::Value,
        component: Bytes,
    ) -> Result<Arc<Capsule>, Fault> {
        let parsed = Manifest::parse(&manifest)?;
        let descriptor = Descriptor {
            urn: parsed.id.clone(),
            version: parsed.version.clone(),
            digest: Digest::of(&component),
            size_bytes: component.len() as u64,
            manifest,
            receipt,
        };
        // Before anything is compiled: a version is immutable.
        let reference = CapsuleRef {
            urn: parsed.id,
            pin: Pin::Version(parsed.version),
        };
        if let Ok(existing) = self.0.store.describe(&reference).await
            && (existing.digest != descriptor.digest || existing.manifest != descriptor.manifest)
        {
            let error = RegistryError::VersionTaken {
                urn: descriptor.urn.to_string(),
                version: descriptor.version.to_string(),
            };
            return Err(Fault::from(&error));
        }
        self.refuse_quarantined(&descriptor, &Digest::of(descriptor.manifest.as_bytes()))?;
        // Admitted before it is stored, stored before it is active: a crash in between leaves a version that the next
        // start admits again.
        let loaded = self
            .admit(Discovered {
                descriptor: descriptor.clone(),
                bytes: component.clone(),
            })
            .await?;
        self.0
            .store
            .put(descriptor, component)
            .await
            .map_err(|e| Fault::from(&e))?;
        self.make_active(loaded, false)
    }

    /// Activates the newest version of everything in the local store; what fails is quarantined and named.
    ///
    /// # Errors
    /// When the store cannot be read at all.
    pub async fn activate_all(&self) -> Result<Vec<(CapsuleRef, Result<Arc<Capsule>, Fault>)>, Fault> {
        let mut urns: Vec<_> = self
            .0
            .store
            .list()
            .await
            .map_err(|e| Fault::from(&e))?
            .into_iter()
            .map(|s| s.urn)
            .collect();
        urns.dedup();
        let mut report = Vec::with_capacity(urns.len());
        for urn in urns {
            let what = CapsuleRef::from(urn);
            let result = self.activate(&what).await;
            report.push((what, result));
        }
        Ok(report)
    }

    /// Runs one function of one capsule, and records it.
    ///
    /// # Errors
    /// When nothing ran: not found, refused, no such function, a ledger that takes no records. When a call ran but could
    /// not be recorded, its result is not given. How a call that ran went is in its outcome.
    pub async fn execute(&self, what: &CapsuleRef, function: Option<&str>, input: Input) -> Result<Execution, Fault> {
        let capsule = self.activate(what).await?;
        let function = capsule
            .capability
            .function(function)
            .map_err(|e| Fault::from(&e))?
            .name
            .clone();
        let (outcome, receipt_id) = match &self.0.recorder {
            None => (capsule.capability.call(Some(&function), input).await, None),
            Some(recorder) => {
                let (outcome, receipt_id) = recorder.call(&capsule, &function, input).await?;
                (outcome, Some(receipt_id))
            }
        };
        Ok(Execution {
            capsule,
            function,
            outcome,
            receipt_id,
        })
    }
}

fn fits(capsule: &Capsule, pin: &Pin) -> bool {
    match pin {
        Pin::Active => true,
        Pin::Version(version) => capsule.manifest.version == *version,
        Pin::Digest(digest) => capsule.digest == *digest,
    }
}

/// Whether a failure says nothing about the capsule: the host was busy or broken.
fn is_passing(fault: &Fault) -> bool {
    use kinetic_model::ErrorKind::{Busy, Internal, Unavailable};
    matches!(fault.kind, Busy | Internal | Unavailable)
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
