//! A stream buffer: any component that exports `kinetic:stream/buffer` and `kinetic:capsule/lifecycle`.

use kinetic_engine::{Called, Capability, EngineError, Resident};

use super::silver::only;

// The names carry the WIT packages' own documentation.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod bindings {
    wasmtime::component::bindgen!({
        path: ["../../wit/kinetic-capsule", "../../wit/kinetic-stream"],
        world: "kinetic:%stream/stream-buffer",
    });
}

pub use bindings::exports::kinetic::capsule::lifecycle::{Condition, Error as LifecycleError, Setting, Snapshot};
pub use bindings::exports::kinetic::stream::buffer::{Admission, ClassCount, Error, LevelChange, Pressure, Pulled};

const BUFFER: &str = "kinetic:stream/buffer@0.1.0";
const LIFECYCLE: &str = "kinetic:capsule/lifecycle@0.1.0";

/// A running stream buffer. What it holds is gone with it, but for what it exported.
#[derive(Debug)]
pub struct StreamBuffer(Resident);

impl StreamBuffer {
    /// Makes an instance of the component; it has its default settings until `start`.
    ///
    /// # Errors
    /// It did not start within its limits.
    pub async fn new(component: &Capability) -> Result<Self, EngineError> {
        component.resident().await.map(Self)
    }

    /// Whether it can be called; after a failed call it cannot.
    pub const fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    /// Memory it holds, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes()
    }

    /// Gives it its settings. Once, before all else.
    pub async fn start(&mut self, settings: &[Setting]) -> Called<Result<(), LifecycleError>> {
        only(self.0.call((Some(LIFECYCLE), "start"), (settings,), 0).await)
    }

    /// How it is.
    pub async fn health(&mut self) -> Called<Condition> {
        only(self.0.call((Some(LIFECYCLE), "health"), (), 0).await)
    }

    /// All it holds and knows, for another one to go on from.
    pub async fn export_state(&mut self) -> Called<Result<Snapshot, LifecycleError>> {
        only(self.0.call((Some(LIFECYCLE), "export-state"), (), 0).await)
    }

    /// Goes on from what another one exported.
    pub async fn import_state(&mut self, snapshot: &Snapshot) -> Called<Result<(), LifecycleError>> {
        let input_bytes = snapshot.bytes.len() as u64;
        only(
            self.0
                .call((Some(LIFECYCLE), "import-state"), (snapshot,), input_bytes)
                .await,
        )
    }

    /// Offers a batch, an Arrow IPC stream.
    pub async fn offer(&mut self, batch: &[u8]) -> Called<Result<Admission, Error>> {
        only(self.0.call((Some(BUFFER), "offer"), (batch,), batch.len() as u64).await)
    }

    /// The next events, at most so many and about so many bytes.
    pub async fn pull(&mut self, events_max: u32, bytes_max: u64) -> Called<Result<Pulled, Error>> {
        only(self.0.call((Some(BUFFER), "pull"), (events_max, bytes_max), 12).await)
    }

    /// Forgets the events before this place.
    pub async fn acknowledge(&mut self, up_to: u64) -> Called<Result<(), Error>> {
        only(self.0.call((Some(BUFFER), "acknowledge"), (up_to,), 8).await)
    }

    /// Goes back to the first event that was not acknowledged.
    pub async fn rewind(&mut self) -> Called<()> {
        self.0.call((Some(BUFFER), "rewind"), (), 0).await
    }

    /// Follows what another buffer decided.
    pub async fn follow(&mut self, changes: &[LevelChange]) -> Called<Result<(), Error>> {
        only(self.0.call((Some(BUFFER), "follow"), (changes,), 0).await)
    }

    /// Decides by itself again, from here on.
    pub async fn lead(&mut self) -> Called<()> {
        self.0.call((Some(BUFFER), "lead"), (), 0).await
    }

    /// How full it is.
    pub async fn level(&mut self) -> Called<Pressure> {
        only(self.0.call((Some(BUFFER), "level"), (), 0).await)
    }
}
