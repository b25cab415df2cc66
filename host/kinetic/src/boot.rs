//! Wiring: from a configuration to an engine, its providers, the store and the kernel.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kinetic_engine::{CompileIn, Engine, EngineConfig, Provider};
use kinetic_gateway::{Bound, GatewayConfig};
use kinetic_identity::{LOCK_BYTES_MAX, LockFile, PublicKey};
use kinetic_kernel::{Build, Kernel, KernelConfig, KernelError, Manifest, Policy, Rules, ZoneSettings};
use kinetic_ledger::{Ledger, LedgerConfig, LogConfig};
use kinetic_model::{CapsuleRef, Digest, Pin};
use kinetic_provider_events::EventsProvider;
use kinetic_provider_http::{HttpPolicy, HttpProvider};
use kinetic_provider_state::StateProvider;
use kinetic_registry::{Cache, Descriptor, FolderStore, Registries, RegistryError, Source as _};
use serde_json::json;

use crate::config::Config;
use crate::data_dir::{Claim, DataDir};
use crate::embedded::{self, EXAMPLES, Embedded};
use crate::error::{self, AREAS, CliError};
use crate::{registries, signing};

/// Sandboxes of an engine that makes one call at a time: no fewer can be divided among the zones.
const AUTHOR_INSTANCES: u32 = 5;

/// An engine for one's own component: compiles in this process and keeps nothing.
///
/// # Errors
/// When the engine cannot start.
pub fn author_engine(config: &Config) -> anyhow::Result<Engine> {
    let settings = EngineConfig {
        pool_instances: AUTHOR_INSTANCES,
        compile_in: CompileIn::ThisProcess,
        code_cache: None,
        ..engine_config(config)
    };
    Ok(Engine::new(settings, providers(config, None)?)?)
}

/// The engine of a host: strangers' bytes are compiled in a process of their own.
///
/// # Errors
/// When the engine cannot start.
pub fn host_engine(config: &Config, data: &DataDir, ledger: Option<&Ledger>) -> anyhow::Result<Engine> {
    let settings = EngineConfig {
        compile_in: CompileIn::Worker {
            program: this_program()?,
            args: vec!["compile-worker".into()],
        },
        code_cache: config.engine.code_cache.then(|| data.code_cache()),
        workers: config.engine.workers.engine(this_program()?),
        ..engine_config(config)
    };
    Ok(Engine::new(settings, providers(config, ledger)?)?)
}

fn engine_config(config: &Config) -> EngineConfig {
    let engine = &config.engine;
    EngineConfig {
        tick: Duration::from_millis(engine.tick_ms),
        pool_instances: engine.pool_instances,
        ceiling: config.limits.ceiling,
        component_bytes_max: engine.component_bytes_max,
        compile_timeout: Duration::from_millis(engine.compile_timeout_ms),
        compile_memory_bytes_max: engine.compile_memory_bytes,
        ..EngineConfig::default()
    }
}

/// The running program itself, also after its file was replaced by a newer one.
fn this_program() -> anyhow::Result<PathBuf> {
    let itself = PathBuf::from("/proc/self/exe");
    if itself.exists() {
        Ok(itself)
    } else {
        Ok(std::env::current_exe()?)
    }
}

/// What capsules may import beyond WASI's inert basics, under the operator's policy.
///
/// # Errors
/// A setting that a provider does not understand.
pub fn providers(config: &Config, ledger: Option<&Ledger>) -> anyhow::Result<Vec<Arc<dyn Provider>>> {
    let http = HttpProvider::new(HttpPolicy {
        allowed_hosts: config.http.allowed_hosts.clone(),
        connect_timeout_ms: config.http.connect_timeout_ms,
        read_timeout_ms: config.http.read_timeout_ms,
    })?;
    Ok(vec![
        Arc::new(http),
        Arc::new(StateProvider::new(ledger.cloned())),
        Arc::new(EventsProvider::new(ledger.cloned())),
    ])
}

/// The same for a worker process, with nothing behind it: there each function asks the host. HTTP is not among them, as its
/// streams are the host's own process's.
pub fn providers_in_worker() -> Vec<Arc<dyn Provider>> {
    vec![Arc::new(StateProvider::new(None)), Arc::new(EventsProvider::new(None))]
}

/// The operator's policy.
///
/// # Errors
/// A file of policies that cannot be read or has a mistake in it.
pub fn policy(config: &Config) -> Result<Policy, KernelError> {
    let path = &config.kernel.policies;
    let rules = if path.as_os_str().is_empty() {
        Rules::default()
    } else {
        Rules::load(path)?
    };
    Ok(Policy {
        ceiling: config.limits.ceiling,
        rules,
        placement: config.placement.policy(),
        provenance: config.kernel.provenance(),
        ..Policy::default()
    })
}

