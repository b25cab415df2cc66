//! Why a call of the interface failed, in the form it has on a tape.

use kinetic_ledger::LedgerError;
use kinetic_model::Coded as _;
use serde::{Deserialize, Serialize};

use crate::bindings::kinetic::events::bus::Error;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    Denied(String),
    NoTopic(String),
    Refused(String),
    TooLarge(String),
    Fenced(String),
    Gone(u64),
    Invalid(String),
    Other(String),
}

impl Failure {
    /// There is no ledger on an author's machine.
    pub(crate) fn no_ledger() -> Self {
        Self::Other(
            "there is no ledger here: call the capsule on a host, with `kinetic call` instead of `kinetic run`".into(),
        )
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let text = format!("{error} {}", error.fix());
        match error {
            LedgerError::NoTopic { .. } => Self::NoTopic(text),
            LedgerError::EventRefused { .. } => Self::Refused(text),
            LedgerError::EventTooLarge { .. } | LedgerError::TooMany { .. } | LedgerError::RecordTooLarge { .. } => {
                Self::TooLarge(text)
            }
            LedgerError::Fenced { .. } => Self::Fenced(text),
            LedgerError::OffsetGone { first, .. } => Self::Gone(first),
            LedgerError::InvalidEvent { .. }
            | LedgerError::InvalidOffset { .. }
            | LedgerError::InvalidSubscription { .. } => Self::Invalid(text),
            _ => Self::Other(text),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(why) => Self::Denied(why),
            Failure::NoTopic(why) => Self::NoTopic(why),
            Failure::Refused(why) => Self::Refused(why),
            Failure::TooLarge(why) => Self::TooLarge(why),
            Failure::Fenced(why) => Self::Fenced(why),
            Failure::Gone(first) => Self::Gone(first),
            Failure::Invalid(why) => Self::Invalid(why),
            Failure::Other(why) => Self::Other(why),
        }
    }
}
