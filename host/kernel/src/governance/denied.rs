//! A no, and which policy said it.

use std::fmt;

/// Why something is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The `@id` of the policy that decided; none when no policy permits it.
    pub policy: Option<String>,
    /// The policy's `@reason`, or what else speaks against it.
    pub reason: String,
}

impl Denied {
    pub(crate) fn by(policy: &str, reason: &str) -> Self {
        Self {
            policy: Some(policy.into()),
            reason: reason.into(),
        }
    }

    pub(crate) fn unpermitted(reason: &str) -> Self {
        Self {
            policy: None,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.policy {
            Some(policy) => write!(f, "policy \"{policy}\" forbids it: {}", self.reason),
            None => write!(f, "no policy permits it: {}", self.reason),
        }
    }
}
