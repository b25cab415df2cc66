//! `wasi:http` for capsules: requests go only to hosts that the manifest and the operator both allow.
//!
//! Bodies stream, except in calls with a tape (of D0 and D1 capsules, and replays): there requests and responses are
//! whole, bounded by `limits.host_call_bytes`, and a replay opens no socket.

mod errors;
mod hosts;
mod recorded;
mod send;

use std::sync::Arc;

use kinetic_engine::{CallState, Configured, Grantee, Provider};
use kinetic_model::{Fault, ImportGrant, coded_errors};
use wasmtime::component::Linker;
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtx, WasiHttpCtxView};

use crate::hosts::HostPattern;
use crate::send::Sender;

coded_errors! {
    /// Errors of the HTTP provider's configuration.
    pub enum HttpError ("HTP") {
        /// The pattern does not parse.
        "0001" BadPattern { text: String, why: String } => Conformance,
            "\"{text}\" is not a host pattern: {why}.",
            "Write example.com, example.com:8443, *.example.com or localhost:*.";
        /// The grant allows no host at all.
        "0002" NoHosts { } => Conformance,
            "the grant of wasi:http names no hosts, so nothing could be reached.",
            "Add \"hosts\": [\"example.com\"] to the line.";
    }
}

/// The only grant of this provider; the other interfaces of wasi:http hang on it.
const GRANT: &str = "wasi:http/outgoing-handler";

/// What the operator allows.
#[derive(Clone, Debug, Default)]
pub struct HttpPolicy {
    /// Host patterns; empty allows nothing.
    pub allowed_hosts: Vec<String>,
    /// How long connecting may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long the first byte, and each next one, may take, in milliseconds.
    pub read_timeout_ms: u64,
}

/// The provider.
#[derive(Debug)]
pub struct HttpProvider {
    operator: Vec<HostPattern>,
    policy: HttpPolicy,
}

impl HttpProvider {
    /// A provider under the operator's policy.
    ///
    /// # Errors
    /// `BadPattern`.
    pub fn new(policy: HttpPolicy) -> Result<Self, HttpError> {
        // TLS without a provider of cryptography would panic at the first request.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let operator = policy
            .allowed_hosts
            .iter()
            .map(|text| HostPattern::parse(text))
            .collect::<Result<_, _>>()?;
        Ok(Self { operator, policy })
    }
}

fn view(state: &mut CallState) -> WasiHttpCtxView<'_> {
    let (call, table) = state.extension::<PerCall>();
    // A component reaches these functions only through a grant, and then `prepare` ran. Should that ever break, a
    // sender that allows nothing answers, at the price of a few bytes that are never given back.
    let call = call.unwrap_or_else(|| {
        Box::leak(Box::new(PerCall {
            ctx: WasiHttpCtx::new(),
            sender: Sender::deny_all(),
        }))
    });
    WasiHttpCtxView {
        ctx: &mut call.ctx,
        hooks: &mut call.sender,
        table,
    }
}

struct PerCall {
    ctx: WasiHttpCtx,
    sender: Sender,
}

impl Provider for HttpProvider {
    fn name(&self) -> &'static str {
        "wasi:http"
    }

    fn serves(&self, interface: &str) -> bool {
        matches!(interface, GRANT | "wasi:http/types")
    }

    fn granted_by(&self, _: &str) -> String {
        GRANT.into()
    }

    fn link(&self, linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
        use wasmtime_wasi_http::p2::bindings::{LinkOptions, http};
        http::outgoing_handler::add_to_linker::<_, WasiHttp>(linker, view)?;
        http::types::add_to_linker::<_, WasiHttp>(linker, &LinkOptions::default().into(), view)
    }

    fn configure(&self, _: &Grantee, grants: &[ImportGrant]) -> Result<Arc<dyn Configured>, Fault> {
        let hosts = grants.iter().flat_map(|grant| &grant.hosts);
        let manifest = hosts
            .map(|text| HostPattern::parse(text))
            .collect::<Result<Vec<_>, _>>()?;
        if manifest.is_empty() {
            return Err(HttpError::NoHosts {}.into());
        }
        Ok(Arc::new(Granted {
            manifest: manifest.into(),
            operator: self.operator.clone().into(),
            policy: self.policy.clone(),
        }))
    }
}

/// The provider as one capsule has it.
struct Granted {
    manifest: Arc<[HostPattern]>,
    operator: Arc<[HostPattern]>,
    policy: HttpPolicy,
}

impl Configured for Granted {
    fn prepare(&self, call: &mut CallState) {
        let sender = Sender {
            manifest: self.manifest.clone(),
            operator: self.operator.clone(),
            host_bytes: call.host_bytes(),
            tape: call.tape().clone(),
            connect_timeout_ms: self.policy.connect_timeout_ms,
            read_timeout_ms: self.policy.read_timeout_ms,
        };
        call.put_extension(PerCall {
            ctx: WasiHttpCtx::new(),
            sender,
        });
    }
}
