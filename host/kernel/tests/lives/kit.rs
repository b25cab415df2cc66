//! A kernel in a temporary folder, and tiny components of many versions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kinetic_engine::{Answer, Engine, EngineConfig, Input, Output};
use kinetic_identity::{BuildInfo, BuildSubject, Receipt, SigningKey, TrustRoot};
use kinetic_kernel::{
    Actor, Build, Capsule, ExecutorSettings, Kernel, KernelConfig, LIFECYCLE_TOPIC, Manifest, NodeSettings, Policy,
    SwapAsk, SwapSettings, SwapTo, Swapped, ZoneSettings,
};
use kinetic_ledger::bus::{Start, Subscribe};
use kinetic_ledger::{Ledger, LedgerConfig};
use kinetic_model::{CapsuleRef, Digest, Fault, Urn};
use kinetic_registry::{Carried, FolderStore};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub const URN: &str = "urn:acme:actionspace:solver:versioned:v1";

/// Memory of the node, in bytes.
pub const NODE_BYTES: u64 = 512 << 20;

/// What a version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its function gives its number.
    Good,
    /// It cannot be started.
    TrapsAtStart,
    /// Its function is called otherwise.
    OtherShape,
    /// Its function traps.
    TrapsInCalls,
}

/// A kernel and what it needs to be started again.
pub struct World {
    pub kernel: Kernel,
    pub key: SigningKey,
    ledger: Ledger,
    engine: Engine,
    swap: SwapSettings,
    tier: &'static str,
    carried: Arc<Carried>,
    folder: TempDir,
}

pub fn urn() -> Urn {
    URN.parse().unwrap()
}

pub fn version(minor: u64) -> semver::Version {
    semver::Version::new(1, minor, 0)
}

pub fn component(minor: u64, kind: Kind) -> Vec<u8> {
    let name = if kind == Kind::OtherShape { "other" } else { "number" };
    let body = if kind == Kind::TrapsInCalls {
        "unreachable".into()
    } else {
        format!("(i32.const {minor})")
    };
    let start = if kind == Kind::TrapsAtStart { "(start $s)" } else { "" };
    let text = format!(
        r#"(component
            (core module $m
                (func $s unreachable)
                (func (export "f") (result i32) {body})
                {start})
            (core instance $i (instantiate $m))
            (func (export "{name}") (result u32) (canon lift (core func $i "f"))))"#
    );
    wat::parse_str(text).unwrap()
}

fn open(folder: &Path, engine: &Engine, swap: SwapSettings, carried: Arc<Carried>) -> (Kernel, Ledger) {
    let config = LedgerConfig::new(&folder.join("ledger"), "kinetic/ledger/tests");
    let ledger = Ledger::open(config, SigningKey::load(&folder.join("ledger.key")).unwrap()).unwrap();
    let build = Build {
        host: Digest::of(b"tests"),
        engine: engine.digest(),
    };
    let mut zones = ZoneSettings::default();
    // Many calls at once on a slow disk wait long, and are let in all the same.
    zones.pools.tenant.wait_ms_max = 120_000;
    let config = KernelConfig {
        policy: Policy::default(),
        node: Some(NodeSettings {
            memory_bytes: NODE_BYTES,
            ..NodeSettings::default()
        }),
        executors: ExecutorSettings {
            backoff_ms_min: 5,
            backoff_ms_max: 50,
            ..ExecutorSettings::default()
        },
        swap,
        zones,
        trust_root: folder.join("trust.json"),
        quarantine: folder.join("quarantine"),
        store: Arc::new(FolderStore::open(&folder.join("store"), 10_485_760).unwrap()),
        registries: Arc::default(),
        cache: kinetic_registry::Cache::default(),
        carried,
        ledger: Some((ledger.clone(), build)),
    };
    (Kernel::new(engine.clone(), config).unwrap(), ledger)
}

impl World {
    pub fn start(swap: SwapSettings) -> Self {
        Self::of_tier(swap, "NX_experimental")
    }

    pub fn of_tier(swap: SwapSettings, tier: &'static str) -> Self {
        Self::carrying(swap, tier, Carried::default())
    }

    /// Whose program carries parts of the host.
    pub fn carrying(swap: SwapSettings, tier: &'static str, carried: Carried) -> Self {
        let carried = Arc::new(carried);
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let mut root = TrustRoot::default();
        root.add("acme", key.public(), "tests").unwrap();
        root.add("kinetic", key.public(), "tests").unwrap();
        root.save(&folder.path().join("trust.json")).unwrap();
        let ledger_key = SigningKey::generate().unwrap();
        ledger_key.save(&folder.path().join("ledger.key")).unwrap();
        let settings = EngineConfig {
            pool_instances: 16,
            ..EngineConfig::default()
        };
        let engine = Engine::new(settings, Vec::new()).unwrap();
        let (kernel, ledger) = open(folder.path(), &engine, swap, carried.clone());
        Self {
            kernel,
            key,
            ledger,
            engine,
            swap,
            tier,
            carried,
            folder,
        }
    }

    /// From now on these keys are trusted, and no others.
    pub fn trust(&self, keys: &[&SigningKey]) {
        let mut root = TrustRoot::default();
        for key in keys {
            root.add("acme", key.public(), "tests").unwrap();
        }
        root.save(&self.folder.path().join("trust.json")).unwrap();
    }

    /// The host ends, and starts again on the same folder.
    pub async fn restart(self) -> Self {
        let world = self.reopened().await;
        world.kernel.activate_all().await;
        world
    }

    /// The host ends, and is there again; nothing is active yet.
    pub async fn reopened(self) -> Self {
        drop(self.kernel);
        self.ledger.close().await;
        drop(self.ledger);
        let (kernel, ledger) = open(self.folder.path(), &self.engine, self.swap, self.carried.clone());
        Self { kernel, ledger, ..self }
    }

