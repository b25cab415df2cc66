//! The engine: set up once, proved at start, shared by every capability.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kinetic_model::{Digest, InstanceMode, Limits};
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};

use crate::aside::{Aside, Ended};
use crate::capability::{Capability, Export, Loaded, Place};
use crate::code_cache::{CodeCache, Compiled, deserialize, engine_id};
use crate::compile::compile;
use crate::config::{Allocation, EngineConfig, wasmtime_config};
use crate::fast::Shape;
use crate::grantee::{Admit, Grantee};
use crate::interface::Interface;
use crate::known::{Known, LoadedFrom};
use crate::lifecycle::Lifecycle;
use crate::peer::{agree, inject};
use crate::profile::Profile;
use crate::provider::{Configured, Provider};
use crate::state::CallState;
use crate::ticker::Ticker;
use crate::worker::{About, NESTED_FACTOR, Remote, RunsIn, Start, WorkerStatus, Workers, tenant};
use crate::{EngineError, link, waiting};

/// What every capability of an engine shares.
pub(crate) struct Shared {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) ticker: Ticker,
    pub(crate) permits: Arc<Semaphore>,
    /// For instances that stay: a part of the pool, so that calls in fresh ones always find room.
    pub(crate) resident_permits: Arc<Semaphore>,
    pub(crate) config: EngineConfig,
    allocation: Allocation,
    linker: Linker<CallState>,
    providers: Vec<Arc<dyn Provider>>,
    cache: Option<CodeCache>,
    workers: Option<Arc<Workers>>,
    aside: Aside,
    compilations: AtomicU64,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("allocation", &self.0.allocation)
            .finish_non_exhaustive()
    }
}

/// Numbers about the sandbox pool, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// How instances get their memory.
    pub allocation: Allocation,
    /// Sandboxes there are.
    pub instances_max: u32,
    /// Sandboxes in use now.
    pub instances: u64,
    /// Memories in use now; zero when allocated on demand.
    pub memories: u64,
}

impl Engine {
    /// Sets the engine up: pooling if this machine can, the ticker proved, the providers linked.
    ///
    /// # Errors
    /// `Setup`, `TickerDead` or `CodeCache`; nothing may be served then.
    pub fn new(config: EngineConfig, providers: Vec<Arc<dyn Provider>>) -> Result<Self, EngineError> {
        Self::with(config, providers, Provider::link, Aside::default())
    }

    /// The engine of a worker process: what providers answer is asked of the host.
    pub(crate) fn in_worker(
        config: EngineConfig,
        providers: Vec<Arc<dyn Provider>>,
        threads_max: usize,
    ) -> Result<Self, EngineError> {
        Self::with(config, providers, Provider::link_in_worker, Aside::of(threads_max))
    }

    /// Has the threads for long calls there; for a process that can start none later. `false` when there are none in time.
    pub(crate) async fn aside_is_ready(&self, within: Duration) -> bool {
        self.0.aside.ready(within).await
    }

