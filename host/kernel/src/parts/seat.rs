//! The seat of a part of the host: what the kernel asks of whoever calls the capsule in it.

use async_trait::async_trait;
use kinetic_engine::Capability;
use kinetic_model::{Digest, Fault};

use super::Reports;

/// A capsule for a seat.
#[derive(Clone, Debug)]
pub struct Occupant {
    /// The loaded component.
    pub capability: Capability,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Where it is told how its calls go.
    pub reports: Reports,
}

impl Occupant {
    /// One that no kernel knows of: nobody is told how its calls go.
    pub fn unwatched(capability: Capability, digest: Digest) -> Self {
        Self {
            capability,
            digest,
            reports: Reports::default(),
        }
    }
}

/// Keeps the seat of one part of the host: calls the capsule in it, and lets another one take its place.
///
/// All that is not in one of the two calls that move the seat belongs to the keeper: it may start an instance again after
/// a failure as it likes, and says so through [`Occupant::reports`].
#[async_trait]
pub trait Seat: Send + Sync {
    /// The interfaces that a capsule must export to sit here, each with its version.
    fn interfaces(&self) -> &'static [&'static str];

    /// Tries a capsule in instances of its own, as far as that goes without the work of the seat. Nothing of the one that
    /// works there is touched.
    ///
    /// # Errors
    /// Why it cannot do the work.
    async fn try_out(&self, candidate: &Occupant) -> Result<(), Fault>;

    /// Stops the work, and brings a capsule to where the one that works there stopped. The work waits until the successor
    /// that this gives begins, or is dropped: then the one before goes on as if nothing had happened.
    ///
    /// With `discard_state` a capsule that cannot take the state over begins without it.
    ///
    /// # Errors
    /// Why it cannot take over; of the kind `Conformance` when that is the capsule's fault. The one before goes on.
    async fn hand_over(&self, next: Occupant, discard_state: bool) -> Result<Box<dyn Successor>, Fault>;
}

/// A capsule that stands ready in front of its seat.
pub trait Successor: Send + Sync {
    /// Bytes of state it took over; none when there was none to take.
    fn state_bytes(&self) -> Option<u64>;

    /// It sits, and works from here on.
    fn begin(self: Box<Self>);
}
