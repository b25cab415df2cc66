//! The engine: set up once, proved at start, shared by every capability.

use std::sync::Arc;

use kinetic_model::{Digest, InstanceMode};
use tokio::sync::Semaphore;
use wasmtime::component::{Component, Linker};

use crate::capability::{Capability, Export, Loaded};
use crate::code_cache::{CodeCache, deserialize, engine_id};
use crate::compile::compile;
use crate::config::{Allocation, EngineConfig, wasmtime_config};
use crate::fast::Shape;
use crate::grantee::Admit;
use crate::interface::Interface;
use crate::lifecycle::Lifecycle;
use crate::profile::Profile;
use crate::provider::Provider;
use crate::state::CallState;
use crate::ticker::Ticker;
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

/// What a load cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadedFrom {
    /// The code cache had it.
    Cache,
    /// It was compiled.
    Compiler,
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
            provider.link(&mut linker).map_err(setup)?;
        }
        let cache = config
            .code_cache
            .as_deref()
            .map(|folder| CodeCache::open(folder, &engine))
            .transpose()?;
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
        let cached = shared
            .cache
            .as_ref()
            .and_then(|cache| cache.load(&shared.engine, digest));
        let (component, interface, from) = match cached {
            Some((component, interface)) => (component, interface, LoadedFrom::Cache),
            None => {
                let compiled = compile(&shared.engine, &shared.config, bytes.to_vec()).await?;
                let component = deserialize(&shared.engine, &compiled.code)
                    .map_err(|e| EngineError::Invalid { why: format!("{e:#}") })?;
                if let Some(cache) = &shared.cache
                    && let Err(e) = cache.store(digest, &compiled)
                {
                    tracing::warn!("compiled code was not kept: {e}");
                }
                (component, compiled.interface, LoadedFrom::Compiler)
            }
        };
        let capability = self.link(&component, interface, admit)?;
        Ok((capability, from))
    }

    fn link(&self, component: &Component, interface: Interface, admit: Admit<'_>) -> Result<Capability, EngineError> {
        let shared = &self.0;
        if interface.functions.is_empty() && interface.unsupported.is_empty() {
            return Err(EngineError::NothingToCall {});
        }
        let providers = link::grant(admit.capsule, &interface.imports, admit.grants, &shared.providers)?;
        let pre = shared
            .linker
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
                index,
                shape: Shape::of(function),
            });
        }
        let lifecycle = Lifecycle::find(component, &interface.exports)?;
        Ok(Capability(Arc::new(Loaded {
            shared: shared.clone(),
            pre,
            interface: Arc::new(interface),
            exports: exports.into(),
            lifecycle: lifecycle.map(Arc::new),
            limits: admit.limits.min(&shared.config.ceiling),
            profile: Profile::of(admit.capsule.determinism),
            providers: providers.into(),
            fence: Arc::default(),
            kept: (admit.capsule.instance == InstanceMode::Resident).then(Arc::default),
        })))
    }

    /// Makes one instance and drops it: shows that a component starts within its limits.
    ///
    /// # Errors
    /// As a call's.
    pub async fn probe(&self, capability: &Capability) -> Result<(), EngineError> {
        capability.probe().await
    }
}
