//! What kinds of documents are signed for a namespace: whose keys count for each, and what errors call it.

use std::fmt;

use crate::Role;

/// What a signed document is. Root documents are judged by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// The list of a namespace's versions.
    Index,
    /// A topology under its permanent name.
    Promotion,
    /// What was built, from what.
    Receipt,
    /// The word that quarantined bytes may be tried again.
    Release,
}

impl DocumentKind {
    /// The role of the keys that may sign one.
    pub(crate) const fn role(self) -> Role {
        match self {
            Self::Index => Role::Index,
            Self::Promotion | Self::Receipt | Self::Release => Role::Release,
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Index => "index",
            Self::Promotion => "promotion",
            Self::Receipt => "receipt",
            Self::Release => "release from quarantine",
        })
    }
}
