//! The parts of a manifest that are searched, and how much each counts.

use serde::Serialize;

/// How many fields there are.
pub(super) const FIELDS: usize = Field::ALL.len();

/// A part of what a capsule says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Its URN.
    Urn,
    /// Its short name for people.
    Title,
    /// The names of its functions, and their titles.
    Function,
    /// Interfaces it provides.
    Provides,
    /// What it does.
    Description,
    /// What its functions do.
    FunctionText,
    /// Interfaces it needs.
    Requires,
    /// What kind of thing it is.
    Kind,
    /// Who stands behind it.
    Tier,
    /// How far it is trusted.
    Zone,
    /// How repeatable its results are.
    Determinism,
    /// Its version.
    Version,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 12] = [
        Self::Urn,
        Self::Title,
        Self::Function,
        Self::Provides,
        Self::Description,
        Self::FunctionText,
        Self::Requires,
        Self::Kind,
        Self::Tier,
        Self::Zone,
        Self::Determinism,
        Self::Version,
    ];

    /// How many times a word in it counts: a name says more than a sentence, and a sentence more than a label that many
    /// capsules share.
    pub const fn weight(self) -> u64 {
        match self {
            Self::Urn => 8,
            Self::Title => 6,
            Self::Function => 5,
            Self::Provides | Self::Description => 4,
            Self::FunctionText => 3,
            Self::Requires => 2,
            Self::Kind | Self::Tier | Self::Zone | Self::Determinism | Self::Version => 1,
        }
    }

    /// Its place in [`Field::ALL`].
    pub(super) const fn place(self) -> usize {
        self as usize
    }
}