/// A kernel over a data folder that is this process's alone, with the example capsules in its store. Everything that
/// happens is recorded in the folder's ledger. Nothing is active yet.
///
/// # Errors
/// When a part cannot start; when the ledger is damaged.
pub async fn kernel(config: &Config, data: &DataDir, alone: &Claim) -> anyhow::Result<Kernel> {
    Ok(recovered_kernel(config, data, alone).await?.0)
}

/// As [`kernel`]; gives also how long it took until the folder's ledger was whole again and open.
///
/// # Errors
/// As [`kernel`]'s.
pub async fn recovered_kernel(config: &Config, data: &DataDir, _alone: &Claim) -> anyhow::Result<(Kernel, Duration)> {
    // The executable has tens of megabytes: hashed beside everything else.
    let host = std::thread::spawn(|| this_program().and_then(|path| Ok(Digest::of(&std::fs::read(path)?))));
    let since = Instant::now();
    let ledger = open_ledger(config, data)?;
    let recovering = since.elapsed();
    let engine = host_engine(config, data, Some(&ledger))?;
    let engine_digest = engine.digest();
    let host = host
        .join()
        .map_err(|_| anyhow::anyhow!("this program cannot be read"))??;
    let build = Build {
        host,
        engine: engine_digest,
    };
    let kernel = assemble(config, data, engine, Some((ledger, build))).await?;
    Ok((kernel, recovering))
}

/// A kernel over a data folder that only looks: nothing is called, so nothing is recorded.
///
/// # Errors
/// When a part cannot start.
pub async fn looking_kernel(config: &Config, data: &DataDir) -> anyhow::Result<Kernel> {
    assemble(config, data, host_engine(config, data, None)?, None).await
}

/// The folder's ledger, with this host's own key, made at the first start.
fn open_ledger(config: &Config, data: &DataDir) -> anyhow::Result<Ledger> {
    let key = data.ledger_key()?;
    let settings = &config.ledger;
    let log = LogConfig {
        segment_bytes: settings.segment_bytes,
        sync_within: Duration::from_millis(settings.sync_within_ms),
        checkpoint_records: settings.checkpoint_records,
        checkpoint_within: Duration::from_millis(settings.checkpoint_within_ms),
        ..LogConfig::default()
    };
    let config = LedgerConfig {
        log,
        retain_bytes: settings.retain_bytes,
        ..LedgerConfig::new(&data.ledger(), &ledger_origin(&key.public()))
    };
    Ok(Ledger::open(config, key)?)
}

/// What a ledger is called in its checkpoints: after the key that signs them.
pub fn ledger_origin(key: &PublicKey) -> String {
    format!("kinetic/ledger/{}", key.id())
}

async fn assemble(
    config: &Config,
    data: &DataDir,
    engine: Engine,
    ledger: Option<(Ledger, Build)>,
) -> anyhow::Result<Kernel> {
    let store = FolderStore::open(&data.store(), config.engine.component_bytes_max)?;
    for damaged in store.damaged() {
        tracing::warn!(path = %damaged.path.display(), "damaged and not offered: {}", damaged.why);
    }
    seed(data, &store).await?;
    let registries = Arc::new(registries::of(data, config)?);
    let mut kernel = KernelConfig {
        // Who only looks runs nothing, wherever it would run.
        node: ledger.is_some().then(|| config.node.settings()),
        cache: if ledger.is_some() {
            let cache = &config.registry;
            Cache::new(&data.cache(), cache.cache_memory_bytes_max, cache.cache_disk_bytes_max)
        } else {
            Cache::default()
        },
        ledger,
        carried: Arc::new(embedded::carried()?),
        ..kernel_config(config, data, store, registries)?
    };
    kernel.policy.lock = lock(config)?;
    Ok(Kernel::new(engine, kernel)?)
}

/// The lock file that the configuration names, if it names one.
fn lock(config: &Config) -> anyhow::Result<Option<Arc<LockFile>>> {
    let path = &config.kernel.lock;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(lock_file(path)?)))
}

/// Reads a lock file.
///
/// # Errors
/// One that cannot be read, or is malformed.
pub fn lock_file(path: &Path) -> anyhow::Result<LockFile> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(error::file(path))?;
    // One more than is allowed, so that it is refused as too large.
    file.take(LOCK_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(error::file(path))?;
    Ok(LockFile::from_json(&bytes)?)
}

