//! Telemetry over HTTP: taking it, watching it, and looking after what becomes of it.

pub(crate) mod metrics;
pub(crate) mod operate;
pub(crate) mod push;
pub(crate) mod stream;

use std::sync::{Arc, OnceLock};

use kinetic_medallion::live::Live;
use kinetic_medallion::pipeline::Pipeline;
use kinetic_model::Fault;
use serde_json::Value;

use crate::GatewayError;
use crate::app::Shared;

/// Where telemetry is pushed: the one route whose request may never end.
pub(crate) const PUSH: &str = "/api/v1/telemetry/push";

/// What the routes of telemetry work on.
#[derive(Clone)]
pub struct Telemetry {
    /// What takes events and makes tables of them.
    pub pipeline: Pipeline,
    /// What hands events to those who watch.
    pub live: Arc<Live>,
    /// What only the host itself can do.
    pub operator: Arc<dyn Operator>,
}

/// What only the host itself can do for telemetry.
pub trait Operator: Send + Sync {
    /// The tables of gold as JSON. It may block.
    fn gold(&self) -> Result<Value, Fault>;
}

/// Telemetry, from when it is ready.
pub(crate) type Ready = Arc<OnceLock<Telemetry>>;

/// The telemetry of the host.
pub(crate) fn of(app: &Shared) -> Result<&Telemetry, GatewayError> {
    app.telemetry.get().ok_or(GatewayError::NoTelemetry {})
}