    /// What it keeps on disk.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn manifest(&self, minor: u64) -> Value {
        json!({
            "id": URN,
            "version": version(minor).to_string(),
            "type": "logic",
            "description": "Gives its number.",
            "capabilities": { "provides": ["acme:versioned@1.0.0"] },
            "governance": { "tier": "local", "trust_zone": "tenant", "determinism": self.tier },
        })
    }

    /// A version as its publisher hands it over.
    pub fn publication(&self, minor: u64, kind: Kind) -> (String, Value, Bytes) {
        self.signed(&self.manifest(minor), component(minor, kind))
    }

    /// Any manifest and component, with the receipt that admission asks for.
    pub fn signed(&self, manifest: &Value, component: Vec<u8>) -> (String, Value, Bytes) {
        let manifest = manifest.to_string();
        let parsed = Manifest::parse(&manifest).unwrap();
        let subject = BuildSubject {
            urn: parsed.id,
            version: parsed.version,
            component: Digest::of(&component),
            component_bytes: component.len() as u64,
            manifest: Digest::of(manifest.as_bytes()),
        };
        let info = BuildInfo {
            builder_id: "https://example.com/tests".into(),
            ..BuildInfo::default()
        };
        let receipt = Receipt::sign(&subject, &info, &self.key).unwrap().to_value();
        (manifest, receipt, component.into())
    }

    pub async fn publish(&self, minor: u64, kind: Kind) -> Result<Arc<Capsule>, Fault> {
        let (manifest, receipt, component) = self.publication(minor, kind);
        self.kernel.publish(manifest, receipt, component).await
    }

    /// Publishes a good version whose manifest is changed before.
    pub async fn publish_changed(&self, minor: u64, change: impl FnOnce(&mut Value)) -> Result<Arc<Capsule>, Fault> {
        let mut manifest = self.manifest(minor);
        change(&mut manifest);
        self.publish_as(&manifest, component(minor, Kind::Good)).await
    }

    /// Publishes any component under any manifest.
    pub async fn publish_as(&self, manifest: &Value, component: Vec<u8>) -> Result<Arc<Capsule>, Fault> {
        let (manifest, receipt, component) = self.signed(manifest, component);
        self.kernel.publish(manifest, receipt, component).await
    }

    /// Puts any component into the store, where it waits to be needed.
    pub async fn stage_as(&self, manifest: &Value, component: Vec<u8>) -> Result<(), Fault> {
        let (manifest, receipt, component) = self.signed(manifest, component);
        self.kernel.stage(manifest, receipt, component).await.map(drop)
    }

    pub async fn stage(&self, minor: u64, kind: Kind) -> Result<(), Fault> {
        let (manifest, receipt, component) = self.publication(minor, kind);
        self.kernel.stage(manifest, receipt, component).await.map(drop)
    }

    pub fn ask(minor: u64) -> SwapAsk {
        SwapAsk {
            urn: urn(),
            to: SwapTo::Version(version(minor)),
            actor: Actor::Operator,
            accept_differences: false,
            discard_state: false,
        }
    }

    pub async fn swap(&self, minor: u64) -> Result<Swapped, Fault> {
        self.kernel.swap(Self::ask(minor)).await
    }

    /// What a receipt states.
    pub async fn receipt(&self, id: &str) -> Value {
        let proof = self.ledger.receipt(id).await.unwrap();
        serde_json::from_slice(&proof.statement).unwrap()
    }

    /// The data of all events of the lifecycle topic that are called this, oldest first.
    pub async fn events(&self, event: &str) -> Vec<Value> {
        let subscribe = Subscribe::to(LIFECYCLE_TOPIC).start(Start::Earliest);
        let subscription = self.ledger.bus().subscribe(subscribe).await.unwrap();
        let mut all = Vec::new();
        loop {
            let page = subscription
                .next(1_000, 8 << 20, Duration::from_millis(50))
                .await
                .unwrap();
            if page.is_empty() {
                return all;
            }
            let data = page
                .iter()
                .map(|event| serde_json::from_slice::<Value>(event.envelope.data().unwrap()).unwrap());
            all.extend(data.filter(|data| data["event"] == event));
        }
    }

    /// Every transition so far: to which state, and why.
    pub async fn causes(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let all = self.events("lifecycle").await;
        all.iter()
            .map(|data| (text(&data["to"]), text(&data["cause"])))
            .collect()
    }

    fn trust_file(&self) -> PathBuf {
        self.folder.path().join("trust.json")
    }

    /// The namespace trusts nobody any more; gives what was trusted.
    pub fn distrust(&self, namespace: &str) -> TrustRoot {
        let before = TrustRoot::load(&self.trust_file()).unwrap();
        let mut root = before.clone();
        root.remove(namespace, &self.key.public().id()).unwrap();
        root.save(&self.trust_file()).unwrap();
        before
    }

    /// This is what is trusted from now on.
    pub fn trust_root(&self, root: &TrustRoot) {
        root.save(&self.trust_file()).unwrap();
    }

    /// Calls it; gives the number of the version that answered.
    pub async fn call(&self) -> Result<u64, String> {
        self.call_of(&urn(), None).await
    }

    /// Calls a function without parameters that gives a number.
    pub async fn call_of(&self, urn: &Urn, function: Option<&str>) -> Result<u64, String> {
        let what = CapsuleRef::from(urn.clone());
        let called = self.kernel.execute(&what, function, Input::Json(Map::new())).await;
        match called.map_err(|fault| fault.code.to_string())?.outcome.result {
            Ok(Answer::Ok(Output::Json(number))) => Ok(number.as_u64().unwrap()),
            other => Err(format!("{other:?}")),
        }
    }
}