    fn with(
        config: EngineConfig,
        providers: Vec<Arc<dyn Provider>>,
        link: impl Fn(&(dyn Provider + 'static), &mut Linker<CallState>) -> wasmtime::Result<()>,
        aside: Aside,
    ) -> Result<Self, EngineError> {
        let setup = |e: wasmtime::Error| EngineError::Setup { why: format!("{e:#}") };
        let pooled = wasmtime::Engine::new(&wasmtime_config(&config, Allocation::Pooling));
        let (engine, allocation) = match pooled {
            Ok(engine) => (engine, Allocation::Pooling),
            Err(e) => {
                tracing::warn!("no room for a pool of sandboxes ({e:#}); memory is taken from the system at each call");
                (
                    wasmtime::Engine::new(&wasmtime_config(&config, Allocation::OnDemand)).map_err(setup)?,
                    Allocation::OnDemand,
                )
            }
        };
        let ticker = Ticker::start(&engine, config.tick)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(setup)?;
        waiting::add_to_linker(&mut linker).map_err(setup)?;
        for provider in &providers {
            link(&**provider, &mut linker).map_err(setup)?;
        }
        let cache = config
            .code_cache
            .as_deref()
            .map(|folder| CodeCache::open(folder, &engine))
            .transpose()?;
        let workers = config.workers.clone().map(|workers| {
            let start = Start {
                tick_us: u64::try_from(config.tick.as_micros()).unwrap_or(u64::MAX),
                calls_max: workers.calls_per_process_max.saturating_mul(NESTED_FACTOR),
                ceiling: config.ceiling,
                memory_bytes_max: workers.memory_bytes_max.saturating_mul(NESTED_FACTOR.into()),
            };
            Arc::new(Workers::new(workers, start))
        });
        let permits = Arc::new(Semaphore::new(config.pool_instances as usize));
        let resident_permits = Arc::new(Semaphore::new(config.residents_max() as usize));
        Ok(Self(Arc::new(Shared {
            engine,
            ticker,
            permits,
            resident_permits,
            config,
            allocation,
            linker,
            providers,
            cache,
            workers,
            aside,
            compilations: AtomicU64::new(0),
        })))
    }

    /// The settings.
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// A digest of everything that decides what a component is compiled to: engine version, settings, target.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(engine_id(&self.0.engine))
    }

    /// Runs a call here until a guest in it has run for 2 ms, and taken a processor for 1 ms since its first tick, then in
    /// threads of low priority, so that short calls do not wait for it; `at_once` begins there, for a capsule that is known
    /// to take long. None when the call ended without a result. Dropping the future ends the guest within a tick.
    pub async fn aside<T: Send + 'static>(
        &self,
        at_once: bool,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Option<Ended<T>> {
        self.0.aside.run(at_once, call).await
    }

    /// Returns when no call is aside any more, also none that nobody waits for; `false` when that took longer.
    pub async fn aside_is_over(&self, within: Duration) -> bool {
        self.0.aside.is_over(within).await
    }

    /// How the pool stands.
    pub fn pool(&self) -> PoolStatus {
        let metrics = self.0.engine.pooling_allocator_metrics();
        PoolStatus {
            allocation: self.0.allocation,
            instances_max: self.0.config.pool_instances,
            instances: u64::from(self.0.config.pool_instances)
                .saturating_sub(self.0.permits.available_permits() as u64),
            memories: metrics.map_or(0, |metrics| metrics.memories() as u64),
        }
    }

    /// How many components were given to the compiler since the start, whatever came of it; those that the code cache had
    /// are not among them.
    pub fn compilations(&self) -> u64 {
        self.0.compilations.load(Ordering::Relaxed)
    }

    /// Compiles a component (or takes it from the code cache), checks its imports against its grants and links it.
    ///
    /// # Errors
    /// Size, validity, imports, compile bounds; each with its code. Nothing of the component has run then.
    pub async fn load(&self, bytes: &[u8], admit: Admit<'_>) -> Result<(Capability, LoadedFrom), EngineError> {
        let shared = &self.0;
        let digest = &admit.capsule.digest;
        let bytes_max = shared.config.component_bytes_max;
        if bytes.len() as u64 > bytes_max {
            return Err(EngineError::ComponentTooLarge {
                bytes: bytes.len() as u64,
                bytes_max,
            });
        }
        if let Some(known) = self.known(digest) {
            match self.load_known(&known, admit).await {
                Err(EngineError::CodeCache { why }) => {
                    tracing::warn!(component = %digest, "cached code is compiled again: {why}");
                }
                loaded => return Ok((loaded?, LoadedFrom::Cache)),
            }
        }
        // Before, so that what is never compiled is never counted, and what is tried always is.
        shared.compilations.fetch_add(1, Ordering::Relaxed);
        let compiled = compile(&shared.engine, &shared.config, bytes.to_vec()).await?;
        let loaded = match self.take_in(&compiled, admit).await {
            Err(EngineError::CodeCache { why }) => return Err(EngineError::Invalid { why }),
            loaded => loaded,
        };
        if let Some(cache) = &shared.cache
            && let Err(e) = cache.store(digest, &compiled)
        {
            tracing::warn!("compiled code was not kept: {e}");
        }
        Ok((loaded?, LoadedFrom::Compiler))
    }

    /// What this host compiled the component of that digest to before, if the code cache has it and it is whole. Whoever
    /// has it needs no byte of the component any more.
    pub fn known(&self, digest: &Digest) -> Option<Known> {
        let compiled = self.0.cache.as_ref()?.load(digest)?;
        Some(Known {
            compiled,
            digest: *digest,
        })
    }

    /// As [`Engine::load`], of a component that was compiled before.
    ///
    /// # Errors
    /// As [`Engine::load`]'s; `CodeCache` when the code is not this component's, or does not fit this engine: it has to be
    /// compiled again.
    pub async fn load_known(&self, known: &Known, admit: Admit<'_>) -> Result<Capability, EngineError> {
        if known.digest != admit.capsule.digest {
            return Err(EngineError::CodeCache {
                why: format!("the code is of {}", known.digest),
            });
        }
        let taken = self.take_in(&known.compiled, admit).await;
        if let (Err(EngineError::CodeCache { .. }), Some(cache)) = (&taken, &self.0.cache) {
            // Else it would be found, and fail, each time: whoever finds it brings no bytes to compile.
            cache.forget(&known.digest);
        }
        taken
    }

    /// Takes compiled code in where the capsule's calls are to run; `CodeCache` when it does not fit this engine.
    async fn take_in(&self, compiled: &Compiled, admit: Admit<'_>) -> Result<Capability, EngineError> {
        let place = |workers: &Arc<Workers>| {
            let crosses = |import: &str| self.crosses(import, admit);
            workers.config.place(admit.capsule, &compiled.interface, crosses)
        };
        let here = || self.load_here(&compiled.code, compiled.interface.clone(), admit);
        let Some(workers) = &self.0.workers else {
            return here();
        };
        if place(workers)? == RunsIn::Process {
            return here();
        }
        let may_be_here = !workers.config.insists(admit.capsule.trust_zone);
        if may_be_here && workers.has_given_up() {
            return here();
        }
        match self.load_in_worker(workers, compiled, admit).await {
            Err(error @ EngineError::WorkerNotStarted { .. }) if may_be_here && workers.gives_up(&error) => here(),
            loaded => loaded,
        }
    }

    /// Whether an import is answered from here for guests in workers.
    fn crosses(&self, import: &str, admit: Admit<'_>) -> bool {
        let interface = link::split(import).0;
        let mut providers = self.0.providers.iter();
        admit.peers.iter().any(|peer| peer.provides(import))
            || providers.any(|provider| provider.serves(interface) && provider.crosses(interface))
    }

    /// Maps code into this process and links it.
    fn load_here(&self, code: &[u8], interface: Interface, admit: Admit<'_>) -> Result<Capability, EngineError> {
        let component = self.component(code)?;
        self.link(&component, interface, admit)
    }

    fn component(&self, code: &[u8]) -> Result<Component, EngineError> {
        deserialize(&self.0.engine, code).map_err(|e| EngineError::CodeCache { why: format!("{e:#}") })
    }

    /// In a worker process: maps code that its host compiled, and links it to inert WASI and to questions to the host, which
    /// has checked the grants.
    pub(crate) fn load_compiled(&self, code: &[u8], about: About) -> Result<Capability, EngineError> {
        something_to_call(&about.interface)?;
        let component = self.component(code)?;
        let mut linker = Cow::Borrowed(&self.0.linker);
        for import in &about.peers {
            inject(linker.to_mut(), import, None, &about.interface)?;
        }
        // The host has the capsule's name and its limits; each call brings the limits it runs under.
        let capsule = Grantee {
            determinism: about.determinism,
            ..Grantee::unnamed(Digest::EMPTY).map_err(|e| EngineError::Setup { why: e.to_string() })?
        };
        let admit = Admit {
            capsule: &capsule,
            grants: &[],
            peers: &[],
            limits: &Limits::CEILING,
        };
        self.linked(&component, &linker, about.interface, Vec::new(), admit)
    }

    /// Hands code to a worker process, which links it; this process never maps it.
    async fn load_in_worker(
        &self,
        workers: &Arc<Workers>,
        compiled: &Compiled,
        admit: Admit<'_>,
    ) -> Result<Capability, EngineError> {
        let interface = compiled.interface.clone();
        let providers = link::grant(
            admit.capsule,
            &interface.imports,
            admit.grants,
            &self.0.providers,
            admit.peers,
        )?;
        let mut links = Vec::new();
        for import in &interface.imports {
            if let Some(peer) = admit.peers.iter().find(|peer| peer.provides(import)) {
                agree(import, peer, &interface)?;
                links.push((import.clone(), peer.clone()));
            }
        }
        let about = About {
            interface: interface.clone(),
            determinism: admit.capsule.determinism,
            peers: links.iter().map(|(import, _)| import.clone()).collect(),
        };
        let tenant = tenant(admit.capsule).into();
        let remote = Remote::new(workers.clone(), tenant, about, links, compiled.code.clone())?;
        remote.check().await?;
        let exports = interface.functions.iter().map(|function| Export {
            function: function.clone(),
            index: None,
            shape: None,
        });
        let exports = exports.collect();
        Ok(self.capability(
            Place::Worker(Arc::new(remote)),
            interface,
            exports,
            None,
            providers,
            admit,
        ))
    }

    fn link(&self, component: &Component, interface: Interface, admit: Admit<'_>) -> Result<Capability, EngineError> {
        let shared = &self.0;
        something_to_call(&interface)?;
        let providers = link::grant(
            admit.capsule,
            &interface.imports,
            admit.grants,
            &shared.providers,
            admit.peers,
        )?;
        let mut linker = Cow::Borrowed(&shared.linker);
        for import in &interface.imports {
            if let Some(peer) = admit.peers.iter().find(|peer| peer.provides(import)) {
                agree(import, peer, &interface)?;
                inject(linker.to_mut(), import, Some(peer), &interface)?;
            }
        }
        self.linked(component, &linker, interface, providers, admit)
    }

    fn linked(
        &self,
        component: &Component,
        linker: &Linker<CallState>,
        interface: Interface,
        providers: Vec<Arc<dyn Configured>>,
        admit: Admit<'_>,
    ) -> Result<Capability, EngineError> {
        let pre = linker
            .instantiate_pre(component)
            .map_err(|e| EngineError::ImportMismatch {
                why: format!("{e:#}").chars().take(1000).collect(),
            })?;
        let mut exports = Vec::with_capacity(interface.functions.len());
        for function in &interface.functions {
            let instance = match &function.instance {
                None => None,
                Some(name) => component.get_export_index(None, name),
            };
            let index = component
                .get_export_index(instance.as_ref(), &function.export)
                .ok_or_else(|| EngineError::Invalid {
                    why: format!("its export {} cannot be found", function.name),
                })?;
            exports.push(Export {
                function: function.clone(),
                index: Some(index),
                shape: Shape::of(function),
            });
        }
        let lifecycle = Lifecycle::find(component, &interface.exports)?;
        let place = Place::Here(pre);
        Ok(self.capability(place, interface, exports, lifecycle, providers, admit))
    }

    fn capability(
        &self,
        place: Place,
        interface: Interface,
        exports: Vec<Export>,
        lifecycle: Option<Lifecycle>,
        providers: Vec<Arc<dyn Configured>>,
        admit: Admit<'_>,
    ) -> Capability {
        let shared = &self.0;
        Capability(Arc::new(Loaded {
            shared: shared.clone(),
            place,
            interface: Arc::new(interface),
            exports: exports.into(),
            lifecycle: lifecycle.map(Arc::new),
            limits: admit.limits.min(&shared.config.ceiling),
            profile: Profile::of(admit.capsule.determinism),
            providers: providers.into(),
            peers: admit.peers.into(),
            fence: Arc::default(),
            kept: (admit.capsule.instance == InstanceMode::Resident).then(Arc::default),
        }))
    }

    /// Makes one instance and drops it: shows that a component starts within its limits.
    ///
    /// # Errors
    /// As a call's.
    pub async fn probe(&self, capability: &Capability) -> Result<(), EngineError> {
        capability.probe().await
    }

    /// The worker processes there are now.
    pub fn workers(&self) -> Vec<WorkerStatus> {
        self.0
            .workers
            .as_ref()
            .map(|workers| workers.status())
            .unwrap_or_default()
    }

    /// Forgets whose worker processes died.
    #[cfg(test)]
    pub(crate) fn forgive_workers(&self) {
        if let Some(workers) = &self.0.workers {
            workers.forgive();
        }
    }

    /// Starts a worker process and asks whether it answers; gives what it could not take from itself. Nothing where no
    /// zone runs in workers.
    ///
    /// # Errors
    /// `WorkerNotStarted`, `WorkerDied`.
    pub async fn check_workers(&self) -> Result<Vec<String>, EngineError> {
        match &self.0.workers {
            Some(workers) => workers.check().await,
            None => Ok(Vec::new()),
        }
    }
}

fn something_to_call(interface: &Interface) -> Result<(), EngineError> {
    if interface.functions.is_empty() && interface.unsupported.is_empty() {
        return Err(EngineError::NothingToCall {});
    }
    Ok(())
}
