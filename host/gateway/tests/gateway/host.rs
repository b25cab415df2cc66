//! A whole host for tests: a real engine, kernel and store in a temporary folder, and the gateway on a port of its own.

use std::sync::Arc;
use std::time::Duration;

use kinetic_engine::{Engine, EngineConfig};
use kinetic_gateway::{ErrorTables, GatewayConfig, GatewayError, bind};
use kinetic_identity::{BuildInfo, BuildSubject, Receipt, SigningKey, TrustRoot};
use kinetic_kernel::{
    ExecutorSettings, Kernel, KernelConfig, Manifest, NodeSettings, Policy, SwapSettings, ZoneSettings,
};
use kinetic_model::{CodeInfo, Digest};
use kinetic_registry::FolderStore;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const ECHO: &str = "urn:acme:actionspace:solver:echo:v1";
/// See [`Host::publish_spinner`].
pub const SPINNER: &str = "urn:acme:actionspace:solver:spinner:v1";
/// How long a test waits for what has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);
const TABLES: ErrorTables = &[
    ("Gateway", GatewayError::TABLE),
    ("Engine", kinetic_engine::EngineError::TABLE as &[CodeInfo]),
];

/// A running host. Dropping it ends it.
pub struct Host {
    pub url: String,
    pub kernel: Kernel,
    key: SigningKey,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<()>>,
    client: Client,
    folder: TempDir,
}

/// What is published: manifest, receipt, component.
pub struct Publication {
    pub manifest: String,
    pub receipt: Value,
    pub component: Vec<u8>,
}

pub fn component() -> Vec<u8> {
    wat::parse_str(include_str!("echo.wat")).unwrap()
}

fn manifest(name: &str, version: &str) -> String {
    json!({
        "id": format!("urn:acme:actionspace:solver:{name}:v1"),
        "version": version,
        "type": "logic",
        "description": "One function for each way a call can go.",
        "capabilities": { "provides": ["acme:echo@1.0.0"] },
        "limits": { "guest_time_ms": 400, "input_bytes": 20_000_000, "output_bytes": 20_000_000 },
        "governance": { "tier": "local", "trust_zone": "tenant", "determinism": "NX_experimental" },
        "functions": { "echo": { "description": "Gives back the text." } },
    })
    .to_string()
}

impl Host {
    /// With the echo capsule active, and the default settings.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let host = Self::empty(change).await;
        host.publish("echo", "1.0.0").await;
        host
    }

    pub async fn empty(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        kinetic_registry::install_ring_provider_once();
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate().unwrap();
        let trust_root = folder.path().join("trust.json");
        let mut root = TrustRoot::default();
        root.add("acme", key.public(), "tests").unwrap();
        root.save(&trust_root).unwrap();
        let engine = Engine::new(
            EngineConfig {
                pool_instances: 16,
                ..EngineConfig::default()
            },
            Vec::new(),
        )
        .unwrap();
        let kernel = Kernel::new(
            engine,
            KernelConfig {
                policy: Policy::default(),
                node: Some(NodeSettings::default()),
                executors: ExecutorSettings::default(),
                swap: SwapSettings::default(),
                zones: ZoneSettings::default(),
                trust_root,
                quarantine: folder.path().join("quarantine"),
                store: Arc::new(FolderStore::open(&folder.path().join("store"), 10_485_760).unwrap()),
                registries: Arc::default(),
                cache: kinetic_registry::Cache::default(),
                carried: Arc::default(),
                ledger: None,
            },
        )
        .unwrap();
        let mut config = GatewayConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..GatewayConfig::default()
        };
        change(&mut config);
        let bound = bind(config, kernel.clone(), TABLES).await.unwrap();
        let url = format!("http://{}", bound.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            bound.serve(shutdown).await.unwrap();
        });
        let client = Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .timeout(Duration::from_mins(1))
            .build()
            .unwrap();
        Self {
            url,
            kernel,
            key,
            stop: Some(stop),
            served: Some(served),
            client,
            folder,
        }
    }

    pub fn publication(&self, name: &str, version: &str) -> Publication {
        self.publication_of(manifest(name, version))
    }

    fn publication_of(&self, manifest: String) -> Publication {
        let component = component();
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
        Publication {
            manifest,
            receipt,
            component,
        }
    }

    pub async fn publish(&self, name: &str, version: &str) {
        self.admit(self.publication(name, version)).await;
    }

    /// Publishes the echo capsule once more, as [`SPINNER`], whose `spin` is ended after a time of its own.
    pub async fn publish_spinner(&self, guest_time_ms: u64) {
        let mut asks: Value = serde_json::from_str(&manifest("spinner", "1.0.0")).unwrap();
        asks["limits"]["guest_time_ms"] = guest_time_ms.into();
        // Time is to end it.
        asks["limits"]["fuel"] = 1_000_000_000_000_u64.into();
        self.admit(self.publication_of(asks.to_string())).await;
    }

    async fn admit(&self, publication: Publication) {
        let Publication {
            manifest,
            receipt,
            component,
        } = publication;
        self.kernel.publish(manifest, receipt, component.into()).await.unwrap();
    }

    /// Waits until a call of a capsule runs.
    pub async fn until_called(&self, urn: &str) {
        let called = async {
            let runs = || {
                let all = self.kernel.processes();
                all.iter()
                    .any(|process| process.urn.as_str() == urn && process.calls_running > 0)
            };
            while !runs() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, called).await;
        assert!(waited.is_ok(), "no call runs");
    }

    /// Takes every key out of the trust root.
    pub fn trust_nobody(&self) {
        TrustRoot::default()
            .save(&self.folder.path().join("trust.json"))
            .unwrap();
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn execute(&self, body: Value) -> Response {
        self.request(Method::POST, "/api/v1/capabilities/execute")
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    /// Calls one function of the echo capsule.
    pub async fn call(&self, function: &str, intent: Value) -> Response {
        self.execute(json!({ "toolName": ECHO, "function": function, "intent": intent }))
            .await
    }

    /// Tells the host to shut down.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits until it has.
    pub async fn stopped(&mut self) {
        self.stop();
        self.served.take().unwrap().await.unwrap();
    }
}

/// The problem a response must be, its status and code checked.
pub async fn problem(response: Response, status: u16, code: &str) -> Value {
    let (found, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    assert_eq!(found, status, "{text}");
    assert_eq!(headers["content-type"], "application/problem+json", "{text}");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["code"], code, "{text}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("/errors/{code}"));
    assert_eq!(problem["request_id"], headers["x-request-id"].to_str().unwrap());
    for member in ["title", "detail", "fix", "instance"] {
        assert!(
            problem[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member} of {text}"
        );
    }
    problem
}

pub async fn json_of(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}