fn kernel_config(
    config: &Config,
    data: &DataDir,
    store: FolderStore,
    registries: Arc<Registries>,
) -> Result<KernelConfig, KernelError> {
    Ok(KernelConfig {
        policy: policy(config)?,
        swap: config.kernel.swap(),
        zones: config.zone_settings(),
        node: None,
        executors: config.executors.settings(),
        trust_root: data.trust_file(),
        quarantine: data.quarantine(),
        store: Arc::new(store),
        registries,
        cache: Cache::default(),
        carried: Arc::default(),
        ledger: None,
    })
}

/// A kernel over an empty data folder, with the engine an author uses: to see what a host would say to a capsule.
///
/// # Errors
/// When a part cannot start.
pub fn trial_kernel(config: &Config, data: &DataDir) -> anyhow::Result<Kernel> {
    small_kernel(config, data, Arc::default(), None)
}

/// A kernel that runs nothing: to fetch from a data folder's registries what its trust root believes and the lock file holds.
///
/// # Errors
/// When a part cannot start, or the lock file cannot be read.
pub fn pulling_kernel(config: &Config, data: &DataDir) -> anyhow::Result<Kernel> {
    small_kernel(config, data, Arc::new(registries::of(data, config)?), lock(config)?)
}

fn small_kernel(
    config: &Config,
    data: &DataDir,
    registries: Arc<Registries>,
    lock: Option<Arc<LockFile>>,
) -> anyhow::Result<Kernel> {
    let store = FolderStore::open(&data.store(), config.engine.component_bytes_max)?;
    let mut kernel = KernelConfig {
        // Those of the configuration divide a host's pool, which this is not.
        zones: ZoneSettings::default(),
        ..kernel_config(config, data, store, registries)?
    };
    kernel.policy.lock = lock;
    Ok(Kernel::new(author_engine(config)?, kernel)?)
}

/// Puts the embedded capsules into the store, signed with this host's own key.
async fn seed(data: &DataDir, store: &FolderStore) -> anyhow::Result<()> {
    for embedded in EXAMPLES {
        let manifest = Manifest::parse(embedded.manifest)?;
        let pin = Pin::Version(manifest.version.clone());
        let reference = CapsuleRef {
            urn: manifest.id.clone(),
            pin,
        };
        match store.describe(&reference).await {
            Ok(stored) if stored.digest == Digest::of(embedded.component) => {}
            Ok(_) => {
                tracing::info!("{reference} is stored with other bytes than this binary carries; the stored ones stay");
            }
            Err(RegistryError::NotFound { .. }) => {
                if !install(data, store, embedded, &manifest).await? {
                    return Ok(());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Signs and stores one embedded capsule; `false` when this host does not sign for the namespace.
async fn install(
    data: &DataDir,
    store: &FolderStore,
    embedded: &Embedded,
    manifest: &Manifest,
) -> anyhow::Result<bool> {
    let key = match signing::own_key(
        data,
        manifest.id.namespace(),
        "made by this host for the capsules it carries",
    ) {
        Ok(key) => key,
        Err(error) if matches!(error.downcast_ref(), Some(CliError::NamespaceTaken { .. })) => {
            tracing::warn!("the capsules this binary carries are left out: {error}");
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let info = signing::build_info(&json!({}));
    let receipt = signing::sign(embedded.manifest, manifest, embedded.component, &info, &key)?;
    let descriptor = Descriptor {
        urn: manifest.id.clone(),
        version: manifest.version.clone(),
        manifest: embedded.manifest.to_string(),
        receipt,
        digest: Digest::of(embedded.component),
        size_bytes: embedded.component.len() as u64,
    };
    store.put(descriptor, Bytes::from_static(embedded.component)).await?;
    Ok(true)
}

/// Takes the address the configuration says, over a kernel.
///
/// # Errors
/// A port that is taken, or settings that cannot stand.
pub async fn gateway(config: &Config, kernel: &Kernel) -> anyhow::Result<Bound> {
    let (host, gateway) = (&config.host, &config.gateway);
    let token = (!host.token_sha256.is_empty()).then(|| format!("sha256:{}", host.token_sha256.to_lowercase()).parse());
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let settings = GatewayConfig {
        listen: host.listen,
        token_sha256: token.transpose()?,
        allowed_hosts: gateway.allowed_hosts.clone(),
        allowed_origins: gateway.allowed_origins.clone(),
        body_bytes_max: gateway.body_bytes_max,
        json_depth_max: count(gateway.json_depth_max),
        body_timeout_ms: gateway.body_timeout_ms,
        request_timeout_ms: gateway.request_timeout_ms,
        drain_timeout_ms: host.drain_ms,
        connections_max: count(gateway.connections_max),
        requests_max: count(gateway.concurrency_max),
        mcp_sessions_max: count(gateway.mcp_sessions_max),
        ..GatewayConfig::default()
    };
    Ok(kinetic_gateway::bind(settings, kernel.clone(), AREAS).await?)
}
