//! The host's configuration: the comments and defaults here are the manual that `kinetic config default` prints.

mod crystallization;
mod document;
mod executors;
mod kernel;
mod layers;
mod nearest;
mod node;
mod outbox;
mod registry;
mod telemetry;
mod workers;
mod zones;

use std::net::SocketAddr;
use std::path::PathBuf;

use kinetic_kernel::ZoneSettings;
use kinetic_model::{LIMIT_DOCS, Limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crystallization::Crystallization;
pub use document::default_document;
pub use executors::Executors;
pub use kernel::Kernel;
pub use layers::{Flags, Loaded, Origin, load};
pub use node::{Node, Placement};
pub use outbox::Outbox;
pub use registry::Registry;
#[cfg(feature = "gold")]
pub use telemetry::price_of;
pub use telemetry::{Durable, Telemetry};
pub use workers::Workers;
pub use zones::{Quota, Tenants, Zones};

use crate::error::CliError;

/// The deepest nesting the JSON reader follows.
const JSON_DEPTH_CEILING: u32 = 127;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The process: where it listens, where it keeps its files, what it logs.
    pub host: Host,
    /// What the HTTP and MCP doors let in.
    pub gateway: Gateway,
    /// The WebAssembly engine.
    pub engine: Engine,
    /// Bounds that no manifest passes.
    pub limits: LimitsSection,
    /// How a version of a capsule takes the place of another one, when one is given up, who may use whom, and which folders
    /// are watched.
    pub kernel: Kernel,
    /// The trust zones' shares of the sandboxes. No zone ever takes a slot of another one.
    pub zones: Zones,
    /// What a tenant may use, the namespace of a URN, that has no quota of its own.
    pub quota: Quota,
    /// Quotas of single tenants: `[tenants.acme]` with those of the names above that are not as usual.
    #[serde(default)]
    pub tenants: Tenants,
    /// What this host is as a node that runs capsules.
    pub node: Node,
    /// What decides between nodes that would all do: each weight counts in proportion, 0 leaves it out.
    pub placement: Placement,
    /// How events and the clock call capsules whose manifests have triggers.
    pub executors: Executors,
    /// Where publications wait for registries that are away (`kinetic publish --via-host --to`).
    pub outbox: Outbox,
    /// What the host signs topologies with that are to have a permanent URN (`kinetic crystallize`).
    pub crystallization: Crystallization,
    /// How registries are asked, and what is kept of what they delivered; which ones there are is said with
    /// `kinetic registry add`.
    pub registry: Registry,
    /// The log of everything that happens.
    pub ledger: Ledger,
    /// From a token stream to tables.
    pub telemetry: Telemetry,
    /// What capsules may reach over HTTP. A request passes only if this list and the capsule's manifest both allow it.
    pub http: Http,
}

/// The process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Address and port to listen on. Anything but loopback needs token_sha256.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The data folder: store, trust root, keys, code cache. Mode 0700. A relative path in a file counts from that file.
    pub data: PathBuf,
    /// SHA-256 (64 hexadecimal digits) of the bearer token that callers must send; empty: no token.
    /// Make a token with `openssl rand -hex 32`, and its hash with `printf %s TOKEN | sha256sum`.
    pub token_sha256: String,
    /// How long calls in flight may finish after Ctrl-C or SIGTERM, in milliseconds.
    pub drain_ms: u64,
    /// What is logged to standard error: error, warn, info, debug or trace, or directives like "info,kinetic_engine=debug".
    pub log: String,
    /// The form of log lines: "text" for people, "json" for collectors.
    pub log_format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            data: PathBuf::from("./data"),
            token_sha256: String::new(),
            drain_ms: 10_000,
            log: "info,rmcp=warn".to_string(),
            log_format: LogFormat::Text,
        }
    }
}

/// What the HTTP and MCP doors let in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// The largest request body, in bytes.
    pub body_bytes_max: u64,
    /// How deep JSON may nest; 127 at most.
    pub json_depth_max: u32,
    /// The longest a request's body may take to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// The longest a request may take until its answer begins, in milliseconds; calls also have their own wall time limit.
    pub request_timeout_ms: u64,
    /// Connections at once; more wait to be accepted.
    pub connections_max: u32,
    /// Requests worked on at once; more are answered 503.
    pub concurrency_max: u32,
    /// MCP sessions at once; more are answered 503.
    pub mcp_sessions_max: u32,
    /// Browser origins that may call, like "http://localhost:3000"; empty: no cross-origin request is answered.
    pub allowed_origins: Vec<String>,
    /// Names besides loopback and the listening address that the Host header may carry; stops DNS rebinding.
    pub allowed_hosts: Vec<String>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            body_bytes_max: 16_777_216,
            json_depth_max: 64,
            body_timeout_ms: 60_000,
            request_timeout_ms: 310_000,
            connections_max: 1_024,
            concurrency_max: 1_024,
            mcp_sessions_max: 256,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
        }
    }
}

/// The WebAssembly engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// How often guest time is looked at, in milliseconds: a guest over its time dies within two ticks.
    pub tick_ms: u64,
    /// Sandboxes that exist at once in the pool; a call beyond them is answered "busy".
    pub pool_instances: u32,
    /// The longest a component may take to compile, in milliseconds.
    pub compile_timeout_ms: u64,
    /// Memory the compiler may use for one component, in bytes.
    pub compile_memory_bytes: u64,
    /// The largest component accepted, in bytes.
    pub component_bytes_max: u64,
    /// Keep compiled code in the data folder, so that a restart does not compile again.
    pub code_cache: bool,
    /// Calls in processes of their own, one process for one namespace's capsules of one zone. Where the calls of a zone run:
    /// "process" is the host's own; "worker" one of these for capsules that import nothing but inert WASI and keep no
    /// instance, the host's own for others; "worker_only" refuses the others.
    pub workers: Workers,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            tick_ms: 2,
            pool_instances: 256,
            compile_timeout_ms: 30_000,
            compile_memory_bytes: 1_073_741_824,
            component_bytes_max: 10_485_760,
            code_cache: true,
            workers: Workers::default(),
        }
    }
}

