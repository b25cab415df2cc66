//! Engine profiles: what the engine does differently for each determinism tier; the crate's documentation has the table.

use kinetic_model::Determinism;

/// What the engine does differently for a capsule's tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Whether guest time ends a call. Time is never the same twice, so bit-exact calls are ended by fuel alone.
    pub(crate) guest_time_ends: bool,
    /// Whether clock and randomness come from the call's context, and host calls go on the tape.
    pub(crate) replayable: bool,
}

impl Profile {
    pub(crate) const fn of(determinism: Determinism) -> Self {
        let (guest_time_ends, replayable) = match determinism {
            Determinism::D0BitExact => (false, true),
            Determinism::D1NumericallyStable => (true, true),
            Determinism::D2SoftDeterministic | Determinism::NxExperimental => (true, false),
        };
        Self {
            guest_time_ends,
            replayable,
        }
    }
}
