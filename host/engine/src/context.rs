//! What a call gets from outside besides its input: the time, the seed, what a recording answers, what others put in.

use crate::{Exchange, Extensions};

/// What a call passes on to those it makes of other capsules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Within {
    /// Sandboxes set aside for the call and those below it; 0: it takes its own.
    pub sandboxes: u32,
    /// A word of whoever made the outermost call; the engine passes it on and knows nothing of it.
    pub token: u64,
    /// When a timer ends the call at the latest, and with it those it makes: one that may last until then needs no timer of
    /// its own.
    pub ends: Option<tokio::time::Instant>,
    /// Whether a record tells of the calls it makes. Where none does, nobody needs to write down what they were.
    pub noted: bool,
}

/// The context of one call. For D0 and D1 capsules the same context and input give the same call.
#[derive(Debug, Default)]
pub struct CallContext {
    /// The time the virtual clock starts at, in nanoseconds since 1970. Other tiers read the real clock.
    pub unix_ns: u64,
    /// The seed of all randomness of D0 and D1 capsules.
    pub seed: [u8; 32],
    /// What host calls were answered before; with it none reaches the outside.
    pub replay: Option<Vec<Exchange>>,
    /// What the call of another capsule that makes this one passed on.
    pub within: Within,
    /// What providers find in [`crate::CallState::extension`]; what nobody took comes back in the outcome.
    pub extensions: Extensions,
}