/// Bounds that no manifest passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// The most a manifest may ask for; it can be lowered here, never raised.
    pub ceiling: Limits,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            ceiling: Limits::CEILING,
        }
    }
}

/// The log of everything that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Size at which a new segment file begins, in bytes. So much room is taken on the disk at once.
    pub segment_bytes: u64,
    /// How soon what was only written to the system is on disk, in milliseconds: what a power cut may cost.
    pub sync_within_ms: u64,
    /// A checkpoint is signed after so many records...
    pub checkpoint_records: u64,
    /// ...or so much time after the last one, in milliseconds, whichever comes first, if there is something new.
    pub checkpoint_within_ms: u64,
    /// About so many bytes of records are kept; the oldest segments go, as far as no group of consumers has still to read
    /// them. Branches keep what they show. 0 keeps everything.
    pub retain_bytes: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            segment_bytes: 67_108_864,
            sync_within_ms: 10,
            checkpoint_records: 65_536,
            checkpoint_within_ms: 1_000,
            retain_bytes: 0,
        }
    }
}

/// What capsules may reach over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Hosts a capsule may call, like "example.com", "example.com:8443", "*.example.com" or "*"; empty: none.
    pub allowed_hosts: Vec<String>,
    /// How long connecting to a host may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a host may take to its first byte, and from each to the next, in milliseconds.
    pub read_timeout_ms: u64,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            connect_timeout_ms: 5_000,
            read_timeout_ms: 10_000,
        }
    }
}

impl Config {
    /// How the sandboxes are divided, as the kernel takes it.
    pub fn zone_settings(&self) -> ZoneSettings {
        zones::settings(&self.zones, &self.quota, &self.tenants)
    }

    /// Whether only this machine can reach the host.
    pub fn is_loopback(&self) -> bool {
        self.host.listen.ip().is_loopback()
    }

    /// The first setting that cannot stand, and why; each value already has its type.
    fn fault(&self) -> Option<(String, String)> {
        let token = &self.host.token_sha256;
        if !token.is_empty() && (token.len() != 64 || !token.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Some(("host.token_sha256".into(), "it takes 64 hexadecimal digits".into()));
        }
        let at_least_one = [
            ("gateway.body_bytes_max", self.gateway.body_bytes_max),
            ("gateway.json_depth_max", self.gateway.json_depth_max.into()),
            ("gateway.body_timeout_ms", self.gateway.body_timeout_ms),
            ("gateway.request_timeout_ms", self.gateway.request_timeout_ms),
            ("gateway.connections_max", self.gateway.connections_max.into()),
            ("gateway.concurrency_max", self.gateway.concurrency_max.into()),
            ("gateway.mcp_sessions_max", self.gateway.mcp_sessions_max.into()),
            ("http.connect_timeout_ms", self.http.connect_timeout_ms),
            ("http.read_timeout_ms", self.http.read_timeout_ms),
            ("ledger.segment_bytes", self.ledger.segment_bytes),
            ("ledger.sync_within_ms", self.ledger.sync_within_ms),
            ("ledger.checkpoint_records", self.ledger.checkpoint_records),
            ("ledger.checkpoint_within_ms", self.ledger.checkpoint_within_ms),
            ("engine.tick_ms", self.engine.tick_ms),
            ("engine.pool_instances", self.engine.pool_instances.into()),
            ("engine.compile_timeout_ms", self.engine.compile_timeout_ms),
            ("engine.compile_memory_bytes", self.engine.compile_memory_bytes),
            ("engine.component_bytes_max", self.engine.component_bytes_max),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Some(((*key).to_string(), "it must be at least 1".into()));
        }
        if self.gateway.json_depth_max > JSON_DEPTH_CEILING {
            return Some((
                "gateway.json_depth_max".into(),
                format!("{JSON_DEPTH_CEILING} is the most"),
            ));
        }
        let zones = || zones::fault(&self.zones, &self.quota, &self.tenants);
        let sections = self.telemetry.fault().or_else(|| self.kernel.fault()).or_else(zones);
        let sections = sections
            .or_else(|| self.node.fault())
            .or_else(|| self.executors.fault())
            .or_else(|| self.outbox.fault())
            .or_else(|| self.registry.fault())
            .or_else(|| self.engine.workers.fault(&self.limits.ceiling));
        sections.or_else(|| self.ceiling_fault())
    }

    /// The first ceiling above the built-in one.
    fn ceiling_fault(&self) -> Option<(String, String)> {
        let asked = serde_json::to_value(self.limits.ceiling).unwrap_or_default();
        LIMIT_DOCS.iter().find_map(|limit| {
            let value = asked
                .get(limit.name)
                .and_then(serde_json::Value::as_u64)
                .unwrap_or_default();
            let key = format!("limits.ceiling.{}", limit.name);
            if value > limit.ceiling {
                Some((
                    key,
                    format!("it can only be lowered, and {} is the most", limit.ceiling),
                ))
            } else if value == 0 {
                Some((key, "it must be at least 1".into()))
            } else {
                None
            }
        })
    }
}

/// Refuses to serve other machines without a token.
pub fn may_listen(config: &Config) -> Result<(), CliError> {
    if config.is_loopback() || !config.host.token_sha256.is_empty() {
        return Ok(());
    }
    Err(CliError::TokenNeeded {
        listen: config.host.listen.to_string(),
    })
}
