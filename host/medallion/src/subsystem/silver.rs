//! A silver gate: any component that exports `kinetic:silver/gate`.

use kinetic_engine::{Called, Capability, EngineError, Resident};

// The names carry the WIT package's own documentation.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit/kinetic-silver", world: "kinetic:silver/silver-gate" });
}

pub use bindings::exports::kinetic::silver::gate::{
    Deduplication, Error, Identity, KeyColumn, Normalization, Scheme, Survivor, Table, Transformed,
};

const INTERFACE: &str = "kinetic:silver/gate@0.1.0";

/// A running silver gate. It keeps nothing between calls, so another one goes on where it ended.
#[derive(Debug)]
pub struct SilverGate(Resident);

impl SilverGate {
    /// Makes an instance of the component.
    ///
    /// # Errors
    /// It did not start within its limits.
    pub async fn start(component: &Capability) -> Result<Self, EngineError> {
        component.resident().await.map(Self)
    }

    /// Whether it can be called; after a failed call it cannot.
    pub const fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    /// How it makes ids.
    pub async fn identity_scheme(&mut self) -> Called<Scheme> {
        only(self.0.call((Some(INTERFACE), "identity-scheme"), (), 0).await)
    }

    /// Makes silver of a batch, an Arrow IPC stream.
    pub async fn transform(&mut self, table: &Table, batch: &[u8]) -> Called<Result<Transformed, Error>> {
        let input_bytes = batch.len() as u64;
        only(
            self.0
                .call((Some(INTERFACE), "transform"), (table, batch), input_bytes)
                .await,
        )
    }
}

pub(super) fn only<T>(called: Called<(T,)>) -> Called<T> {
    Called {
        result: called.result.map(|(value,)| value),
        usage: called.usage,
        logs: called.logs,
    }
}
